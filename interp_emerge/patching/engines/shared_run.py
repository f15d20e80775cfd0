"""Run many circuits in one batch under resample ablation, computing each different output of a node once.

The result is that of `patching.engines.circuit_run`, which runs every node of every circuit; tests hold the two
together. What is saved is what circuits share, what no edge of a circuit reaches, positions before the first token that
differs between the two runs (attention is causal, so nothing changes there), and positions that the logits do not read.

1. `plan_of` (`patching.engines.sharing`) lists the different inputs and outputs of every node.
2. `_Outputs` holds what each output is more than the same node's in the other run.
3. `_run_layer` makes the inputs of one layer as sums of these, runs attention and MLP on all of them, and stores what
   comes out.
4. `shared_streams` splits circuits into batches whose outputs fit the budget, and gives what their logits read.

Sums are taken in float32 at least. Cost: for each different output its own part of a forward pass, times the share of
positions. In a batch, a random circuit of 300 of 70,000 edges costs 0.4 of a forward pass, the model without such a
circuit 1.2, and a circuit without one of its edges 0.1 (benchmarks/README.md). Memory: one vector of `d_model` for each
different output, pair and position.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag, linear

from interp_emerge.caching.recording import Recording
from interp_emerge.core.decoder import Block, Projection
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.engines.resuming import UnfoldedRun
from interp_emerge.patching.engines.sharing import AS_OTHER, AS_OWN, Heads, Input, LayerPlan, Plan, plan_of

ROWS_AT_ONCE = 4096
"""Positions on which an MLP runs at once; more are no faster on a CPU."""
ATTENTION_ROWS_AT_ONCE = 256
Positions = Float[Tensor, "row pair pos d_model"]


class TwoRuns:
    """The own and the other run of some pairs, from the first position at which they differ."""

    def __init__(self, model: HookedModel, own: Recording, other: Recording) -> None:
        self.model = model
        self.own, self.other = (UnfoldedRun(model=model, recording=run) for run in (own, other))
        differs = (self.own.embedding() != self.other.embedding()).any(-1).any(0).nonzero()
        length = self.own.embedding().shape[1]
        self.start = int(differs[0]) if len(differs) else length - 1
        self.n_pairs, self.n_positions = len(self.own.embedding()), length - self.start
        self.wide = torch.float64 if model.dtype == torch.float64 else torch.float32

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pairs, positions and features of an output."""
        return self.n_pairs, self.n_positions, self.model.d_model

    def since(self, values: Tensor) -> Tensor:
        """Values of a run, shape [pair, pos, …], from the first position that differs."""
        return values[:, self.start :]

    def whole(self, layer: int, part: str) -> tuple[Tensor, Tensor]:
        """The stream of the other and of the own run before a layer (`before`), or behind its attention."""
        return tuple(self.since(getattr(run, part)[layer]) for run in (self.other, self.own))  # pyright: ignore[reportReturnType]

    def head_writes(self, layer: int, own: bool) -> Float[Tensor, "pair pos head d_model"]:
        run = self.own if own else self.other
        return self.model.decoder.blocks[layer].head_writes(self.since(run.z(layer)))


