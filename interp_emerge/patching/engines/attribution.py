"""Edge attribution: what each writer changes between the runs, times the gradient at each reader's input.

1. `edge_changes` is the difference of every writer's output between the clean and the corrupt run.
2. `attribute_edges` takes the gradient at points on the line between the two runs' embeddings. Where an end of the line
   is a point, its run serves as the recording too.
3. `add_edges` contracts both over positions and width, one layer's readers at a time, so that the gradients at all
   readers' inputs are never held together.
4. `tally_chunks` adds chunks of pairs up to a mean and its standard error. The values of each pair are kept too, in
   float32, as long as 4 bytes × pairs × edges stay within the budget, or within `core.memory`'s constant for the CPU.

Memory is that of one chunk of pairs, beside the kept values.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

from interp_emerge.caching.recording import EMBED, mlp_name, z_name
from interp_emerge.core.decoder import Block
from interp_emerge.core.graph import Graph, Node
from interp_emerge.core.memory import CPU_BUDGET, items_that_fit
from interp_emerge.patching.base import Cost, EdgeScores, NodeScores, PatchingTask, require_ordinary_run
from interp_emerge.patching.engines.gradients import (
    Arrange,
    Parts,
    ReaderGradients,
    Site,
    differentiable_run,
    run_of_prompts,
    wide,
)

CORRUPT, CLEAN = 0.0, 1.0
"""The ends of the line between the runs' embeddings."""
EMBEDDING: Site = ("resid_pre", 0)
AT_ONCE = 3
"""Points whose gradients are contracted with the changes together. One at a time takes 9% longer, and five no less time
but more memory."""


def attribute_edges(task: PatchingTask, points: Sequence[float], method: str) -> EdgeScores:
    """Scores of all edges, the gradient averaged over points on the line from the corrupt to the clean embedding."""
    return tally_chunks(task, lambda rows: _chunk_scores(task, rows, points), bytes_per_pair(task), method)


def edge_cost(task: PatchingTask, points: Sequence[float]) -> Cost:
    """What `attribute_edges` takes: a forward and a backward pass a point, and one for each end that is none."""
    passes = len({CORRUPT, CLEAN} - {*points}) + len(points) * (2 + contraction_passes(task))
    return Cost(passes=passes, bytes=bytes_held(task, bytes_per_pair(task)))


@torch.no_grad()
def _chunk_scores(task: PatchingTask, rows: slice, points: Sequence[float]) -> Tensor:
    decoder, arrange = task.model.decoder, arrangement(task, rows)
    tokens = {CORRUPT: task.pairs.corrupt[rows], CLEAN: task.pairs.clean[rows]}
    ends = {end: _recorded(task, ids) for end, ids in tokens.items() if end not in points}
    sums = changes = None
    # The ends come first: the other points lie between what their runs record.
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


def in_groups(points: Sequence[float]) -> list[Sequence[float]]:
    """The points in groups of about equal length, as many as are contracted together."""
    size = ceil(len(points) / ceil(len(points) / AT_ONCE))
    return [points[start : start + size] for start in range(0, len(points), size)]


def empty_sums(task: PatchingTask, changes: Tensor) -> Tensor:
    """Where the scores of a chunk are added up, shape [row, writer, reader]."""
    return changes.new_zeros(changes.shape[1], len(task.graph.writers), len(task.graph.readers))


def add_edges(sums: Tensor, graph: Graph, changes: Tensor, gradients: ReaderGradients, first_writer: int = 0) -> None:
    """Add the scores of the edges from some writers to all readers at which there are gradients.

    Args:
        sums: what is added to, shape [row, writer, reader].
        graph: writers and readers.
        changes: of writers from `first_writer` on, shape [writer, row, inner, d_model].
        gradients: arranged as the changes are.
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
    add(_contract(changes[writers], gradients.at_end()), writers, len(graph.readers))


def _contract(changes: Tensor, gradients: Tensor) -> Tensor:
    """Products of changes and gradients, summed over positions and width, shape [row, writer, reader]."""
    return torch.bmm(changes.flatten(2).transpose(0, 1), gradients.flatten(2).permute(1, 2, 0))


def edge_changes(task: PatchingTask, clean: Parts, corrupt: Parts, arrange: Arrange) -> Tensor:
    """What each writer's output changes from the corrupt run to the clean one, shape [writer, row, inner, d_model]."""

    def change(site: Site) -> Tensor:
        return arrange(wide(clean[site]) - wide(corrupt[site]))

    embed, start = change(EMBEDDING), 1
    changes = embed.new_empty(len(task.graph.writers), *embed.shape)
    changes[0] = embed
    for layer, block in enumerate(task.model.decoder.blocks):
        heads = changes[start : start + task.graph.n_heads]
        short = arrange(head_change(block, clean["head", layer], corrupt["head", layer]))
        torch.bmm(short.permute(2, 0, 1, 3).flatten(1, 2), head_weights(block), out=heads.flatten(1, 2))
        changes[start + task.graph.n_heads] = change(("mlp", layer))
        start += task.graph.n_heads + 1
    return changes


