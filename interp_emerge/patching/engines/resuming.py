"""Run the rest of a model from a changed residual stream, exactly, computing only what the change can reach.

This is the engine of the exact methods: `activation_patching`, `ablation`, `path_patching` and `exact_edges`. Each of
them changes the residual stream of a recorded run before some block and asks what the metric becomes. The result is
that of a full forward pass with the change; what is saved is the part of the pass that the change leaves as it was.

1. `UnfoldedRun` recomputes the residual streams, queries, keys and values of every block from a recorded run.
2. A method makes a `Change`: streams that differ from that run before one block, on one span of positions.
3. `resume` carries all changes through the blocks that follow, one block at a time, with `_through_block`. Blocks below
   the change do not run. Positions before it do not run either: attention is causal, so their keys and values are those
   of the run. In the last block only the last position is computed, because the logits after the prompt read no other.
4. `Readout.rises` turns the streams at the last position into logits of the tokens that the metric reads, and returns
   the metric with the change minus the metric without it.

Changes are batched. Those on spans of different lengths share the matrix products of a block (`in_one_call`), and only
attention runs once for each span. A change joins the batch at its own block, so changes of several layers run together.
Changes that have come to the same span become one (`_merged`).

Sign: a rise is positive where the change raises the metric. `runs_by_direction` gives the sign that turns a rise into a
score. Cost: for a change before block l of L, (L − l) / L of a forward pass, times the share of positions from the
first changed one on. Memory: `BatchLimits` sizes the batches to the budget.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_emerge.abilities.metrics import BoundMetric
from interp_emerge.caching.recording import EMBED, Recording, mlp_name, z_name
from interp_emerge.core.axes import HeadVectors, KeyValueVectors, Residual
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import PatchingTask

BATCH_TOKENS = 2048
"""Positions in a batch on a CPU (docs/calibration.md)."""
LastStreams = Float[Tensor, "row d_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class UnfoldedRun:
    """A recorded run on some prompts, with what its blocks read and computed. Each part is made when first used."""

    model: HookedModel
    recording: Recording

    def embedding(self) -> Residual:
        return self._recorded(EMBED)

    def z(self, layer: int) -> HeadVectors:
        return self._recorded(z_name(layer))

    def mlp(self, layer: int) -> Residual:
        """What the MLP added to the stream."""
        return self._recorded(mlp_name(layer))

    def attention(self, layer: int) -> Residual:
        """What attention added to the stream."""
        return self.model.decoder.blocks[layer].attention_writes(self.z(layer))

    @property
    def before(self) -> list[Residual]:
        """The residual stream before each block, followed by the stream after the last block."""
        return self._streams[0]

    @property
    def attended(self) -> list[Residual]:
        """The stream before each block plus what its attention added."""
        return self._streams[1]

    @cached_property
    def projected(self) -> list[tuple[HeadVectors, KeyValueVectors, KeyValueVectors]]:
        """Queries, keys and values of each block as its projections made them, before any rotation."""
        blocks = self.model.decoder.blocks
        return [block.project(block.attention_norm(self.before[layer])) for layer, block in enumerate(blocks)]

    @cached_property
    def _streams(self) -> tuple[list[Residual], list[Residual]]:
        before, attended = [self.embedding()], []
        for layer in range(self.model.graph.n_layers):
            attended.append(before[-1] + self.attention(layer))
            before.append(attended[-1] + self.mlp(layer))
        return before, attended

    def _recorded(self, name: str) -> Tensor:
        return self.recording.activations[name].to(self.model.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """Residual streams that differ from a run's before one block, all on the same span of positions."""

    layer: int
    """The block that reads the streams; the number of blocks stands for the logits."""
    rows: Int[Tensor, " row"]
    """The prompt of the run that each stream belongs to."""
    start: int
    """The first changed position."""
    stream: Float[Tensor, "row changed_pos d_model"]
    """The changed streams on the span; everywhere else they are the run's."""


def resume(run: UnfoldedRun, changes: Sequence[Change]) -> list[LastStreams]:
    """The residual stream after all blocks at the last position, for each change in the order given."""
    n_layers = run.model.graph.n_layers
    order = sorted(range(len(changes)), key=lambda at: changes[at].layer)
    together: list[tuple[Change, list[int]]] = []
    for layer in range(changes[order[0]].layer if order else n_layers, n_layers):
        together += [(changes[at], [at]) for at in order if changes[at].layer == layer]
        carried = _through_block(run, layer, [change for change, _ in together])
        together = _merged(zip(carried, [members for _, members in together], strict=True))
    together += [(changes[at], [at]) for at in order if changes[at].layer == n_layers]
    end, found = run.before[-1].shape[1] - 1, {}
    for change, members in together:
        rows = _as_repeats(change.rows, len(run.before[-1]))
        last = replace_span(run.before[-1], rows, change.start, change.stream, begin=end)[:, 0]
        found |= zip(members, last.split([len(changes[at].rows) for at in members]), strict=True)
    return [found[at] for at in range(len(changes))]


