"""Exact edge patching: the effect of exchanging one edge at a time, for every edge (Hanna et al., 2024).

An edge carries one writer's output into one reader's input. To exchange it, the writer's term in that input alone is
replaced by its value in the other run. The reader and everything behind it run again; all other readers get the term of
their own run.

1. Both runs are recorded. Noising, the default, gives one edge of the clean run its corrupted value. Denoising gives
   one edge of the corrupted run its clean value.
2. `_batches` lists the edges, grouped by `_stages` of readers that run together. A pair is run only if the writer
   differs between the two runs at a position that the reader uses; otherwise its score is 0.
3. `_Exchange.changed` recomputes the reader's own block with the edge exchanged, from the first differing position on:
   `_attention_change` for the heads of a query, key or value (all heads of the layer, where a norm joins them) and
   `_after_attention` for the MLP that reads them, or `_after_mlp` where the reader is the MLP. Earlier blocks are as
   recorded.
4. `resume` carries the changed streams of many edges through the later blocks together, and `Readout` reads the metric.

Sign: positive where the clean value of the edge raises the metric. Noising scores m(clean) − m(patched), which is the
published m(patched) − m(clean) with its sign turned. Denoising scores m(patched) − m(corrupted).

Cost: at most one forward pass for each edge, about half of one on average; `cost` counts them. The method starts
however many there are: ask `ie.estimate` first. A log message at level INFO gives the number when it begins. Edges are
not exchanged together, so effects that need two edges at once are missed.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp_emerge.caching.recording import Recording, writer_outputs
from interp_emerge.core.decoder import Attention
from interp_emerge.core.graph import Graph, Node
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask, require_finite
from interp_emerge.patching.engines.options import AtPositions, Direction
from interp_emerge.patching.engines.resuming import BatchLimits, Change, Readout, UnfoldedRun, resume

BATCH_TOKENS = 4096
"""Positions in a batch on a CPU (docs/calibration.md)."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `exact_edges`."""

    direction: Direction = "noising"


@torch.no_grad()
def run(task: PatchingTask[Options]) -> EdgeScores:
    graph, places, limits = task.graph, task.places, _batch_limits(task)
    noising = task.options.direction == "noising"
    own, other = (task.clean, task.corrupt) if noising else (task.corrupt, task.clean)
    n_places = 1 if places is None else len(places.names)
    log.info("exact_edges: %d edges at %d places of %d pairs, %.0f forward passes over all pairs at most",
             graph.n_edges, n_places, len(task.pairs), cost(task).passes)  # fmt: skip
    effects = np.zeros((len(task.pairs), n_places, graph.n_edges), dtype=np.float32)
    number = np.zeros(graph.exists.shape, dtype=int)
    number[graph.exists] = np.arange(graph.n_edges)
    for start in range(0, len(task.pairs), limits.pairs):
        part = slice(start, start + limits.pairs)
        exchange = _Exchange(task, own[part], other[part], None if places is None else places.index[:, part])
        readout = Readout(exchange.run, task.metric[part], budget=limits.bytes)
        for batch in task.bar(list(_batches(exchange, limits.tokens)), "exact_edges"):
            cells, change = exchange.changed(batch)
            (streams,) = resume(exchange.run, [change])
            rises = readout.rises(len(batch.edges), cells, change.rows, streams).T.cpu().numpy()
            effects[part, batch.place, number[tuple(batch.edges.T)]] = -rises if noising else rises
    require_finite(torch.from_numpy(effects), "exact_edges scores")
    return EdgeScores.from_pairs(
        graph,
        effects[:, 0] if places is None else effects,
        positions=None if places is None else places.names,
        origin=task.origin("exact_edges"),
    )


