"""Run the rest of a model from a changed residual stream: exactly, and without what the change cannot reach.

1. `Run` unfolds a recorded run into the streams, queries, keys and values of its blocks.
2. `resume` takes streams that differ from that run before some block, each on a span of positions, and carries them
   through the blocks that follow. No block before the change runs, and no position before it: these keep the run's keys
   and values. The last block makes one query, one attention output and one MLP output, those of the last position.
3. `Readout` turns the streams after the last position into changes of the metric.

Changes on spans of different lengths share the matrix products of a block; only attention runs for each span by itself.
A change enters at its own block, so those of several layers share a batch too, and become one where their spans agree.
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
"""Positions in a batch on a processor: on two cores products of 1024 to 2048 rows run at 290 to 310 GFLOP/s, of 4096 at
220 to 310."""
LastStreams = Float[Tensor, "row d_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A recorded run on some prompts, with what its blocks read and computed; what is not asked for is not made."""

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
        """The stream before each block, and last that after all of them."""
        return self._streams[0]

    @property
    def attended(self) -> list[Residual]:
        """The stream before each block plus what its attention added."""
        return self._streams[1]

    @cached_property
    def projected(self) -> list[tuple[HeadVectors, KeyValueVectors, KeyValueVectors]]:
        """Queries, keys and values of each block as its projections made them."""
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
    """Streams that differ from a run's before one block, all on the same span of positions."""

    layer: int
    """The block that reads them; the number of blocks stands for the logits."""
    rows: Int[Tensor, " row"]
    """Which of the run's prompts each stream belongs to."""
    start: int
    stream: Float[Tensor, "row changed_pos d_model"]


def resume(run: Run, changes: Sequence[Change]) -> list[LastStreams]:
    """The stream after all blocks at the last position, for each change in its order."""
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
        rows = _in_order(change.rows, len(run.before[-1]))
        last = whole(run.before[-1], rows, change.start, change.stream, begin=end)[:, 0]
        found |= zip(members, last.split([len(changes[at].rows) for at in members]), strict=True)
    return [found[at] for at in range(len(changes))]


def _merged(carried: Iterable[tuple[Change, list[int]]]) -> list[tuple[Change, list[int]]]:
    """Changes before one block, with the numbers of those that each is made of; those on the same span become one."""
    spans: dict[int, list[tuple[Change, list[int]]]] = {}
    for change, members in carried:
        spans.setdefault(change.start, []).append((change, members))
    merged = []
    for start, parts in spans.items():
        if len(parts) == 1:
            merged += parts
            continue
        rows, stream = (torch.cat(values) for values in zip(*((one.rows, one.stream) for one, _ in parts), strict=True))
        whole_change = Change(layer=parts[0][0].layer, rows=rows, start=start, stream=stream)
        merged.append((whole_change, [at for _, members in parts for at in members]))
    return merged


def _through_block(run: Run, layer: int, changes: Sequence[Change]) -> list[Change]:
    """The same changes before the next block, each now on all positions from its first on."""
    block, length = run.model.decoder.blocks[layer], run.before[0].shape[1]
    last = layer == run.model.graph.n_layers - 1
    at_once = block.parallel and not last

    def read(stream: Tensor) -> tuple[Tensor, ...]:
        normed = block.attention_norm(stream)
        if last:
            return normed, block.project_one(block.k, normed), block.project_one(block.v, normed)
        projected = block.project(normed)
        return (*projected, block.mlp_writes(stream)) if at_once else projected

    made = in_one_call(read, [change.stream for change in changes])
    begins = [length - 1 if last else change.start for change in changes]
    mixed, streams = [], []
    for change, (q, k, v, *_), begin in zip(changes, made, begins, strict=True):
        queries, keys, values = run.projected[layer]
        at = _in_order(change.rows, len(queries)), change.start
        if last:
            stop = change.start + change.stream.shape[1]
            q = whole(queries, at[0], stop - 1, block.project_one(block.q, q[:, -1:]), begin=begin)
        else:
            q = whole(queries, *at, q, begin=begin)
        mixed.append(block.attention.mix(q, whole(keys, *at, k), whole(values, *at, v)))
        streams.append(whole(run.before[layer], *at, change.stream, begin=begin))
    attention = in_one_call(lambda z: (block.attention_writes(z),), mixed)
    attended = [stream + writes for stream, (writes,) in zip(streams, attention, strict=True)]
    if at_once:
        mlp = [parts[3:] for parts in made]
    else:
        changed = [change.stream[:, begin - change.start :] for change, begin in zip(changes, begins, strict=True)]
        mlp = in_one_call(lambda x: (block.mlp_writes(x),), block.mlp_reads(changed, attended))
    carried = []
    for change, begin, stream, (writes,) in zip(changes, begins, attended, mlp, strict=True):
        if block.parallel:
            writes = whole(run.mlp(layer), _in_order(change.rows, len(run.before[0])), begin, writes, begin=begin)
        carried.append(Change(layer=layer + 1, rows=change.rows, start=begin, stream=stream + writes))
    return carried


