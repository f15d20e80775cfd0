"""Path patching: the exact effect of giving some readers one writer's clean term (Goldowsky-Dill et al., 2023).

1. Both runs are recorded. A sender's term is what it writes in the run that gives the values less what it writes in the
   patched one; with `direction="denoising"` the corrupt run is patched with clean values, with `"noising"` the reverse.
2. The *term* is carried from the sender to its receivers with every head between them at the patched run's value. With
   `mlps="frozen"` MLPs keep theirs too, and the term arrives as it left; with `"live"` they are computed again from the
   stream with the term in it, so that paths through MLPs count (Wang et al., 2022). An MLP that is itself a receiver is
   not: what it passes on, it passes on as a receiver.
3. The *live stream* starts at the first receiver. In `_receive` each receiver reads it with the term added, every other
   reader without, so a later receiver also sees what the earlier ones changed. `resume` runs the rest.

A receiver is a name of the graph: `a3.h1.q`, `a3.kv0.k`, `m3` or `logits`. Shared keys and values reach all heads of
their group; where a norm joins the heads of a layer, a query or key reaches all of them.

The score is positive where moving the paths toward the clean run raises the metric. With one receiver and frozen MLPs
it is exact edge patching. Cost: for a sender the share of a run that lies behind the first receiver, and with live MLPs
those behind the sender. Positions are not resolved.
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
from interp_emerge.patching.engines.resuming import Change, Readout, Room, Run, ends, resume, whole

SHARE_OF_TERM = 3
"""A sender's row holds its term and two readings of the stream, where activation patching holds one stream."""


@dataclass(frozen=True, kw_only=True)
class Options(NoOptions):
    """Options of `path_patching`."""

    receivers: Annotated[Names, "readers that paths end in"] = (LOGITS,)
    senders: Annotated[Names | None, "writers to score; without it all from which a path leads to a receiver"] = None
    mlps: Annotated[
        Literal["frozen", "live"],
        "whether MLPs between a sender and its receivers keep their values (frozen) or are computed again (live)",
    ] = "frozen"
    direction: Direction = "denoising"