def cost(task: PatchingTask[Options]) -> Cost:
    """Both recordings, and for each edge the share of the blocks' weights and of the positions that run again."""
    graph, length, block = task.graph, task.pairs.length, task.model.decoder.blocks[0]
    differs = (task.pairs.clean != task.pairs.corrupt).any(0)
    first = int(differs.int().argmax()) if differs.any() else length
    starts = [first] if task.places is None else [at for at in task.places.index.amin(1).tolist() if at >= first]
    reading = sum(side.weight().numel() for side in (block.q, block.k, block.v)) * graph.n_layers
    writing = block.attention_out.weight().numel() * graph.n_layers
    reading_share, mlp_share = (
        part / task.model.n_parameters for part in (reading, task.model.n_parameters - reading - writing)
    )
    blocks = 0.0
    for stage in _stages(graph):
        # The work at a single position, and that of a single head, is not counted.
        if stage.layer < graph.n_layers - 1:
            own_block = 0.0 if graph.parallel and graph.readers[stage.readers.start].kind != "mlp" else mlp_share
            between = graph.n_layers - 2 - stage.layer
            blocks += int(graph.exists[:, stage.readers].sum()) * (own_block + between + reading_share)
    passes = 2 + blocks / graph.n_layers * sum(1 - at / length for at in starts)
    return Cost(passes=passes, bytes=_batch_limits(task).bytes, seconds_per_pass=2)


