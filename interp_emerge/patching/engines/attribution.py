"""Edge attribution: the change of each writer between the runs times the gradient at each reader's input.

The score of the edge from writer u to reader v, on one pair, is

    Σ over positions and width of (u in the clean run − u in the corrupted run) · (∂ metric / ∂ input of v),

with the gradient averaged over points on the line from the corrupted embedding (0) to the clean one (1). The points are
what `eap` (Syed et al., 2023, https://arxiv.org/abs/2310.10348), `eap_ig` and `clean_corrupted` (Hanna et al., 2024,
https://arxiv.org/abs/2403.17806) differ in.

1. `attribute_edges` splits the pairs into chunks that fit the budget. `_chunk_scores` does steps 2 to 4 on each chunk.
2. At each point, `differentiable_run` runs the decoder and `ReaderGradients.add` takes one backward pass. If 0 or 1 is
   a point, the outputs of the writers in that run come from it; otherwise they come from a recording (`_recorded`).
3. `edge_changes` gives the difference of every writer's output between the two runs.
4. `add_edges` multiplies changes and gradients and sums over positions and width, one layer's readers at a time. The
   gradients at the inputs of all readers are never in memory together. Where positions are resolved, `arrangement`
   leaves the sum over positions out.
5. `tally_edges` sums the chunks to a mean over pairs and its standard error. It also keeps the values of each pair, in
   float32, while 4 bytes × pairs × edges fit the budget, or `core.memory.CPU_BUDGET` where none is given.

Methods that score nodes use `tally_nodes` in the same way.

Sign: positive where moving the edge toward the clean run raises the metric. Cost: one forward and one backward pass for
each point, a recorded run for each end of the line that is not a point, and the products (`contraction_passes`).
Memory: one chunk of pairs, and the kept values.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities.metrics import KL
from interp_emerge.caching.recording import EMBED, mlp_name, z_name
from interp_emerge.core.decoder import Block
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph, Node
from interp_emerge.core.memory import CPU_BUDGET, items_that_fit
from interp_emerge.patching.base import Cost, EdgeScores, NodeScores, PatchingTask, require_finite
from interp_emerge.patching.engines.gradients import (
    Arrange,
    DecoderRun,
    Parts,
    ReaderGradients,
    Site,
    at_least_float32,
    differentiable_run,
    run_of_prompts,
)

CORRUPT, CLEAN = 0.0, 1.0
"""The ends of the line between the runs' embeddings."""
EMBEDDING: Site = ("resid_pre", 0)
POINTS_TOGETHER = 3
"""Points whose gradients are multiplied with the changes together (docs/calibration.md)."""


def attribute_edges(task: PatchingTask, points: Sequence[float], method: str) -> EdgeScores:
    """Scores of all edges, the gradient averaged over points on the line from the corrupted to the clean embedding."""
    return tally_edges(task, lambda rows: _chunk_scores(task, rows, points), bytes_per_pair(task), method)


def edge_cost(task: PatchingTask, points: Sequence[float]) -> Cost:
    """The cost of `attribute_edges`: two passes for each point, one for each end of the line that is not a point."""
    passes = len({CORRUPT, CLEAN} - {*points}) + len(points) * (2 + contraction_passes(task))
    return Cost(passes=passes, bytes=bytes_held(task, bytes_per_pair(task)))


@torch.no_grad()
def _chunk_scores(task: PatchingTask, rows: slice, points: Sequence[float]) -> Tensor:
    decoder, arrange = task.model.decoder, arrangement(task, rows)
    tokens = {CORRUPT: task.pairs.corrupt[rows], CLEAN: task.pairs.clean[rows]}
    ends = {end: _recorded(task, ids) for end, ids in tokens.items() if end not in points}
    sums = changes = None
    # Points at the ends come first: the embeddings of the other points lie between theirs.
    for group in in_groups(sorted(points, key=lambda point: point not in tokens)):
        gradients = ReaderGradients(decoder, task.metric[rows], arrange)
        for point in group:
            if point in tokens:
                run = run_of_prompts(task.model, tokens[point], differentiable=True)
                ends[point] = _written(run.parts)
            else:
                start, stop = ends[CORRUPT]["resid_pre", 0], ends[CLEAN]["resid_pre", 0]
                run = differentiable_run(decoder, start + point * (stop - start))
            gradients.add(run)
            del run
        changes = edge_changes(task, ends[CLEAN], ends[CORRUPT], arrange)
        sums = empty_sums(task, changes) if sums is None else sums
        add_edges(sums, task.graph, changes, gradients)
        del changes
    assert sums is not None
    return sums / len(points)


