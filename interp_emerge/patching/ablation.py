"""Ablation: how far the metric falls when a node of the clean run gets a stand-in for its value (Wang et al., 2022).

1. Both runs are recorded. `stand_ins` makes the stand-ins of all nodes from the corrupted run: their values there
   (`resample`), their means over all corrupted prompts and positions (`mean`) or over the prompts at each position
   (`mean_by_position`), or zero (`zero`).
2. `patched_rises` puts the stand-in of one node at a time into the clean run. The score is the clean metric minus the
   ablated one, so a node that the answer needs scores positive. With `resample` this is activation patching with
   `direction="noising"`.

Heads are ablated at their output before the last projection of attention. The embedding and MLPs are ablated at what
they add to the residual stream. Where a norm follows attention, ablating a head also rescales the layer's other heads.
`ablate` ablates several nodes together.

Cost: for a node of layer l of L, (L − l) / L of a forward pass; for `ablate` one pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities.metrics import MetricFunction, bind_metric, bytes_of_reading
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import EMBED, Recording, bytes_per_prompt, mlp_name, record, z_name
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.graph import Node
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.activation_patching import node_scores, patched_rises, patching_cost
from interp_emerge.patching.base import Cost, Method, NodeScores, PatchingTask, Recorder
from interp_emerge.patching.engines.options import AtPositions, Sites

WRITERS = ("embed", "head", "mlp")
Ablation = Literal["zero", "mean", "mean_by_position", "resample"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
MEANS: tuple[Ablation, ...] = ("mean", "mean_by_position")
"""Ablations whose stand-ins depend on all pairs together, which then need one length."""


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `ablation`."""

    sites: Sites = ("head", "mlp")
    ablation: Annotated[Ablation, "what an ablated node's value is replaced by"] = "resample"

    @property
    def mixes_pairs(self) -> bool:
        return self.ablation in MEANS


def run(task: PatchingTask[Options]) -> NodeScores:
    nodes = _nodes(task)
    source = stand_ins(task.corrupt, task.options.ablation)
    scores = node_scores(task, nodes, -patched_rises(task, nodes, task.clean, source, "ablation"), "ablation")
    return replace(scores, origin=scores.origin | {"corruption": task.options.ablation})


def cost(task: PatchingTask[Options]) -> Cost:
    return patching_cost(task, _nodes(task))


def _nodes(task: PatchingTask[Options]) -> tuple[Node, ...]:
    sites = task.options.sites
    for site in sites:
        if site not in WRITERS:
            raise UnknownNameError("site of ablation", site, WRITERS)
    return task.graph.nodes(sites)


def stand_ins(corrupt: Recording, ablation: Ablation) -> Recording:
    """The value that replaces each ablated node on each prompt, made from the corrupted run."""
    over = {"mean": (0, 1), "mean_by_position": (0,)}

    def make(values: Tensor) -> Tensor:
        if ablation == "resample":
            return values
        if ablation == "zero":
            return values.new_zeros(()).expand(values.shape)
        wide = torch.promote_types(values.dtype, torch.float32)
        return values.mean(over[ablation], keepdim=True, dtype=wide).to(values.dtype).expand(values.shape)

    kept = {
        name: make(values) if name.startswith("blocks.") else values for name, values in corrupt.activations.items()
    }
    return Recording(activations=kept)


@checked
@torch.no_grad()
def ablate(
    model: HookedModel,
    nodes: Sequence[str],
    pairs: PromptPairs,
    *,
    ablation: Ablation = "resample",
    metric: str | MetricFunction = "logit_diff",
    budget: int | None = None,
    record: Recorder = record,
) -> np.ndarray:
    """The metric of the clean run with some nodes ablated together, one value for each pair, shape [pair].

    Example:
        >>> lost = ie.ablate(model, [], pairs).mean() - ie.ablate(model, ["a0.h0"], pairs).mean()

    Args:
        model: model to run.
        nodes: names of writers: heads such as `a1.h0`, MLPs such as `m2`, `embed`. Without any, the run is the clean
            one.
        pairs: clean prompts that are run, and corrupted prompts that the stand-ins are made from.
        ablation: `resample`, `zero`, `mean` or `mean_by_position`.
        metric: name of a metric, or a callable from logits and pairs to one value for each pair.
        budget: bytes that a chunk of pairs may need; by default a constant for the kind of device.
        record: gets the activations of the corrupted run; by default runs the model.

    Raises:
        UnknownNameError: no node, metric or ablation has the name.
        InputError: the pairs do not fit the model, or have several lengths and the ablation is a mean.
    """
    require_pairs(model, pairs)
    by_name = {node.name: node for node in model.graph.writers}
    nodes = [nodes] if isinstance(nodes, str) else nodes
    for name in nodes:
        if name not in by_name:
            raise UnknownNameError("node", name, by_name)
    chosen = frozenset(by_name[name] for name in nodes)
    if ablation in MEANS:
        pairs.require_one_length(f"ablation {ablation!r}")
    values = []
    with model.running():
        for _, group in pairs.by_length():
            each = bytes_per_prompt(model, group.length) + bytes_of_reading(model)
            n = items_that_fit(each, len(group), device=model.device, budget=budget)
            bound = bind_metric(metric, model, group, budget=budget)
            source = stand_ins(record(model, group.corrupt), ablation)
            for rows in (slice(start, start + n) for start in range(0, len(group), n)):
                logits = _logits_without(model, chosen, group.clean[rows], source[rows])
                values.append(bound[rows](logits).cpu().double().numpy())
    return pairs.in_order(values)


def _logits_without(model: HookedModel, ablated: frozenset[Node], tokens: Tensor, source: Recording) -> Tensor:
    """Logits of prompts with some nodes' values stand_in from another recording."""

    def stand_in(name: str) -> Tensor:
        return source.activations[name].to(model.device)

    stream = stand_in(EMBED) if Node(-1, "embed") in ablated else model.decoder.embed(tokens)
    for layer, block in enumerate(model.decoder.blocks):
        z = block.attention.mix(*block.project(block.attention_norm(stream)))
        heads = [node.index for node in ablated if node.kind == "head" and node.layer == layer]
        if heads:
            z = z.clone()
            z[:, :, heads] = stand_in(z_name(layer))[:, :, heads]
        attended = stream + block.attention_writes(z)
        kept = Node(layer, "mlp") not in ablated
        stream = attended + (block.mlp_writes(block.mlp_reads(stream, attended)) if kept else stand_in(mlp_name(layer)))
    return model.decoder.logits(stream[:, -1])


shelf.add(
    Method(
        name="ablation",
        summary="fall of the metric when a node of the clean run takes its corrupted value, a mean or zero",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        scores="nodes",
        run=run,
        cost=cost,
        options=Options,
    )
)
