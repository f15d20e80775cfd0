"""Record the activations of a run under TransformerLens's hook names.

A recording holds the parts from which every writer's output can be computed: the residual stream before the first
block, each head's output before the output projection (`z`), and each MLP's output. Attention patterns are recorded on
request.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_emerge.core.agreement import Reach
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import Logits, Patterns, Residual, Tokens, WriterOutputs
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel

EMBED = "blocks.0.hook_resid_pre"


def z_name(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def mlp_name(layer: int) -> str:
    return f"blocks.{layer}.hook_mlp_out"


def pattern_name(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_pattern"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Activations of one model on one set of prompts, by hook name; the first axis is the prompt."""

    activations: Mapping[str, Tensor]

    def patterns(self, n_layers: int) -> Patterns:
        """Attention patterns of all heads, shape [prompt, layer, head, query, key]."""
        return torch.stack([self.activations[pattern_name(layer)] for layer in range(n_layers)], 1)

    def __getitem__(self, rows: slice) -> "Recording":
        """The activations of some of the prompts."""
        return Recording(activations={name: tensor[rows] for name, tensor in self.activations.items()})


def writer_outputs(model: HookedModel, recording: Recording) -> WriterOutputs:
    """What every writer adds to the residual stream; writers are in the graph's order."""
    parts = [recording.activations[EMBED].unsqueeze(2)]
    for layer, block in enumerate(model.decoder.blocks):
        parts.append(block.head_writes(recording.activations[z_name(layer)].to(model.device)))
        parts.append(recording.activations[mlp_name(layer)].unsqueeze(2))
    return torch.cat([part.to(model.device) for part in parts], 2)


def streams(model: HookedModel, recording: Recording) -> list[Residual]:
    """The residual stream before each block and after the last one, computed as a sum of writers' outputs."""
    found = [recording.activations[EMBED].to(model.device)]
    for layer, block in enumerate(model.decoder.blocks):
        attended = block.attention_writes(recording.activations[z_name(layer)].to(model.device))
        found.append(found[-1] + attended + recording.activations[mlp_name(layer)].to(model.device))
    return found


@torch.no_grad()
def final_logits(model: HookedModel, recording: Recording) -> Logits:
    """Logits after the last token."""
    return model.decoder.logits(streams(model, recording)[-1][:, -1])


@checked
@torch.no_grad()
def record(model: HookedModel, tokens: Tokens, *, patterns: bool = False, budget: int | None = None) -> Recording:
    """Run the model on each prompt and keep its activations.

    Args:
        model: the model to run.
        tokens: prompts of equal length.
        patterns: whether to keep attention patterns too.
        budget: bytes that one chunk of prompts may need; by default a constant for the kind of device.

    Raises:
        ModelError: the architecture cannot be split into heads.
    """
    chunk = items_that_fit(bytes_per_prompt(model, tokens.shape[1]), len(tokens), device=model.device, budget=budget)
    parts = [_record_chunk(model, rows, patterns) for rows in tokens.split(chunk)]
    return Recording(activations={name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def bytes_per_prompt(model: HookedModel, length: int) -> int:
    """Estimate of the memory that one prompt needs while it is recorded, patterns included."""
    graph, width = model.graph, model.d_model
    floats = length * width * (8 + 12 * graph.n_layers) + graph.n_layers * graph.n_heads * length**2 + model.d_vocab
    return 4 * floats


def _record_chunk(model: HookedModel, tokens: Tensor, patterns: bool) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    reach = Reach()
    with model.running():
        stream = kept[EMBED] = model.decoder.embed(tokens)
        for layer, block in enumerate(model.decoder.blocks):
            q, k, v = block.project(block.attention_norm(stream))
            if patterns:
                kept[pattern_name(layer)] = block.attention.pattern(q, k)
            z = kept[z_name(layer)] = block.attention.mix(q, k, v)
            attended = stream + block.attention_writes(z)
            written = kept[mlp_name(layer)] = block.mlp_writes(block.mlp_reads(stream, attended))
            stream = attended + written
            for kind, values in (("q", q), ("k", k), ("head", z), ("mlp", written), ("resid_pre", stream)):
                reach.see(kind, values)
        model.require_agreement(tokens, stream[:, -1], reach)
    return kept
