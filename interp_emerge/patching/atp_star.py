"""AtP*: attribution patching with corrections for two cases that it misses (Kramár et al., 2024).

Nodes are the queries, keys and values of each head (outputs of the projections), the heads' terms in the residual
stream, and the outputs of the MLPs. As in attribution patching, gradients are those of the run that is patched: with
`direction="denoising"` the corrupted run, which gets clean values; with `"noising"` the clean run, which gets corrupted
ones, as published.

1. QK correction, for queries and keys. A saturated softmax has almost no gradient. So `_pattern_changes` computes the
   attention pattern again with the node patched, and this exact change is multiplied with the gradient at the pattern
   (`gradient_at_pattern`). All heads are patched in one call: queries at all positions, because a query changes only
   the pattern at its own position; keys at all positions together, or at one position at a time where positions are
   resolved. Where a norm joins the heads, one head is patched at a time, and the patterns of all heads count.
2. GradDrop, for all nodes. Behind a node, contributions of several paths to the gradient may cancel. So for each layer
   l, `_without_each_layer` takes the gradient with the part through layer l's outputs (attention and MLP) stopped. The
   size of a score is Σ_l |estimate_l| / (L − 1) on each pair, with L layers: the estimate is 0 if the node's own layer
   is stopped, and unchanged if an earlier one is. With L = 1 scores are the estimates of step 1.

Sign: that of the estimate with no layer stopped; the published values are sizes without a sign. A size does not
estimate an effect where layers reinforce each other: in a linear model it can be too small or too large.

Cost: two forward passes, one backward pass, and L − 1 gradients below the stopped layers, which together take about L/2
backward passes. In addition two patterns for each layer, times the number of heads where a norm joins them, and for
keys times the number of positions where these are resolved.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp_emerge.core.decoder import Block
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.attribution_patching import effects, gradient_at_pattern
from interp_emerge.patching.base import Cost, Method, NodeScores, PatchingTask
from interp_emerge.patching.engines.attribution import (
    at_places,
    bytes_per_run,
    node_cost,
    parts_by_direction,
    tally_nodes,
)
from interp_emerge.patching.engines.gradients import (
    DecoderRun,
    Parts,
    Site,
    at_least_float32,
    gradients_at,
)
from interp_emerge.patching.engines.options import AtPositions, Direction, Sites

SITES = ("q", "k", "v", "head", "mlp")
SHARE_OF_PATTERN = 0.25
"""Time of computing the patterns of all layers once, as a share of a forward pass, in models of a few hundred wide."""
GRADIENT_OF = {"q": "head", "k": "head", "v": "v", "head": "attention", "mlp": "mlp"}
"""The part at which the gradient is taken for each kind of node: for queries and keys at z, the heads' outputs."""


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `atp_star`."""

    sites: Sites = SITES
    direction: Direction = "denoising"


def run(task: PatchingTask[Options]) -> NodeScores:
    for node in task.graph.nodes(task.options.sites):
        if node.kind not in SITES:
            raise UnknownNameError("site", node.kind, SITES)
    return tally_nodes(task, task.options.sites, lambda rows: _chunk_scores(task, rows), _bytes_each(task), "atp_star")


def cost(task: PatchingTask[Options]) -> Cost:
    patterns = 1 if task.places is None else len(task.places.names)
    passes = (
        3 + task.graph.n_layers / 2 + SHARE_OF_PATTERN * patterns * (task.graph.n_heads if task.graph.joined else 1)
    )
    return replace(node_cost(task, passes, _bytes_each(task)), seconds_per_pass=2)


@torch.no_grad()
def _chunk_scores(task: PatchingTask[Options], rows: slice) -> Parts:
    decoder, n_layers = task.model.decoder, task.graph.n_layers
    patched, other, sign = parts_by_direction(task, task.options.direction, rows)
    nodes = list(dict.fromkeys((node.kind, node.layer) for node in task.graph.nodes(task.options.sites)))
    changes = {node: _pattern_changes(task, rows, node, other, patched.parts) for node in nodes if node[0] in "qk"}

    def estimate(node: Site, gradients: Parts) -> Tensor:
        kind, layer = node
        block, place = decoder.blocks[layer], (GRADIENT_OF[kind], layer)
        if node not in changes:
            return at_places(task, rows, effects(block, kind, place, other, patched.parts, gradients))
        products = changes[node] * gradient_at_pattern(block, patched.parts, layer, gradients[place])
        return _gather_query(task, rows, block, products) if kind == "q" else _gather_key(task, block, products)

    sites = dict.fromkeys((GRADIENT_OF[kind], layer) for kind, layer in nodes)
    streams = [("resid_pre", layer + 1) for layer in range(n_layers)]
    undropped = gradients_at(patched, task.metric[rows], [*sites, *streams], again=True)
    plain = {node: estimate(node, undropped) for node in nodes}
    if n_layers == 1:
        return {node: sign * values for node, values in plain.items()}
    # Stopping an earlier layer leaves a node's estimate as it is, once for each of them.
    sizes = {node: plain[node].abs() * node[1] for node in nodes}
    for dropped, gradients in _without_each_layer(patched, undropped, sites, n_layers):
        for node in nodes:
            if node[1] < dropped:
                sizes[node] += estimate(node, gradients).abs()
    return {node: torch.copysign(sizes[node] / (n_layers - 1), sign * plain[node]) for node in nodes}


def _without_each_layer(
    run: DecoderRun, undropped: Parts, sites: Iterable[Site], n_layers: int
) -> Iterator[tuple[int, Parts]]:
    """For each layer but the first: the gradients below it, with the part through the layer's own outputs stopped.

    The gradient at the stream before the layer is then the gradient at the stream after it, known from `undropped`.
    """
    for dropped in range(1, n_layers):
        below = [site for site in sites if site[1] < dropped]
        found = torch.autograd.grad(
            run.parts["resid_pre", dropped],
            [run.parts[site] for site in below],
            undropped["resid_pre", dropped + 1],
            retain_graph=True,
        )
        yield dropped, dict(zip(below, found, strict=True))


def _pattern_changes(task: PatchingTask, rows: slice, node: Site, other: Parts, patched: Parts) -> Tensor:
    """The change of a layer's patterns when queries or keys are patched, [patched, place, pair, head, query, key].

    The axis `patched` counts heads where a norm joins them, and has length 1 where all heads are patched in one call.
    The axis `place` counts positions for keys where positions are resolved, and has length 1 otherwise: a query changes
    the pattern at its own position alone.
    """
    side, layer = node
    attention = task.model.decoder.blocks[layer].attention
    q, k, ordinary, target = patched["q", layer], patched["k", layer], patched[side, layer], other[side, layer]
    before, found = at_least_float32(attention.pattern(q, k)), []
    for heads in range(ordinary.shape[2]) if attention.joins_heads else [slice(None)]:
        for at in _places(task, rows) if side == "k" else [(slice(None), slice(None))]:
            mixed = ordinary.clone()
            mixed[(*at, heads)] = target[(*at, heads)]
            found.append(at_least_float32(attention.pattern(*((mixed, k) if side == "q" else (q, mixed)))) - before)
    n_heads = ordinary.shape[2] if attention.joins_heads else 1
    return torch.stack(found).unflatten(0, (n_heads, -1))


def _places(task: PatchingTask, rows: slice) -> list[tuple[slice | Tensor, slice | Tensor]]:
    """The index of pairs and positions for each place; all positions together where they are not resolved."""
    if task.places is None:
        return [(slice(None), slice(None))]
    return [(torch.arange(len(index)), index) for index in task.places.index[:, rows]]


def _gather_query(task: PatchingTask, rows: slice, block: Block, products: Tensor) -> Tensor:
    """Effects of queries: products summed over keys, and over the heads whose patterns a query changes."""
    by_query = products[:, 0].sum(-1)
    by_head = by_query.sum(2).permute(1, 2, 0) if block.attention.joins_heads else by_query[0].mT
    return at_places(task, rows, by_head)


def _gather_key(task: PatchingTask, block: Block, products: Tensor) -> Tensor:
    """Effects of keys: products summed over queries and keys, and over the heads whose patterns a key changes."""
    by_head = products.sum((-1, -2))
    if block.attention.joins_heads:
        found = by_head.sum(-1).permute(2, 1, 0)
    else:
        found = by_head[0].movedim(0, 1).unflatten(-1, (block.k.n_heads, -1)).sum(-1)
    return found[:, 0] if task.places is None else found


def _bytes_each(task: PatchingTask[Options]) -> int:
    """Bytes for one pair: all parts of both runs, two sets of gradients, and the changed patterns of every layer."""
    graph, length = task.graph, task.pairs.length
    places = 1 if task.places is None else len(task.places.names)
    patterns = (graph.n_heads if graph.joined else 1) * (1 + places) + 3
    vectors = graph.n_layers * 20 * length * task.model.d_model
    return bytes_per_run(task) + 4 * (vectors + graph.n_layers * graph.n_heads * length**2 * patterns)


shelf.add(
    Method(
        name="atp_star",
        summary="attribution patching, attention recomputed for queries and keys, gradients dropped layer by layer",
        source=Source("Kramár et al.", 2024, "https://arxiv.org/abs/2403.00745"),
        scores="nodes",
        run=run,
        cost=cost,
        options=Options,
    )
)