def patched_end(task: PatchingTask, direction: str) -> float:
    """The end of the line whose run is patched, and in which a first-order estimate takes its gradient.

    Denoising puts clean values into the corrupted run, noising puts corrupted values into the clean run.

    Raises:
        InputError: the direction is noising and the metric is the divergence from the clean run, whose gradient there
            is zero.
    """
    if direction == "denoising":
        return CORRUPT
    if task.metric.name == KL.name:
        raise InputError("metric 'kl' has no slope in the clean run, being the divergence from that run, so all "
                         "scores would be zero; give direction='denoising', or another metric")  # fmt: skip
    return CLEAN


def parts_by_direction(task: PatchingTask, direction: str, rows: slice) -> tuple[DecoderRun, Parts, int]:
    """The run that is patched, ready for gradients, the parts of the other run, and the sign of a score.

    A first-order effect is the other run's value less the patched run's, times the gradient. The sign makes it positive
    where the clean value raises the metric.
    """
    clean, corrupt = task.pairs.clean[rows], task.pairs.corrupt[rows]
    denoising = patched_end(task, direction) == CORRUPT
    patched, other = (corrupt, clean) if denoising else (clean, corrupt)
    parts = run_of_prompts(task.model, other).parts
    return run_of_prompts(task.model, patched, differentiable=True), parts, 1 if denoising else -1


def in_groups(points: Sequence[float]) -> list[Sequence[float]]:
    """The points in groups of about equal size, at most `POINTS_TOGETHER`."""
    size = ceil(len(points) / ceil(len(points) / POINTS_TOGETHER))
    return [points[start : start + size] for start in range(0, len(points), size)]


def empty_sums(task: PatchingTask, changes: Tensor) -> Tensor:
    """Zeros to which the scores of a chunk are added, shape [row, writer, reader]."""
    return changes.new_zeros(changes.shape[1], len(task.graph.writers), len(task.graph.readers))


def add_edges(sums: Tensor, graph: Graph, changes: Tensor, gradients: ReaderGradients, first_writer: int = 0) -> None:
    """Add the scores of the edges from some writers to all readers that have gradients.

    Args:
        sums: receives the scores, shape [row, writer, reader].
        graph: writers and readers.
        changes: changes of the writers from `first_writer` on, shape [writer, row, inner, d_model].
        gradients: gradients, with the same rows and inner positions as the changes.
        first_writer: number of the first of these writers in the graph's order.
    """
    per_layer = graph.n_heads + 2 * graph.n_kv_heads + 1

    def written_before(reader: Node) -> slice:
        return slice(0, min(len(changes), max(0, graph.n_writers_before(reader) - first_writer)))

    def add(products: Tensor, writers: slice, stop: int) -> None:
        writers = slice(0, min(writers.stop, products.shape[1]))
        stop_writer, n_readers = first_writer + writers.stop, products.shape[2]
        sums[:, first_writer:stop_writer, stop - n_readers : stop] += products[:, writers]

    for layer in range(graph.n_layers):
        if not len(found := gradients.of_layer(layer)):
            continue
        to_attention, to_mlp = written_before(Node(layer, "q")), written_before(Node(layer, "mlp"))
        products = _contract(changes[to_mlp], found)
        add(products[..., :-1], to_attention, (layer + 1) * per_layer - 1)
        add(products[..., -1:], to_mlp, (layer + 1) * per_layer)
    writers = written_before(graph.readers[-1])
    add(_contract(changes[writers], gradients.at_logits()), writers, len(graph.readers))


def _contract(changes: Tensor, gradients: Tensor) -> Tensor:
    """Products of changes and gradients, summed over positions and width, shape [row, writer, reader]."""
    return torch.bmm(changes.flatten(2).transpose(0, 1), gradients.flatten(2).permute(1, 2, 0))


