"""The same analyses with TransformerLens."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformer_lens import patching
from transformer_lens.tools.analysis import EdgeAttributionConfig, attribution_patch, faithfulness

import interp_emerge as ie
from tests.patching.lens_edges import name_of


class Lens:
    """TransformerLens's sweeps on a model's bridge."""

    def __init__(self, model: ie.HookedModel, pairs: ie.PromptPairs) -> None:
        self.bridge, self.pairs = model.bridge, pairs

    @cached_property
    def clean(self) -> Any:
        return self.bridge.run_with_cache(self.pairs.clean)[1]

    def difference(self, logits: Tensor) -> Tensor:
        """Mean logit difference after the last token."""
        rows = torch.arange(len(self.pairs))[: len(logits)]
        last = logits[:, -1]
        return (last[rows, self.pairs.answer[rows]] - last[rows, self.pairs.foil[rows]]).mean()

    def run(self) -> Tensor:
        """One run of those that a sweep makes for each of its cells."""
        return self.bridge(self.pairs.corrupt)

    def heads(self) -> Tensor:
        return patching.get_act_patch_attn_head_out_all_pos(
            self.bridge, self.pairs.corrupt, self.clean, self.difference
        )

    def stream(self) -> Tensor:
        return patching.get_act_patch_resid_pre(self.bridge, self.pairs.corrupt, self.clean, self.difference)

    def nodes(self) -> Any:
        config = EdgeAttributionConfig(granularity="node")
        return attribution_patch(self.bridge, self.pairs.clean, self.pairs.corrupt, self.difference, config)

    def edges(self) -> Any:
        """All pairs in one call, which goes through them one by one."""
        return self._edges(self.pairs)

    def circuit(self, circuit: ie.Circuit) -> Callable[[], Any]:
        """A run of `faithfulness` for a circuit on the first pair; its edges are counted by position there."""
        first, kept = self.pairs[:1], {(edge.writer, edge.reader) for edge in circuit.edges}
        by_position = self._edges(first).edge_scores
        inside = [edge for edge in by_position if (name_of(edge[0]), name_of(edge[1])) in kept]
        return lambda: faithfulness(self.bridge, first.clean, first.corrupt, self.difference, inside)

    def _edges(self, pairs: ie.PromptPairs) -> Any:
        self.bridge.set_use_attn_result(True)
        self.bridge.set_use_split_qkv_input(True)
        self.bridge.set_use_hook_mlp_in(True)
        config = EdgeAttributionConfig(granularity="edge")
        return attribution_patch(self.bridge, pairs.clean, pairs.corrupt, self.difference, config)
