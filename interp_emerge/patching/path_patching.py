"""Path patching: the exact effect of giving some readers one writer's clean output (Goldowsky-Dill et al., 2023).

A *sender* is a writer: the embedding, a head or an MLP. A *receiver* is a reader, by its name in the graph: `a3.h1.q`,
`a3.kv0.k`, `m3` or `logits`. One run is patched with values of the other: with `direction="denoising"` the corrupted
run gets clean values, with `"noising"` the clean run gets corrupted ones.

1. Both runs are recorded. A sender's *term* is what it writes in the run that gives the values less what it writes in
   the patched run (`_writes`).
2. The term is carried to the receivers, with every head on the way at its value in the patched run. With
   `mlps="frozen"` MLPs on the way keep their values too, so the term arrives unchanged. With `"live"` they are computed
   again from the stream plus the term, and what they change joins the term (`_through_mlp`; Wang et al., 2022). An MLP
   that is a receiver itself is left out here: it passes its change on in step 3.
3. The *live stream* starts at the first receiver. In `_receive` each receiver reads the live stream plus the term, and
   every other reader the live stream alone. A later receiver therefore also sees what earlier receivers changed.
4. `resume` runs the blocks after the last receiver, and `Readout` reads the metric.

Keys and values that several heads share reach all heads of their group. Where a norm joins the heads of a layer, a
query or key reaches all of them.

Sign: positive where moving the paths toward the clean run raises the metric. With one receiver and frozen MLPs a score
is that of exact edge patching. Cost: for each sender the share of a forward pass behind the first receiver; with live
MLPs also the MLPs behind the sender. Positions are not resolved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interp_emerge.core.axes import Residual
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import LOGITS, Graph, Node
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.activation_patching import node_scores
from interp_emerge.patching.base import Cost, Method, NodeScores, PatchingTask
from interp_emerge.patching.engines.options import Direction, Names, NoOptions
from interp_emerge.patching.engines.resuming import (
    BatchLimits,
    Change,
    Readout,
    UnfoldedRun,
    replace_span,
    resume,
    runs_by_direction,
)

STREAMS_PER_ROW = 3
"""Streams that a row of a sender holds: its term and two inputs. Activation patching holds one."""


@dataclass(frozen=True, kw_only=True)
class Options(NoOptions):
    """Options of `path_patching`."""

    receivers: Annotated[Names, "readers that the paths end in"] = (LOGITS,)
    senders: Annotated[Names | None, "writers to score; by default all from which a path leads to a receiver"] = None
    mlps: Annotated[
        Literal["frozen", "live"],
        "whether MLPs between a sender and its receivers keep their values (frozen) or are computed again (live)",
    ] = "frozen"
    direction: Direction = "denoising"


@torch.no_grad()
def run(task: PatchingTask[Options]) -> NodeScores:
    receivers, senders = _receivers(task), _senders(task)
    reference, source, sign = runs_by_direction(task, task.options.direction)
    limits = BatchLimits.of(task)
    rises = torch.zeros(len(senders), 1, len(task.pairs), dtype=torch.float32)
    n_together = max(1, limits.tokens // (STREAMS_PER_ROW * limits.pairs * task.pairs.length))
    chunks = [slice(start, start + limits.pairs) for start in range(0, len(task.pairs), limits.pairs)]
    for rows in task.bar(chunks, "path patching"):
        patched = UnfoldedRun(model=task.model, recording=reference[rows])
        paths = _Paths(run=patched, receivers=receivers, live=task.options.mlps == "live")
        readout = Readout(patched, task.metric[rows], budget=limits.bytes)
        giving = UnfoldedRun(model=task.model, recording=source[rows])
        for start in range(0, len(senders), n_together):
            chosen = senders[start : start + n_together]
            terms = torch.stack(
                [new - old for new, old in zip(_writes(giving, chosen), _writes(patched, chosen), strict=True)]
            )
            rises[start : start + n_together, 0, rows] = paths.rises(chosen, terms, readout).cpu()
    return node_scores(task, senders, sign * rises, "path_patching")


def cost(task: PatchingTask[Options]) -> Cost:
    n_layers = task.graph.n_layers
    first = min(node.layer for node in _receivers(task))
    behind = [(n_layers - first) / n_layers for _ in _senders(task)]
    if task.options.mlps == "live":
        # The MLP is about two thirds of a block.
        behind = [
            share + 2 / 3 * (first - max(0, s.layer)) / n_layers
            for share, s in zip(behind, _senders(task), strict=True)
        ]
    return Cost(passes=2 + sum(behind), bytes=BatchLimits.of(task).bytes, seconds_per_pass=2)


def _receivers(task: PatchingTask[Options]) -> tuple[Node, ...]:
    graph, names = task.graph, task.options.receivers
    known = dict(zip(graph.reader_names, graph.readers, strict=True))
    for name in names:
        if name not in known:
            raise UnknownNameError("receiver", name, known)
    return tuple(known[name] for name in dict.fromkeys(names))


def _senders(task: PatchingTask[Options]) -> tuple[Node, ...]:
    """The senders to score, in the graph's order; by default all writers before the last receiver."""
    graph = task.graph
    n_before = max(graph.n_writers_before(receiver) for receiver in _receivers(task))
    names = task.options.senders or graph.writer_names[:n_before]
    for name in names:
        if name not in graph.writer_names:
            raise UnknownNameError("sender", name, graph.writer_names)
        if graph.writer_names.index(name) >= n_before:
            raise InputError(f"no path leads from {name} to {', '.join(task.options.receivers)}: "
                             "a receiver reads only writers that ran before it")  # fmt: skip
    return tuple(node for node in graph.writers if node.name in names)