def edge_changes(task: PatchingTask, clean: Parts, corrupt: Parts, arrange: Arrange) -> Tensor:
    """Each writer's output in the clean run minus that in the corrupted one, shape [writer, row, inner, d_model]."""

    def change(site: Site) -> Tensor:
        return arrange(at_least_float32(clean[site]) - at_least_float32(corrupt[site]))

    embed, start = change(EMBEDDING), 1
    changes = embed.new_empty(len(task.graph.writers), *embed.shape)
    changes[0] = embed
    for layer, block in enumerate(task.model.decoder.blocks):
        heads = changes[start : start + task.graph.n_heads]
        of_heads = arrange(head_change(block, clean["head", layer], corrupt["head", layer]))
        torch.bmm(of_heads.permute(2, 0, 1, 3).flatten(1, 2), head_weights(block), out=heads.flatten(1, 2))
        changes[start + task.graph.n_heads] = change(("mlp", layer))
        start += task.graph.n_heads + 1
    return changes


def _written(parts: Parts) -> Parts:
    """The parts of a run that writers' outputs are made from, without their graph of gradients."""
    return {site: part.detach() for site, part in parts.items() if site[0] in ("head", "mlp") or site == EMBEDDING}


def head_change(block: Block, clean: Tensor, corrupt: Tensor) -> Tensor:
    """The difference of the heads' z between the runs, each times the scale of a norm after attention in its run."""
    norm = block.attention_post_norm
    if norm.module is None:
        return at_least_float32(clean) - at_least_float32(corrupt)
    clean, corrupt = (
        at_least_float32(z) * norm.scale(block.attention_out(z.flatten(2))).unsqueeze(-1) for z in (clean, corrupt)
    )
    return clean - corrupt


def head_weights(block: Block) -> Tensor:
    """The linear map from a head's `head_change` to the residual stream, shape [head, d_head, d_model]."""
    weight = at_least_float32(block.attention_out.weight()).unflatten(1, (block.q.n_heads, -1)).permute(1, 2, 0)
    return block.attention_post_norm.linear(weight, weight.new_ones(1))


def arrangement(task: PatchingTask, rows: slice) -> Arrange:
    """How values are arranged: a row for each pair, summed over positions; or a row for each pair and place."""
    if task.places is None:
        return lambda values: values
    index = task.places.index[:, rows].T.to(task.model.device)
    pairs = torch.arange(len(index), device=index.device)[:, None]
    return lambda values: values[pairs, index].flatten(0, 1).unsqueeze(1)


def _recorded(task: PatchingTask, tokens: Tensor) -> Parts:
    """The parts that writers' outputs are made from, from a recording."""
    activations = task.record(task.model, tokens).activations
    parts = {EMBEDDING: activations[EMBED]}
    for layer in range(task.graph.n_layers):
        parts |= {("head", layer): activations[z_name(layer)], ("mlp", layer): activations[mlp_name(layer)]}
    return {site: part.to(task.model.device) for site, part in parts.items()}


def chunks_of_pairs(task: PatchingTask, bytes_each: int) -> list[slice]:
    """Chunks of pairs of about equal length that fit the memory budget."""
    n = len(task.pairs)
    fit = items_that_fit(bytes_each, n, device=task.model.device, budget=task.budget, what="one pair")
    size = ceil(n / ceil(n / fit))
    return [slice(start, start + size) for start in range(0, n, size)]


def tally_nodes(
    task: PatchingTask, sites: Iterable[str], chunk_scores: Callable[[slice], Parts], bytes_each: int, method: str
) -> NodeScores:
    """Node scores of all pairs from those of chunks, each by kind and layer as `at_places` returns them."""
    nodes, found = task.graph.nodes(sites), []
    groups = dict.fromkeys((node.kind, node.layer) for node in nodes)
    for rows in task.bar(chunks_of_pairs(task, bytes_each), method):
        by_group = chunk_scores(rows)
        found.append(torch.cat([by_group[group] for group in groups], -1).cpu())
        require_finite(found[-1], f"{method} scores")
    return NodeScores(
        graph=task.graph,
        per_pair=torch.cat(found).numpy(),
        nodes=nodes,
        positions=None if task.places is None else task.places.names,
        origin=task.origin(method),
    )