def _merged(carried: Iterable[tuple[Change, list[int]]]) -> list[tuple[Change, list[int]]]:
    """Changes before one block, those on the same span joined into one; each with the numbers of its members."""
    spans: dict[int, list[tuple[Change, list[int]]]] = {}
    for change, members in carried:
        spans.setdefault(change.start, []).append((change, members))
    merged = []
    for start, parts in spans.items():
        if len(parts) == 1:
            merged += parts
            continue
        rows, stream = (torch.cat(values) for values in zip(*((one.rows, one.stream) for one, _ in parts), strict=True))
        joined = Change(layer=parts[0][0].layer, rows=rows, start=start, stream=stream)
        merged.append((joined, [at for _, members in parts for at in members]))
    return merged


def _through_block(run: UnfoldedRun, layer: int, changes: Sequence[Change]) -> list[Change]:
    """The same changes before the next block, each now on all positions from its first one on."""
    block, length = run.model.decoder.blocks[layer], run.before[0].shape[1]
    last = layer == run.model.graph.n_layers - 1
    # The MLP of a parallel block reads what attention reads, so it runs in the same call.
    mlp_with_projections = block.parallel and not last

    def read(stream: Tensor) -> tuple[Tensor, ...]:
        normed = block.attention_norm(stream)
        if last:
            return normed, block.project_one(block.k, normed), block.project_one(block.v, normed)
        projected = block.project(normed)
        return (*projected, block.mlp_writes(stream)) if mlp_with_projections else projected

    made = in_one_call(read, [change.stream for change in changes])
    begins = [length - 1 if last else change.start for change in changes]
    mixed, streams = [], []
    for change, (q, k, v, *_), begin in zip(changes, made, begins, strict=True):
        queries, keys, values = run.projected[layer]
        at = _as_repeats(change.rows, len(queries)), change.start
        if last:
            stop = change.start + change.stream.shape[1]
            q = replace_span(queries, at[0], stop - 1, block.project_one(block.q, q[:, -1:]), begin=begin)
        else:
            q = replace_span(queries, *at, q, begin=begin)
        mixed.append(block.attention.mix(q, replace_span(keys, *at, k), replace_span(values, *at, v)))
        streams.append(replace_span(run.before[layer], *at, change.stream, begin=begin))
    attention = in_one_call(lambda z: (block.attention_writes(z),), mixed)
    attended = [stream + writes for stream, (writes,) in zip(streams, attention, strict=True)]
    if mlp_with_projections:
        mlp = [parts[3:] for parts in made]
    else:
        changed = [change.stream[:, begin - change.start :] for change, begin in zip(changes, begins, strict=True)]
        mlp = in_one_call(lambda x: (block.mlp_writes(x),), block.mlp_reads(changed, attended))
    carried = []
    for change, begin, stream, (writes,) in zip(changes, begins, attended, mlp, strict=True):
        if block.parallel:
            rows = _as_repeats(change.rows, len(run.before[0]))
            writes = replace_span(run.mlp(layer), rows, begin, writes, begin=begin)
        carried.append(Change(layer=layer + 1, rows=change.rows, start=begin, stream=stream + writes))
    return carried


def _as_repeats(rows: Tensor, n: int) -> Tensor | int:
    """An index of rows; the number of repeats if it lists all `n` rows in order, once or more, which is faster."""
    times, left = divmod(len(rows), n)
    regular = not left and torch.equal(rows, torch.arange(n, device=rows.device).repeat(times))
    return times if regular else rows


def replace_span(reference: Tensor, rows: Tensor | int, start: int, part: Tensor, *, begin: int = 0) -> Tensor:
    """The run's values from position `begin` on, with `part` in place of those that start at position `start`.

    Args:
        reference: values of the run, shape [pair, pos, ...].
        rows: the pair of each row of `part`, or the number of repeats of all pairs in order.
        start: the first position that `part` replaces.
        part: the new values, shape [row, changed_pos, ...].
        begin: the first position of the result.
    """
    stop = start + part.shape[1]
    kept = part[:, max(0, begin - start) :]
    if begin >= start and stop == reference.shape[1]:
        return kept
    spans = reference[:, begin:start], reference[:, max(begin, stop) :]
    if not isinstance(rows, int):
        return torch.cat([spans[0][rows], kept, spans[1][rows]], 1)
    before, after = (span.expand(rows, *span.shape) for span in spans)
    return torch.cat([before, kept.unflatten(0, (rows, -1)), after], 2).flatten(0, 1)