class _Outputs:
    """What each output of a plan is more than the same node's output in the other run, by its number."""

    def __init__(self, runs: TwoRuns, plan: Plan) -> None:
        n_pairs, n_positions, width = runs.shape
        used = plan.used()
        everywhere = used[plan.everywhere[used]]
        self.runs, self.device = runs, runs.own.embedding().device
        self.place = np.full((2, len(plan.everywhere)), -1)
        self.place[0, used], self.place[1, everywhere] = np.arange(len(used)), np.arange(len(everywhere))
        shape = {"dtype": runs.wide, "device": self.device}
        self.last = torch.empty(len(used), n_pairs, 1, width, **shape)
        self.others = torch.empty(len(everywhere), n_pairs, n_positions - 1, width, **shape)
        self._store_own(used[used < plan.n_owned] - 1)

    def store(self, numbers: np.ndarray, values: Positions | Sequence[Tensor]) -> None:
        """Store some outputs, given at all positions or at the last only."""
        for last, others, value in zip(self.place[0, numbers], self.place[1, numbers], values, strict=True):
            if last >= 0:  # an index of single rows copies faster than one of many
                self.last[last].copy_(value[:, -1:])
            if others >= 0:
                self.others[others].copy_(value[:, :-1])

    def sums(self, numbers: Sequence[np.ndarray], *, everywhere: bool) -> Positions:
        """The sum of each list of outputs; at the other positions, of those that are there."""
        last = self._sums(self.last, self.place[0], numbers)
        if not everywhere or not self.others.shape[2]:
            return last
        return torch.cat([self._sums(self.others, self.place[1], numbers), last], 2)

    def _sums(self, held: Tensor, place: np.ndarray, numbers: Sequence[np.ndarray]) -> Tensor:
        lists = [at[at >= 0] for at in (place[one] for one in numbers)]
        ends = np.cumsum([0, *map(len, lists)])
        if not ends[-1]:
            return held.new_zeros(len(lists), *held.shape[1:])
        index, starts = (torch.from_numpy(one).to(self.device) for one in (np.concatenate(lists), ends[:-1]))
        return embedding_bag(index, held.flatten(1), starts, mode="sum").unflatten(1, held.shape[1:])

    def _store_own(self, writers: np.ndarray) -> None:
        """Store what these writers write in the own run."""
        runs, graph = self.runs, self.runs.model.graph
        by_layer: dict[int, list[int]] = {}
        for writer in writers.tolist():
            node = graph.writers[writer]
            if node.kind == "head":
                by_layer.setdefault(node.layer, []).append(writer)
                continue
            values = [
                one.embedding() if node.kind == "embed" else one.mlp(node.layer) for one in (runs.own, runs.other)
            ]
            self.store(np.array([1 + writer]), runs.since(values[0].to(runs.wide) - values[1])[None])
        for layer, heads in by_layer.items():
            change = runs.head_writes(layer, own=True) - runs.head_writes(layer, own=False)
            index = [graph.writers[writer].index for writer in heads]
            self.store(1 + np.array(heads), change[:, :, index].movedim(2, 0))


class _Streams:
    """The streams of the circuits that are followed: what each is more than the other run's."""

    def __init__(self, runs: TwoRuns, plan: Plan, outputs: _Outputs) -> None:
        self.runs, self.plan, self.outputs = runs, plan, outputs
        self.place = {circuit: at for at, circuit in enumerate(plan.followed)}
        self.values = torch.empty(len(plan.followed), *runs.shape, dtype=runs.wide, device=outputs.device)
        self.running: list[int] = []

    def start(self, circuits: list[int], layer: int) -> None:
        """Follow more circuits; before a later layer than the first their stream is that of the own run."""
        if not circuits:
            return
        at = [self.place[circuit] for circuit in circuits]
        if layer:
            other, own = self.runs.whole(layer, "before")
            self.values[at] = own.to(self.values.dtype) - other
        else:
            embedding = [written[written > 0] for written in self.plan.outputs[circuits, :1]]
            self.values[at] = self.outputs.sums(embedding, everywhere=True)
        self.running += circuits

    def add(self, writers: slice) -> None:
        """Add what some writers write."""
        if self.running:
            numbers = [written[written > 0] for written in self.plan.outputs[self.running, writers]]
            change = self.outputs.sums(numbers, everywhere=True)
            self.values[[self.place[circuit] for circuit in self.running]] += change