def _batch_limits(task: PatchingTask[Options]) -> BatchLimits:
    """How much fits the budget: a pair needs its run and all writers' outputs, a position needs a block's parts."""
    graph, length, device = task.graph, task.pairs.length, task.model.device
    width, item = task.model.d_model, max(4, task.model.dtype.itemsize)
    token = item * (24 * width + graph.n_heads * length)
    pair = item * length * width * (7 * graph.n_layers + 2 + 3 * len(graph.writers)) + 12 * task.model.d_vocab
    n = items_that_fit(
        pair + length * token, len(task.pairs), device=device, budget=task.budget, what="one pair under exact_edges"
    )
    limit = max(n * (pair + length * token), items_that_fit(1, 1 << 62, device=device, budget=task.budget))
    tokens = min((limit - n * pair) // token, max(n * length, BATCH_TOKENS) if device.type == "cpu" else 1 << 62)
    return BatchLimits(pairs=n, tokens=tokens, bytes=n * pair + tokens * token)


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """Readers of one layer that run together."""

    layer: int
    readers: slice
    last: bool
    """Whether these readers use their input at the last position only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Edges that are exchanged at the same position of each pair, or at all positions."""

    stage: _Stage
    place: int
    edges: np.ndarray
    """Writer and reader of each edge, shape [edge, 2]."""


def _stages(graph: Graph) -> Iterator[_Stage]:
    """The readers in the order of the graph, split where another part of a block or other positions have to run."""
    at = 0
    for key, group in groupby(graph.readers, lambda reader: _stage_of(graph, reader)):
        count = len(list(group))
        yield _Stage(layer=key[0], readers=slice(at, at + count), last=key[2])
        at += count


def _stage_of(graph: Graph, reader: Node) -> tuple[int, bool, bool]:
    """Layer, whether the reader is an MLP, and whether it uses its input at the last position only."""
    uses_last_only = reader.layer >= graph.n_layers - 1 and reader.kind not in ("k", "v")
    return reader.layer, reader.kind == "mlp", uses_last_only


def _batches(exchange: "_Exchange", tokens: int) -> Iterator[_Batch]:
    """All edges that change anything, in batches of about `tokens` positions."""
    graph, length = exchange.run.model.graph, exchange.length
    for stage in _stages(graph):
        for place in range(exchange.n_places):
            differs = exchange.differs(stage, place)
            readers, writers = np.nonzero(graph.exists[:, stage.readers].T)
            edges = np.stack([writers, readers + stage.readers.start], 1)[differs.any(1).cpu().numpy()[writers]]
            n_changed = length - exchange.start(stage, place)
            size = max(1, tokens // max(1, n_changed * differs.shape[1]))
            for first in range(0, len(edges), size):
                yield _Batch(stage=stage, place=place, edges=edges[first : first + size])


def _affected_heads(graph: Graph, reader: Node) -> tuple[slice, slice]:
    """The heads that a query, key or value takes part in, and the key-value heads that these heads use."""
    if graph.joined:
        return slice(None), slice(None)
    group = graph.n_heads // graph.n_kv_heads
    shared = reader.index // group if reader.kind == "q" else reader.index
    first, count = (reader.index, 1) if reader.kind == "q" else (shared * group, group)
    return slice(first, first + count), slice(shared, shared + 1)


def _of_heads(attention: Attention, queries: tuple[int, slice], keys: tuple[int, slice]) -> Attention:
    """The attention of some heads only; `queries` and `keys` are the number of heads and the ones that are wanted."""
    slopes = attention.slopes
    return replace(
        attention,
        slopes=None if slopes is None else slopes[queries[1]],
        query_norm=_norm_of_heads(attention.query_norm, *queries),
        key_norm=_norm_of_heads(attention.key_norm, *keys),
    )


def _norm_of_heads(norm: nn.Module | None, n_heads: int, heads: slice) -> nn.Module | None:
    """A norm of queries or keys for some heads only. It matters where the norm has a gain for each head."""
    gain = getattr(norm, "weight", None)
    one_for_all = isinstance(gain, Tensor) and gain.ndim == 1
    return norm if norm is None or one_for_all or heads == slice(None) else _SomeHeads(norm, n_heads, heads)


class _SomeHeads(nn.Module):
    """A norm over all heads, applied to some of them; the others are set to zero."""

    def __init__(self, norm: nn.Module, n_heads: int, heads: slice) -> None:
        super().__init__()
        self.norm, self.n_heads, self.heads = norm, n_heads, heads

    def forward(self, x: Tensor) -> Tensor:
        all_heads = x.new_zeros(*x.shape[:2], self.n_heads, x.shape[3])
        all_heads[:, :, self.heads] = x
        return self.norm(all_heads)[:, :, self.heads]


class _Exchange:
    """One chunk of pairs: the run whose edges are exchanged, and each writer's output in the other run less in this."""

    def __init__(self, task: PatchingTask, own: Recording, other: Recording, places: Tensor | None) -> None:
        self.run = UnfoldedRun(model=task.model, recording=own)
        difference = writer_outputs(task.model, other) - writer_outputs(task.model, own)
        self.difference: Float[Tensor, "writer pair pos d_model"] = difference.movedim(2, 0).contiguous()
        self.differing: Bool[Tensor, "writer pair pos"] = (self.difference != 0).any(-1)
        self.length = task.pairs.length
        self.places = None if places is None else places.to(task.model.device)
        self.n_places = 1 if places is None else len(places)

    def differs(self, stage: _Stage, place: int) -> Bool[Tensor, "writer pair"]:
        """Whether each writer differs between the runs at a position that the stage's readers use."""
        if self.places is None:
            return self.differing[..., -1] if stage.last else self.differing.any(-1)
        at = self.places[place]
        there = self.differing.gather(2, at.expand(len(self.differing), -1)[..., None])[..., 0]
        return there & (at == self.length - 1) if stage.last else there

    def start(self, stage: _Stage, place: int) -> int:
        """The first position, over all pairs, at which the input of the stage's readers can differ."""
        if stage.last:
            return self.length - 1
        if self.places is not None:
            return int(self.places[place].min())
        positions = self.differing.any(1).any(0).nonzero()
        return int(positions[0]) if len(positions) else self.length - 1

    def changed(self, batch: _Batch) -> tuple[Int[Tensor, " row"], Change]:
        """The edge of each row, and the streams after the readers' block with that edge exchanged in that row's pair.

        There is a row for each edge and each pair whose two runs differ in the edge's writer.
        """
        stage, graph, start = batch.stage, self.run.model.graph, self.start(batch.stage, batch.place)
        writers = torch.from_numpy(batch.edges[:, 0]).to(self.differing.device)
        cells, rows = self.differs(stage, batch.place)[writers].nonzero(as_tuple=True)
        change = self._exchanged(batch.place, writers[cells], rows, start)
        if stage.layer == graph.n_layers:
            stream = self.run.before[-1][rows, -1:] + change
            return cells, Change(layer=stage.layer, rows=rows, start=self.length - 1, stream=stream)
        begin = self.length - 1 if stage.layer == graph.n_layers - 1 else start
        if graph.readers[stage.readers.start].kind == "mlp":
            stream = self._after_mlp(stage.layer, rows, begin, change[:, begin - start :])
        else:
            reader_of_row = batch.edges[cells.cpu().numpy(), 1]
            ends = np.flatnonzero(np.diff(reader_of_row)) + 1
            groups = zip([0, *ends], [*ends, len(reader_of_row)], strict=True)
            attention = [
                self._attention_change(graph.readers[reader_of_row[one]], rows[one:end], start, begin, change[one:end])
                for one, end in groups
            ]
            stream = self._after_attention(stage.layer, rows, begin, torch.cat(attention))
        return cells, Change(layer=stage.layer + 1, rows=rows, start=begin, stream=stream)

    def _exchanged(self, place: int, writers: Tensor, rows: Tensor, start: int) -> Tensor:
        """What each row's edge carries in the other run less what it carries in this one."""
        change = self.difference[:, :, start:][writers, rows]
        if self.places is None:
            return change
        positions = torch.arange(start, self.length, device=change.device)
        there = positions == self.places[place][rows][:, None]
        return torch.where(there[..., None], change, 0)

    def _attention_change(self, reader: Node, rows: Tensor, start: int, begin: int, change: Tensor) -> Tensor:
        """The change of attention's output, before any norm, when the input of one query, key or value changes."""
        graph, block = self.run.model.graph, self.run.model.decoder.blocks[reader.layer]
        heads, shared = _affected_heads(graph, reader)
        at = reader.index if graph.joined else 0
        side = {"q": block.q, "k": block.k, "v": block.v}[reader.kind]
        normed = block.attention_norm(self.run.before[reader.layer][rows, start:] + change)
        made = normed @ side.weight()[reader.index].T
        bias = side.bias()
        made = made if bias is None else made + bias[reader.index]
        q, k, v = self.run.projected[reader.layer]
        sides = {"q": q[:, begin:, heads][rows], "k": k[:, :, shared][rows], "v": v[:, :, shared][rows]}
        if reader.kind == "q":
            sides["q"][:, :, at] = made[:, begin - start :]
        else:
            sides[reader.kind][:, start:, at] = made
        attention = _of_heads(block.attention, (graph.n_heads, heads), (graph.n_kv_heads, shared))
        z = self.run.z(reader.layer)
        change_of_z = attention.mix(sides["q"], sides["k"], sides["v"]) - z[:, begin:, heads][rows]
        return block.some_heads_write(change_of_z, heads)

    def _after_attention(self, layer: int, rows: Tensor, begin: int, change: Tensor) -> Tensor:
        run, block = self.run, self.run.model.decoder.blocks[layer]
        if block.attention_post_norm.module is None:
            attended = run.attended[layer][rows, begin:] + change
        else:
            wrote = block.attention_out(run.z(layer).flatten(2))[rows, begin:] + change
            attended = run.before[layer][rows, begin:] + block.attention_post_norm(wrote)
        return attended + block.mlp_after_attention(attended, run.mlp(layer)[rows, begin:])

    def _after_mlp(self, layer: int, rows: Tensor, begin: int, change: Tensor) -> Tensor:
        run, block = self.run, self.run.model.decoder.blocks[layer]
        reads = block.mlp_reads(run.before, run.attended)[layer][rows, begin:] + change
        return run.attended[layer][rows, begin:] + block.mlp_writes(reads)


shelf.add(
    Method(
        name="exact_edges",
        summary="exact fall of the metric when one edge carries its corrupted value (noising), or rise (denoising)",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