def _writes(run: UnfoldedRun, senders: Sequence[Node]) -> list[Residual]:
    """What each sender adds to the residual stream, shape [pair, pos, d_model] each."""
    blocks = run.model.decoder.blocks
    layers = {node.layer for node in senders if node.kind == "head"}
    heads = {layer: blocks[layer].head_writes(run.z(layer)) for layer in layers}
    not_heads = {"embed": lambda _: run.embedding(), "mlp": run.mlp}
    return [
        heads[node.layer][:, :, node.index] if node.kind == "head" else not_heads[node.kind](node.layer)
        for node in senders
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Paths:
    """The paths from senders to some receivers, in one run."""

    run: UnfoldedRun
    receivers: Sequence[Node]
    live: bool

    @property
    def graph(self) -> Graph:
        return self.run.model.graph

    def rises(self, senders: Sequence[Node], terms: Tensor, readout: Readout) -> Float[Tensor, "cell pair"]:
        """How far each sender's term, shape [sender, pair, pos, d_model], raises the metric on each pair."""
        cells, rows = terms.flatten(2).any(2).nonzero().T
        if not len(cells):
            return readout.rises(len(senders), cells, rows, terms[0, :0, -1])
        start = int(terms.any(3).flatten(0, 1).any(0).int().argmax())
        term = terms[cells, rows, start:]
        # The graph lists writers in the order in which they run.
        ranks = torch.tensor([self.graph.writers.index(sender) for sender in senders], device=term.device)[cells]
        inside = sorted({node.layer for node in self.receivers if node.kind != LOGITS})
        first, last = (inside[0], inside[-1]) if inside else (self.graph.n_layers, -1)
        stream, n_layers = self.run.before[first][rows, start:], self.graph.n_layers
        for layer in range(n_layers if self.live else last + 1):
            if layer > last:
                # Behind the last receiver that stands in a block, only the logits read the term.
                term = term[:, -1:]
            if first <= layer <= last:
                stream = self._receive(layer, rows, stream, term, ranks, as_recorded=layer == first)
            if self.live:
                term = term + self._through_mlp(layer, rows, term, ranks)
        if inside:
            start = self.run.before[0].shape[1] - stream.shape[1]
            (ended,) = resume(self.run, [Change(layer=last + 1, rows=rows, start=start, stream=stream)])
        else:
            ended = stream[:, -1]
        if any(node.kind == LOGITS for node in self.receivers):
            ended = ended + term[:, -1]
        return readout.rises(len(senders), cells, rows, ended)

    def _receive(
        self, layer: int, rows: Tensor, stream: Residual, term: Residual, ranks: Tensor, *, as_recorded: bool
    ) -> Float[Tensor, "row kept_pos d_model"]:
        """The live stream after a block whose receivers read the term too; after the last block its last position.

        `as_recorded`: the stream before the block is the run's, so the run's queries, keys and values can be used.
        """
        block, run = self.run.model.decoder.blocks[layer], self.run
        length = run.before[0].shape[1]
        start, begin = (
            length - stream.shape[1],
            length - 1 if layer == self.graph.n_layers - 1 else length - stream.shape[1],
        )
        here = [node for node in self.receivers if node.layer == layer]
        attending = [node for node in here if node.kind != "mlp"]
        if as_recorded and not attending:
            attended = run.attended[layer][rows, begin:]
        else:
            if as_recorded:
                sides = [values[rows, start:] for values in run.projected[layer]]
            else:
                sides = [values.clone() for values in block.project(block.attention_norm(stream))]
            if attending:
                reading = stream + _terms_before(term, ranks, self.graph.n_writers_before(attending[0]))
                with_term = block.project(block.attention_norm(reading))
                for node in attending:
                    side = "qkv".index(node.kind)
                    sides[side][:, :, node.index] = with_term[side][:, :, node.index]
            keys, values = (
                replace_span(reference, rows, start, part)
                for reference, part in zip(run.projected[layer][1:], sides[1:], strict=True)
            )
            z = block.attention.mix(sides[0][:, begin - start :], keys, values)
            attended = stream[:, begin - start :] + block.attention_writes(z)
        read = block.mlp_reads(stream[:, begin - start :], attended)
        for node in here:
            if node.kind == "mlp":
                read = read + _terms_before(term[:, begin - start :], ranks, self.graph.n_writers_before(node))
        return attended + block.mlp_writes(read)

    def _through_mlp(self, layer: int, rows: Tensor, term: Residual, ranks: Tensor) -> Residual | float:
        """The change of an MLP's output when the terms that reach it are added to its input; every head stays fixed."""
        mlp, block = Node(layer, "mlp"), self.run.model.decoder.blocks[layer]
        reached = ranks < self.graph.n_writers_before(mlp)
        if mlp in self.receivers or not reached.any():
            return 0.0
        n = term.shape[1]
        read = block.mlp_reads(self.run.before, self.run.attended)[layer]
        changed = block.mlp_writes(read[rows, -n:] + _terms_before(term, ranks, self.graph.n_writers_before(mlp)))
        return _terms_before(changed - self.run.mlp(layer)[rows, -n:], ranks, self.graph.n_writers_before(mlp))


def _terms_before(term: Residual, ranks: Tensor, n_before: int) -> Residual:
    """The terms whose sender is among the first `n_before` writers; zero for later senders, which a reader misses."""
    return term * (ranks < n_before)[:, None, None]


shelf.add(
    Method(
        name="path_patching",
        summary="exact rise of the metric when chosen readers, by default the logits, read one writer's clean output",
        source=Source("Goldowsky-Dill et al.", 2023, "https://arxiv.org/abs/2304.05969"),
        scores="nodes",
        run=run,
        cost=cost,
        options=Options,
    )
)