def at_places(task: PatchingTask, rows: slice, values: Tensor) -> Tensor:
    """The sum over positions, [pair, node]; where positions are resolved the values at each, [pair, place, node]."""
    if task.places is None:
        return values.sum(1)
    return arrangement(task, rows)(values).unflatten(0, (len(values), -1)).squeeze(2)


def node_cost(task: PatchingTask, passes: float, bytes_each: int) -> Cost:
    """The cost of a method that scores nodes chunk by chunk."""
    return Cost(passes=passes, bytes=bytes_each * min(chunks_of_pairs(task, bytes_each)[0].stop, len(task.pairs)))


def midpoints(steps: int) -> list[float]:
    """The middle of each of `steps` equal parts of the line from 0 to 1."""
    return [(step + 0.5) / steps for step in range(steps)]


def tally_edges(
    task: PatchingTask, chunk_scores: Callable[[slice], Tensor], bytes_each: int, method: str
) -> EdgeScores:
    """Edge scores of all pairs from those of chunks, each of shape [row, writer, reader]."""
    graph, places = task.graph, task.places
    writers, readers = (torch.from_numpy(ends) for ends in np.nonzero(graph.exists))
    axes = (graph.n_edges,) if places is None else (len(places.names), graph.n_edges)
    total, squares = torch.zeros(2, *axes, dtype=torch.float64)
    kept = np.empty((len(task.pairs), *axes), np.float32) if _keeps_pairs(task) else None
    for rows in task.bar(chunks_of_pairs(task, bytes_each), method):
        values = chunk_scores(rows)[:, writers, readers].cpu().unflatten(0, (-1, *axes[:-1]))
        require_finite(values, f"{method} scores")
        for one in values.double():
            total += one
            squares += one.square()
        if kept is not None:
            kept[rows] = values.numpy()
    n = len(task.pairs)
    variance = ((squares - total.square() / n) / max(1, n - 1)).clamp_min(0)
    at = (..., *np.nonzero(graph.exists))
    scores, errors = np.zeros((2, *axes[:-1], *graph.exists.shape))
    scores[at], errors[at] = total / n, (variance / n).sqrt()
    return EdgeScores(
        graph=graph,
        scores=scores,
        standard_errors=errors,
        per_pair=kept,
        positions=None if places is None else places.names,
        origin=task.origin(method),
    )


def _kept_bytes(task: PatchingTask) -> int:
    return 4 * len(task.pairs) * task.graph.n_edges * (1 if task.places is None else len(task.places.names))


def _keeps_pairs(task: PatchingTask) -> bool:
    return _kept_bytes(task) <= (CPU_BUDGET if task.budget is None else task.budget)


def bytes_held(task: PatchingTask, bytes_each: int) -> int:
    """Memory of one chunk and of the values of each pair, where these are kept."""
    rows = chunks_of_pairs(task, bytes_each)[0]
    return bytes_each * min(rows.stop, len(task.pairs)) + _kept_bytes(task) * _keeps_pairs(task)


def contraction_passes(task: PatchingTask) -> float:
    """The time of multiplying changes and gradients for all edges once, as a share of a forward pass."""
    width = task.model.d_model
    return 0.4 + task.graph.n_edges * width / max(1, task.model.n_parameters)


def bytes_per_run(task: PatchingTask) -> int:
    """Estimate of the memory that one pair's differentiable run needs."""
    graph, length = task.graph, task.pairs.length
    floats = graph.n_layers * (19 * length * task.model.d_model + 4 * graph.n_heads * length**2)
    return 4 * (floats + 3 * task.model.d_vocab)


def bytes_per_pair(task: PatchingTask) -> int:
    """Estimate of the memory that one pair needs while its edges are scored."""
    graph, width = task.graph, task.model.d_model
    places = 1 if task.places is None else len(task.places.names)
    inner = task.pairs.length if task.places is None else places
    vectors = len(graph.writers) + graph.n_heads + 2 * graph.n_kv_heads + 4 * graph.n_layers
    sums = 2 * places * len(graph.writers) * len(graph.readers)
    return bytes_per_run(task) + 4 * (vectors * inner * width + sums)