class _Layers:
    """Runs the layers of a plan one after the other."""

    def __init__(self, runs: TwoRuns, plan: Plan) -> None:
        self.runs, self.plan = runs, plan
        self.outputs = _Outputs(runs, plan)
        self.streams = _Streams(runs, plan, self.outputs)

    def run(self) -> tuple[Float[Tensor, "different pair d_model"], np.ndarray]:
        """The different streams that the logits read at the last position, and the number of each circuit's."""
        runs, plan = self.runs, self.plan
        for layer, planned in enumerate(plan.layers):
            self._run_layer(layer, planned)
        other, own = (whole[:, -1:] for whole in runs.whole(len(plan.layers), "before"))
        inputs = torch.cat([other[None], own[None], self._inputs(plan.of_logits, other, everywhere=False)])
        return inputs[:, :, 0], plan.logits

    def _run_layer(self, layer: int, planned: LayerPlan) -> None:
        graph, block = self.runs.model.graph, self.runs.model.decoder.blocks[layer]
        first = 1 + layer * (graph.n_heads + 1)
        self.streams.start(planned.starting, layer)
        if len(planned.heads.queries):
            self._run_heads(layer, planned)
        at_mlp = slice(first, first + graph.n_heads)
        if not block.parallel:
            self.streams.add(at_mlp)
        if planned.of_mlp:
            self._run_mlp(layer, block, planned)
        if block.parallel:
            self.streams.add(at_mlp)
        self.streams.add(slice(at_mlp.stop, at_mlp.stop + 1))

    def _run_mlp(self, layer: int, block: Block, planned: LayerPlan) -> None:
        other, _ = self.runs.whole(layer, block.mlp_reads("before", "attended"))
        writes = self.runs.since(self.runs.other.mlp(layer))
        for everywhere in (True, False):
            wanted = [at for at, one in enumerate(planned.of_mlp) if one.everywhere == everywhere]
            positions = slice(None) if everywhere else slice(-1, None)
            rows = self.runs.n_pairs * (self.runs.n_positions if everywhere else 1)
            for some in _parts(wanted, max(1, ROWS_AT_ONCE // rows)):
                inputs = self._inputs([planned.of_mlp[at] for at in some], other, everywhere=everywhere)
                made = block.mlp_writes(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
                self.outputs.store(planned.mlp_outputs[some], made.to(self.runs.wide) - writes[:, positions])

    def _run_heads(self, layer: int, planned: LayerPlan) -> None:
        """Attention of one layer: rows that are needed at every position, then those needed at the last."""
        runs, heads = self.runs, planned.heads
        sides = self._projected(layer, planned)
        n_rows, at_once = len(heads.queries), max(1, ATTENTION_ROWS_AT_ONCE // runs.n_pairs)
        for everywhere, places in ((True, range(heads.n_everywhere)), (False, range(heads.n_everywhere, n_rows))):
            for rows in _parts(places, at_once):
                self._mix(layer, heads, sides, slice(rows[0], rows[-1] + 1), everywhere=everywhere)

    def _projected(self, layer: int, planned: LayerPlan) -> list["_Side"]:
        """Queries, keys and values of every head, from each of its inputs."""
        runs, block = self.runs, self.runs.model.decoder.blocks[layer]
        other, own = runs.whole(layer, "before")
        normed: list[Tensor] = [block.attention_norm(own)]
        found = planned.of_attention
        # An input that is needed at the last position only is made there only; the others are made at every position.
        short = {at for at, one in enumerate(found) if not one.everywhere}
        by_number: dict[int, Tensor] = {AS_OWN: normed[0]}
        for everywhere in (True, False):
            wanted = [at for at in range(len(found)) if (at not in short) == everywhere]
            for some in _parts(wanted, 64):
                inputs = self._inputs([found[at] for at in some], other, everywhere=everywhere)
                made = block.attention_norm(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
                by_number |= {at + 2: one for at, one in zip(some, made, strict=True)}
        heads = planned.heads
        parts = zip((block.q, block.k, block.v), (heads.queries, heads.keys, heads.values), strict=True)
        return [_Side(side, numbers, by_number) for side, numbers in parts]

    def _mix(self, layer: int, heads: Heads, sides: list["_Side"], rows: slice, *, everywhere: bool) -> None:
        runs, block = self.runs, self.runs.model.decoder.blocks[layer]
        start = runs.start if everywhere else runs.start + runs.n_positions - 1
        queries, keys, values = runs.other.projected[layer]
        n = rows.stop - rows.start
        q, k, v = (
            one[:, begin:].repeat(n, 1, 1, 1).unflatten(0, (n, -1)) for one, begin in
            ((queries, start), (keys, 0), (values, 0))
        )  # fmt: skip
        sides[0].fill(q, rows)
        sides[1].fill(k[:, :, runs.start :], rows)
        sides[2].fill(v[:, :, runs.start :], rows)
        z = block.attention.mix(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
        before = runs.other.z(layer)[:, start:]
        if block.attention_post_norm.module is None:
            change = z.unflatten(0, (n, -1)) - before
            weight = block.attention_out.weight().unflatten(1, z.shape[2:])

            def writes(head: int, chosen: Tensor) -> Tensor:
                return change[chosen, :, :, head] @ weight[:, head].T
        else:
            written = block.head_writes(z).unflatten(0, (n, -1)) - block.head_writes(before)

            def writes(head: int, chosen: Tensor) -> Tensor:
                return written[chosen, :, :, head]

        self._store_heads(heads, rows, writes)

    def _store_heads(self, heads: Heads, rows: slice, writes: Callable[[int, Tensor], Tensor]) -> None:
        for head, (numbers, places) in enumerate(heads.outputs):
            here = (places >= rows.start) & (places < rows.stop)
            if here.any():
                chosen = torch.from_numpy(places[here] - rows.start)
                self.outputs.store(numbers[here], writes(head, chosen))

    def _inputs(self, wanted: Sequence[Input], other: Tensor, *, everywhere: bool) -> Positions:
        """The inputs, from the stream of the other run at the reader's place, shape [pair, pos, d_model]."""
        positions = slice(None) if everywhere else slice(-1, None)
        sums = self.outputs.sums([one.plus for one in wanted], everywhere=everywhere)
        whole = [at for at, one in enumerate(wanted) if one.circuit >= 0]
        if whole:
            streams = self.streams.values[[self.streams.place[wanted[at].circuit] for at in whole]][:, :, positions]
            sums[whole] = streams - self.outputs.sums([wanted[at].minus for at in whole], everywhere=everywhere)
        return (sums + other[:, positions]).to(other.dtype)


class _Side:
    """The queries, keys or values of one layer, made from each input that a head has."""

    def __init__(self, side: Projection, numbers: np.ndarray, normed: dict[int, Tensor]) -> None:
        weight, bias = side.weight(), side.bias()
        self.made: list[tuple[int, np.ndarray, Tensor]] = []
        for head in range(numbers.shape[1]):
            wanted = [number for number in np.unique(numbers[:, head]).tolist() if number != AS_OTHER]
            for everywhere in (False, True):
                some = [number for number in wanted if (normed[number].shape[1] > 1) == everywhere]
                if not some:
                    continue
                made = linear(torch.stack([normed[number] for number in some]), weight[head], _of_head(bias, head))
                for number, one in zip(some, made, strict=True):
                    self.made.append((head, np.flatnonzero(numbers[:, head] == number), one))

    def fill(self, values: Float[Tensor, "row pair pos head d_head"], rows: slice) -> None:
        """Put them in place of those of the other run."""
        for head, places, made in self.made:
            for place in places[(places >= rows.start) & (places < rows.stop)] - rows.start:
                values[place, :, :, head] = made[:, -values.shape[2] :]


def shared_streams(
    runs: TwoRuns, kept: np.ndarray, *, budget: int
) -> Iterator[tuple[Float[Tensor, "different pair d_model"], np.ndarray]]:
    """What the logits of circuits read, in batches whose outputs need at most so many bytes, one circuit at least.

    Args:
        runs: both runs of some pairs.
        kept: the edges of each circuit, bool, shape [circuit, writer, reader].
        budget: bytes for the outputs of a batch.

    Yields:
        The different streams of the next circuits at the last position, and the number of each circuit's stream.
    """
    waiting = [slice(0, len(kept))] if len(kept) else []
    each = runs.n_pairs * runs.model.d_model * (8 if runs.wide == torch.float64 else 4)
    while waiting:
        rows = waiting.pop()
        plan = plan_of(runs.model.graph, kept[rows])
        last, everywhere = plan.n_positions
        size = each * (last + everywhere * (runs.n_positions - 1) + len(plan.followed) * runs.n_positions)
        n = rows.stop - rows.start
        if size > budget and n > 1:
            ends = np.linspace(rows.start, rows.stop, min(n, -(-size // budget)) + 1).round().astype(int).tolist()
            waiting += [slice(*part) for part in pairwise(ends)][::-1]
            continue
        yield _Layers(runs, plan).run()


def _of_head(bias: Tensor | None, head: int) -> Tensor | None:
    return None if bias is None else bias[head]


def _parts(values: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(values), size):
        yield [*values[start : start + size]]