def _in_order(rows: Tensor, n: int) -> Tensor | int:
    """An index of rows; how often it goes through all `n` of them, where it does so in their order."""
    times, left = divmod(len(rows), n)
    regular = not left and torch.equal(rows, torch.arange(n, device=rows.device).repeat(times))
    return times if regular else rows


def whole(reference: Tensor, rows: Tensor | int, start: int, part: Tensor, *, begin: int = 0) -> Tensor:
    """The run's values on some rows from position `begin` on, with a part that starts at `start` put in their place."""
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
    """A function of single positions applied to parts of different lengths at once, and its results part by part."""
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
    """From streams at the last position to changes of the metric against a run."""

    def __init__(self, run: Run, metric: BoundMetric, *, budget: int) -> None:
        tokens, self.metric = metric.reading()
        self._at_once = max(1, budget // (12 * run.model.d_vocab * len(metric.pairs)))
        self._tokens = None if tokens is None else tokens.to(run.model.device)
        self._decoder = run.model.decoder
        self._reference = run.before[-1][:, -1]
        self._base = self.metric(self._logits(self._reference))

    def rises(
        self, n_cells: int, cells: Int[Tensor, " row"], rows: Int[Tensor, " row"], streams: LastStreams
    ) -> Float[Tensor, "cell pair"]:
        """How far each cell's patch raises the metric on each pair; zero exactly where nothing was patched.

        Args:
            n_cells: how many cells there are.
            cells: the cell of each stream.
            rows: the pair of each stream.
            streams: at the last position after all blocks.
        """
        rises = torch.zeros(n_cells, len(self._reference), device=streams.device)
        touched = torch.zeros_like(rises, dtype=torch.bool)
        touched[cells, rows] = True
        which = touched.any(1)
        if not which.any():
            return rises
        patched = self._reference.repeat(int(which.sum()), 1, 1)
        patched[(which.cumsum(0) - 1)[cells], rows] = streams
        values = torch.cat([self.metric(self._logits(part)) for part in patched.split(self._at_once)])
        rises[which] = (values - self._base).to(rises) * touched[which]
        return rises

    def _logits(self, streams: Float[Tensor, "... pair d_model"]) -> Tensor:
        tokens = self._tokens
        return self._decoder.logits(streams, None if tokens is None else tokens.expand(*streams.shape[:-1], -1))


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is taken at once within a budget."""

    pairs: int
    tokens: int
    """Positions of changed streams, over all rows of a batch."""
    bytes: int

    @classmethod
    def of(cls, task: PatchingTask) -> "Room":
        """The largest chunk of pairs whose two runs leave as much room again for changed streams.

        Raises:
            InputError: the budget holds not one pair.
        """
        graph, length, device = task.graph, task.pairs.length, task.model.device
        width = max(task.model.d_model, graph.n_heads * cast(int, task.model.decoder.blocks[0].q.shape[-1]))
        item = max(4, task.model.dtype.itemsize)
        token = item * (24 * width + graph.n_heads * length)
        # Of each run: stream before and after attention, MLP, z, queries, keys and values; and some logits.
        pair = 2 * item * length * width * (7 * graph.n_layers + 2) + 12 * task.model.d_vocab
        n = len(task.pairs)
        each = pair + max(pair, length * token)
        n_pairs = items_that_fit(each, n, device=device, budget=task.budget, what="one pair")
        most = items_that_fit(each, 1 << 40, device=device, budget=task.budget, what="one pair") * each
        tokens = (most - n_pairs * pair) // token
        tokens = tokens if device.type != "cpu" else min(tokens, BATCH_TOKENS)
        return cls(pairs=n_pairs, tokens=max(n_pairs * length, tokens), bytes=most)


def ends(task: PatchingTask, direction: str) -> tuple[Recording, Recording, int]:
    """The run that is patched, the run that values are taken from, and the sign that turns a rise into a score."""
    if direction == "noising":
        return task.clean, task.corrupt, -1
    return task.corrupt, task.clean, 1