def _written(parts: Parts) -> Parts:
    """What writers' outputs are made from, of all parts of a run."""
    return {site: part.detach() for site, part in parts.items() if site[0] in ("head", "mlp") or site == EMBEDDING}


def head_change(block: Block, clean: Tensor, corrupt: Tensor) -> Tensor:
    """The difference of z, each run's divided by what the norm behind attention divides by in that run."""
    norm = block.attention_post_norm
    if norm.module is None:
        return wide(clean) - wide(corrupt)
    clean, corrupt = (wide(z) * norm.scale(block.attention_out(z.flatten(2))).unsqueeze(-1) for z in (clean, corrupt))
    return clean - corrupt


def head_weights(block: Block) -> Tensor:
    """From such a difference to the stream, shape [head, d_head, d_model]."""
    weight = wide(block.attention_out.weight()).unflatten(1, (block.q.n_heads, -1)).permute(1, 2, 0)
    return block.attention_post_norm.linear(weight, weight.new_ones(1))


def arrangement(task: PatchingTask, rows: slice) -> Arrange:
    """Rows are pairs and positions are summed over; where positions are resolved, rows are pairs × places."""
    if task.places is None:
        return lambda values: values
    index = task.places.index[:, rows].T.to(task.model.device)
    pairs = torch.arange(len(index), device=index.device)[:, None]
    return lambda values: values[pairs, index].flatten(0, 1).unsqueeze(1)


def _recorded(task: PatchingTask, tokens: Tensor) -> Parts:
    activations = task.record(task.model, tokens).activations
    parts = {EMBEDDING: activations[EMBED]}
    for layer in range(task.graph.n_layers):
        parts |= {("head", layer): activations[z_name(layer)], ("mlp", layer): activations[mlp_name(layer)]}
    return {site: part.to(task.model.device) for site, part in parts.items()}


def chunks_of_pairs(task: PatchingTask, bytes_each: int) -> list[slice]:
    """Runs of pairs that fit the memory budget, of about equal length."""
    n = len(task.pairs)
    fit = items_that_fit(bytes_each, n, device=task.model.device, budget=task.budget, what="one pair")
    size = ceil(n / ceil(n / fit))
    return [slice(start, start + size) for start in range(0, n, size)]


def tally_nodes(
    task: PatchingTask, sites: Iterable[str], chunk_scores: Callable[[slice], Parts], bytes_each: int, method: str
) -> NodeScores:
    """Node scores of all pairs from those of chunks, as `at_places` gives them for each kind and layer."""
    nodes, found = task.graph.nodes(sites), []
    groups = dict.fromkeys((node.kind, node.layer) for node in nodes)
    for rows in task.bar(chunks_of_pairs(task, bytes_each), method):
        by_group = chunk_scores(rows)
        found.append(torch.cat([by_group[group] for group in groups], -1).cpu())
        require_ordinary_run(found[-1], f"{method} scores")
    return NodeScores(
        graph=task.graph,
        per_pair=torch.cat(found).numpy(),
        nodes=nodes,
        positions=None if task.places is None else task.places.names,
        origin=task.origin(method),
    )


def at_places(task: PatchingTask, rows: slice, values: Tensor) -> Tensor:
    """From [pair, pos, node] to [pair, node], or to [pair, place, node] where positions are resolved."""
    if task.places is None:
        return values.sum(1)
    return arrangement(task, rows)(values).unflatten(0, (len(values), -1)).squeeze(2)


def node_cost(task: PatchingTask, passes: float, bytes_each: int) -> Cost:
    """What a method takes that scores nodes chunk by chunk."""
    return Cost(passes=passes, bytes=bytes_each * min(chunks_of_pairs(task, bytes_each)[0].stop, len(task.pairs)))


def midpoints(steps: int) -> list[float]:
    """The middle of each of `steps` equal parts of the line from 0 to 1."""
    return [(step + 0.5) / steps for step in range(steps)]


def tally_chunks(
    task: PatchingTask, chunk_scores: Callable[[slice], Tensor], bytes_each: int, method: str
) -> EdgeScores:
    """Edge scores of all pairs from those of chunks, shape [row, writer, reader] each."""
    graph, places = task.graph, task.places
    writers, readers = (torch.from_numpy(ends) for ends in np.nonzero(graph.exists))
    axes = (graph.n_edges,) if places is None else (len(places.names), graph.n_edges)
    total, squares = torch.zeros(2, *axes, dtype=torch.float64)
    kept = np.empty((len(task.pairs), *axes), np.float32) if _keeps_pairs(task) else None
    for rows in task.bar(chunks_of_pairs(task, bytes_each), method):
        values = chunk_scores(rows)[:, writers, readers].cpu().unflatten(0, (-1, *axes[:-1]))
        require_ordinary_run(values, f"{method} scores")
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
    """Memory of one chunk and of the kept values."""
    rows = chunks_of_pairs(task, bytes_each)[0]
    return bytes_each * min(rows.stop, len(task.pairs)) + _kept_bytes(task) * _keeps_pairs(task)


def contraction_passes(task: PatchingTask) -> float:
    """What one contraction of all edges takes, as a share of a forward pass."""
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