def in_one_call(function: Callable[[Tensor], tuple[Tensor, ...]], parts: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The results of a function that acts on each position alone, for parts of different lengths, in a single call."""
    if len(parts) == 1:
        return [function(parts[0])]
    shapes = [part.shape[:2] for part in parts]
    sizes = [rows * length for rows, length in shapes]
    flat = parts[0].new_empty(sum(sizes), *parts[0].shape[2:])
    for place, part in zip(flat.split(sizes), parts, strict=True):
        place.view(part.shape).copy_(part)
    split = [made[0].split(sizes) for made in function(flat[None])]
    return [tuple(part.unflatten(0, shape) for part in made) for shape, *made in zip(shapes, *split, strict=True)]


class Readout:
    """How far changed streams at the last position raise the metric above its value in a run."""

    def __init__(self, run: UnfoldedRun, metric: BoundMetric, *, budget: int) -> None:
        tokens, self.metric = metric.reading()
        self._cells_per_call = max(1, budget // (12 * run.model.d_vocab * len(metric.pairs)))
        self._tokens = None if tokens is None else tokens.to(run.model.device)
        self._decoder = run.model.decoder
        self._reference = run.before[-1][:, -1]
        self._base = self.metric(self._logits(self._reference))

    def rises(
        self, n_cells: int, cells: Int[Tensor, " row"], rows: Int[Tensor, " row"], streams: LastStreams
    ) -> Float[Tensor, "cell pair"]:
        """How far each cell's patch raises the metric on each pair; exactly zero where nothing was patched.

        A cell is one node or edge, at one position where positions are resolved.

        Args:
            n_cells: number of cells.
            cells: the cell of each stream.
            rows: the pair of each stream.
            streams: the residual stream at the last position after all blocks.
        """
        rises = torch.zeros(n_cells, len(self._reference), dtype=torch.float32, device=streams.device)
        touched = torch.zeros_like(rises, dtype=torch.bool)
        touched[cells, rows] = True
        which = touched.any(1)
        if not which.any():
            return rises
        patched = self._reference.repeat(int(which.sum()), 1, 1)
        patched[(which.cumsum(0) - 1)[cells], rows] = streams
        values = torch.cat([self.metric(self._logits(part)) for part in patched.split(self._cells_per_call)])
        rises[which] = (values - self._base).to(rises) * touched[which]
        return rises

    def _logits(self, streams: Float[Tensor, "... pair d_model"]) -> Tensor:
        tokens = self._tokens
        return self._decoder.logits(streams, None if tokens is None else tokens.expand(*streams.shape[:-1], -1))


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """How much is processed together within a memory budget."""

    pairs: int
    """Pairs in a chunk."""
    tokens: int
    """Positions of changed streams, over all rows of a batch."""
    bytes: int
    """Memory that a chunk and a batch need."""

    @classmethod
    def of(cls, task: PatchingTask) -> "BatchLimits":
        """The largest chunk of pairs whose two runs leave an equal amount of memory for changed streams.

        Raises:
            InputError: the budget is too small for a single pair.
        """
        graph, length, device = task.graph, task.pairs.length, task.model.device
        width = max(task.model.d_model, graph.n_heads * cast(int, task.model.decoder.blocks[0].q.shape[-1]))
        item = max(4, task.model.dtype.itemsize)
        token = item * (24 * width + graph.n_heads * length)
        # Both runs hold streams before and after attention, MLP outputs, z, queries, keys and values; and some logits.
        pair = 2 * item * length * width * (7 * graph.n_layers + 2) + 12 * task.model.d_vocab
        n = len(task.pairs)
        each = pair + max(pair, length * token)
        n_pairs = items_that_fit(each, n, device=device, budget=task.budget, what="one pair")
        most = items_that_fit(each, 1 << 40, device=device, budget=task.budget, what="one pair") * each
        tokens = (most - n_pairs * pair) // token
        tokens = tokens if device.type != "cpu" else min(tokens, BATCH_TOKENS)
        return cls(pairs=n_pairs, tokens=max(n_pairs * length, tokens), bytes=most)


def runs_by_direction(task: PatchingTask, direction: str) -> tuple[Recording, Recording, int]:
    """The run that is patched, the run that gives the values, and the sign that turns a rise into a score.

    Denoising puts clean values into the corrupted run, and a score is the rise. Noising puts corrupted values into the
    clean run, and a score is the fall.
    """
    if direction == "noising":
        return task.clean, task.corrupt, -1
    return task.corrupt, task.clean, 1
