"""Attribution patching: a first-order estimate of patching every node (Nanda, 2023).

The score of a node is (its value in the clean run − its value in the corrupted run) · (gradient of the metric at it).
The gradient is taken in the run that is patched. With `direction="denoising"` that is the corrupted run, as published;
with `"noising"` it is the clean run. Positive means that the clean value raises the metric.

1. `run_of_prompts` runs both prompts; `gradients_at` takes one backward pass to all sites (`_gradient_site`).
2. `effects` multiplies the change of each node with the gradient at it.

The sites:

- `embed`, `head`, `mlp` (the default): the writers. A head's value is its term in the residual stream, so that a node's
  score is the sum of the scores of its edges under `eap`. Where a norm follows attention, each run's terms are scaled
  by the norm in that run; a head's influence on the scale of the other heads is not counted.
- `q`, `k`, `v`: the outputs of the projections.
- `pattern`: the attention weights of a head. Their gradient is that at the head's z times the values. A pattern's
  position is that of the query.
- `attention`, `resid_pre`, `resid_mid`, `resid_post`: what a layer's attention adds, and the residual stream.

Cost: two forward passes and one backward pass. `positions` resolves scores by token position.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp_emerge.core.decoder import Block
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, Method, NodeScores, PatchingTask
from interp_emerge.patching.engines.attribution import (
    at_places,
    bytes_per_run,
    head_change,
    head_weights,
    node_cost,
    parts_by_direction,
    tally_nodes,
)
from interp_emerge.patching.engines.gradients import Parts, Site, at_least_float32, gradients_at
from interp_emerge.patching.engines.options import AtPositions, Direction, Sites


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `attribution_patching`."""

    sites: Sites = ("embed", "head", "mlp")
    direction: Direction = "denoising"


def run(task: PatchingTask[Options]) -> NodeScores:
    return tally_nodes(
        task, task.options.sites, lambda rows: _chunk_effects(task, rows), _bytes_each(task), "attribution_patching"
    )


def cost(task: PatchingTask[Options]) -> Cost:
    return node_cost(task, 3.0, _bytes_each(task))


@torch.no_grad()
def _chunk_effects(task: PatchingTask[Options], rows: slice) -> Parts:
    decoder = task.model.decoder
    patched, other, sign = parts_by_direction(task, task.options.direction, rows)
    nodes = dict.fromkeys((node.kind, node.layer) for node in task.graph.nodes(task.options.sites))
    places = {node: _gradient_site(*node) for node in nodes}
    gradients = gradients_at(patched, task.metric[rows], dict.fromkeys(places.values()))
    found: Parts = {}
    for (kind, layer), place in places.items():
        values = effects(decoder.blocks[max(layer, 0)], kind, place, other, patched.parts, gradients)
        found[kind, layer] = sign * at_places(task, rows, values)
    return found


def _gradient_site(kind: str, layer: int) -> Site:
    """The part at which the gradient is taken for the nodes of a kind in a layer."""
    match kind:
        case "embed":
            return "resid_pre", 0
        case "resid_post":
            return "resid_pre", layer + 1
        case "head":
            return "attention", layer
        case "pattern":
            return "head", layer
    return kind, layer


def effects(block: Block, kind: str, place: Site, other: Parts, patched: Parts, gradients: Parts) -> Tensor:
    """The change of each node of a kind in a layer times the gradient at it, shape [pair, pos, node].

    The change is the node's value in the other run less that in the run that is patched. `place` is the part at which
    the gradient was taken.
    """
    gradient, layer = at_least_float32(gradients[place]), place[1]
    if kind == "head":
        change = head_change(block, other["head", layer], patched["head", layer])
        return (torch.einsum("bpd,hkd->bphk", gradient, head_weights(block)) * change).sum(-1)
    if kind == "pattern":
        patterns = (
            at_least_float32(block.attention.pattern(parts["q", layer], parts["k", layer]))
            for parts in (other, patched)
        )
        change = next(patterns) - next(patterns)
        return (change * gradient_at_pattern(block, patched, layer, gradients[place])).sum(-1).mT
    products = (at_least_float32(other[place]) - at_least_float32(patched[place])) * gradient
    return products.sum(-1) if products.ndim == 4 else products.sum(-1, keepdim=True)


def gradient_at_pattern(block: Block, parts: Parts, layer: int, at_z: Tensor) -> Tensor:
    """Gradient at the attention pattern of each head from that at z, shape [pair, head, query, key]."""
    with torch.enable_grad():
        pattern = block.attention.pattern(parts["q", layer].detach(), parts["k", layer].detach()).requires_grad_(True)
        z = block.attention.weigh(pattern, parts["v", layer].detach())
    return at_least_float32(torch.autograd.grad(z, pattern, at_z)[0])


def _bytes_each(task: PatchingTask[Options]) -> int:
    """Bytes for one pair: all parts of both runs, and the gradients at the sites."""
    vectors = task.graph.n_layers * (10 + 2 * len(task.options.sites))
    return bytes_per_run(task) + 4 * vectors * task.pairs.length * task.model.d_model


shelf.add(
    Method(
        name="attribution_patching",
        summary="change of the node between the runs times gradient of the metric, in the corrupted run",
        source=Source("Nanda", 2023, "https://www.neelnanda.io/mechanistic-interpretability/attribution-patching"),
        scores="nodes",
        run=run,
        cost=cost,
        options=Options,
    )
)