@torch.no_grad()
def run(task: PatchingTask[Options]) -> NodeScores:
    receivers, senders = _receivers(task), _senders(task)
    reference, source, sign = ends(task, task.options.direction)
    room = Room.of(task)
    rises = torch.zeros(len(senders), 1, len(task.pairs))
    at_once = max(1, room.tokens // (SHARE_OF_TERM * room.pairs * task.pairs.length))
    chunks = [slice(start, start + room.pairs) for start in range(0, len(task.pairs), room.pairs)]
    for rows in task.bar(chunks, "path patching"):
        patched = Run(model=task.model, recording=reference[rows])
        paths = _Paths(run=patched, receivers=receivers, live=task.options.mlps == "live")
        readout = Readout(patched, task.metric[rows], budget=room.bytes)
        given = Run(model=task.model, recording=source[rows])
        for start in range(0, len(senders), at_once):
            chosen = senders[start : start + at_once]
            terms = torch.stack(
                [new - old for new, old in zip(_writes(given, chosen), _writes(patched, chosen), strict=True)]
            )
            rises[start : start + at_once, 0, rows] = paths.rises(chosen, terms, readout).cpu()
    return node_scores(task, senders, sign * rises, "path_patching")


def cost(task: PatchingTask[Options]) -> Cost:
    n_layers = task.graph.n_layers
    first = min(node.layer for node in _receivers(task))
    behind = [(n_layers - first) / n_layers for _ in _senders(task)]
    if task.options.mlps == "live":
        # Of a block, the MLP is about two thirds.
        behind = [
            share + 2 / 3 * (first - max(0, s.layer)) / n_layers
            for share, s in zip(behind, _senders(task), strict=True)
        ]
    return Cost(passes=2 + sum(behind), bytes=Room.of(task).bytes, seconds_per_pass=2)


def _receivers(task: PatchingTask[Options]) -> tuple[Node, ...]:
    graph, names = task.graph, task.options.receivers
    known = dict(zip(graph.reader_names, graph.readers, strict=True))
    for name in names:
        if name not in known:
            raise UnknownNameError("receiver", name, known)
    return tuple(known[name] for name in dict.fromkeys(names))


def _senders(task: PatchingTask[Options]) -> tuple[Node, ...]:
    """The senders that were asked for, in the graph's order; by default all writers before the last receiver."""
    graph = task.graph
    n_before = max(graph.n_writers_before(receiver) for receiver in _receivers(task))
    names = task.options.senders or graph.writer_names[:n_before]
    for name in names:
        if name not in graph.writer_names:
            raise UnknownNameError("sender", name, graph.writer_names)
        if graph.writer_names.index(name) >= n_before:
            raise InputError(f"no path leads from {name} to {', '.join(task.options.receivers)}: "
                             "a receiver takes in only writers that ran before it")  # fmt: skip
    return tuple(node for node in graph.writers if node.name in names)


def _writes(run: Run, senders: Sequence[Node]) -> list[Residual]:
    """What each sender adds to the stream."""
    blocks = run.model.decoder.blocks
    layers = {node.layer for node in senders if node.kind == "head"}
    heads = {layer: blocks[layer].head_writes(run.z(layer)) for layer in layers}
    whole_layer = {"embed": lambda _: run.embedding(), "mlp": run.mlp}
    return [
        heads[node.layer][:, :, node.index] if node.kind == "head" else whole_layer[node.kind](node.layer)
        for node in senders
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Paths:
    """The paths from senders to some receivers, in one run."""

    run: Run
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
                # Behind the last receiver in a block, the term is read by the logits alone.
                term = term[:, -1:]
            if first <= layer <= last:
                stream = self._receive(layer, rows, stream, term, ranks, unchanged=layer == first)
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
        self, layer: int, rows: Tensor, stream: Residual, term: Residual, ranks: Tensor, *, unchanged: bool
    ) -> Float[Tensor, "row kept_pos d_model"]:
        """The live stream behind a block of which some readers read the term too; at the last block its last position.

        `unchanged` says that the stream is still the run's, whose queries, keys, values and attention then hold.
        """
        block, run = self.run.model.decoder.blocks[layer], self.run
        length = run.before[0].shape[1]
        start, begin = (
            length - stream.shape[1],
            length - 1 if layer == self.graph.n_layers - 1 else length - stream.shape[1],
        )
        here = [node for node in self.receivers if node.layer == layer]
        attending = [node for node in here if node.kind != "mlp"]
        if unchanged and not attending:
            attended = run.attended[layer][rows, begin:]
        else:
            if unchanged:
                sides = [values[rows, start:] for values in run.projected[layer]]
            else:
                sides = [values.clone() for values in block.project(block.attention_norm(stream))]
            if attending:
                reading = stream + _arrived(term, ranks, self.graph.n_writers_before(attending[0]))
                with_term = block.project(block.attention_norm(reading))
                for node in attending:
                    side = "qkv".index(node.kind)
                    sides[side][:, :, node.index] = with_term[side][:, :, node.index]
            keys, values = (
                whole(reference, rows, start, part)
                for reference, part in zip(run.projected[layer][1:], sides[1:], strict=True)
            )
            z = block.attention.mix(sides[0][:, begin - start :], keys, values)
            attended = stream[:, begin - start :] + block.attention_writes(z)
        read = block.mlp_reads(stream[:, begin - start :], attended)
        for node in here:
            if node.kind == "mlp":
                read = read + _arrived(term[:, begin - start :], ranks, self.graph.n_writers_before(node))
        return attended + block.mlp_writes(read)

    def _through_mlp(self, layer: int, rows: Tensor, term: Residual, ranks: Tensor) -> Residual | float:
        """What an MLP adds to the terms that reach it, every head at the run's value."""
        mlp, block = Node(layer, "mlp"), self.run.model.decoder.blocks[layer]
        reached = ranks < self.graph.n_writers_before(mlp)
        if mlp in self.receivers or not reached.any():
            return 0.0
        n = term.shape[1]
        read = block.mlp_reads(self.run.before, self.run.attended)[layer]
        changed = block.mlp_writes(read[rows, -n:] + _arrived(term, ranks, self.graph.n_writers_before(mlp)))
        return _arrived(changed - self.run.mlp(layer)[rows, -n:], ranks, self.graph.n_writers_before(mlp))


def _arrived(term: Residual, ranks: Tensor, n_before: int) -> Residual:
    """The terms of senders among the first `n_before` writers, zero for the others."""
    return term * (ranks < n_before)[:, None, None]


shelf.add(
    Method(
        name="path_patching",
        summary="exact rise of the metric when chosen readers, by default the logits, take one writer's clean term",
        source=Source("Goldowsky-Dill et al.", 2023, "https://arxiv.org/abs/2304.05969"),
        scores="nodes",
        run=run,
        cost=cost,
        options=Options,
    )
)
