"""What a batch of circuits has to compute under resample ablation, with each different computation listed once.

Outside a circuit every edge carries what its writer writes in the *other* run (the corrupted one). So the input of a
reader is its input in the other run plus, for each kept edge, what the edge's writer writes more than there. Three
things follow, and `plan_of` works them out from the edges alone:

1. A node whose kept edges come from writers that write as in the other run writes as in the other run itself. A node
   that reads every writer before it, all of which write as in the *own* run (the clean one), writes as in the own run.
   Neither is computed (`AS_OTHER`, `AS_OWN`).
2. Two circuits that give a node the same inputs make it write the same. Each different output has a number, and an
   input is known by the numbers of the outputs that it adds up. Random circuits share what only the embedding feeds; a
   circuit and the same without an edge share all that does not lie behind the edge.
3. The logits are read at the last position. A node that reaches them only through queries, MLPs and the logits is
   needed at that position alone, and one that reaches them on no path is not needed (`_needs`).

An input that keeps most of the outputs before it is made from the whole stream, by taking away the few that it lacks
(`Input.minus`). Nothing here runs a model: `patching.engines.shared_run` carries the plan out.
"""

from dataclasses import dataclass, field

import numpy as np

from interp_emerge.core.graph import Graph

AS_OTHER, AS_OWN = 0, 1
"""Numbers of the inputs that equal those of the other and of the own run; further inputs are numbered from 2."""
NOT, LAST, EVERYWHERE = 0, 1, 2
"""Where an output is needed: nowhere, at the last position, or at every position."""
FEW = 8
"""An input is made from the whole stream if that saves more than so many additions."""


@dataclass(kw_only=True, eq=False)
class Input:
    """An input of readers: a sum of outputs, or the stream of one circuit without some outputs."""

    plus: np.ndarray
    """Numbers of the outputs that are added to the input of the other run."""
    circuit: int = -1
    """If not -1, the circuit from whose stream the outputs `minus` are taken away instead."""
    minus: np.ndarray
    everywhere: bool = False
    """Whether the input is needed at every position, and not only at the last."""


@dataclass(kw_only=True, eq=False)
class Heads:
    """Attention of one layer: rows of queries, keys and values, given by the numbers of their inputs."""

    queries: np.ndarray
    """Shape [row, head]."""
    keys: np.ndarray
    """Shape [row, key-value head]."""
    values: np.ndarray
    n_everywhere: int
    """The first rows are needed at every position, the others at the last."""
    outputs: list[tuple[np.ndarray, np.ndarray]]
    """For each head, the numbers of its outputs and the rows that they are taken from."""


@dataclass(kw_only=True, eq=False)
class LayerPlan:
    """What one layer computes."""

    of_attention: list[Input]
    heads: Heads
    of_mlp: list[Input]
    mlp_outputs: np.ndarray
    """The number of the output that each of these inputs gives."""
    starting: list[int]
    """Circuits whose stream is followed from here on; up to here it is that of the own run."""


@dataclass(kw_only=True, eq=False)
class Plan:
    """What a batch of circuits has to compute."""

    outputs: np.ndarray
    """The number of each writer's output in each circuit, shape [circuit, writer]. 0 means as in the other run, 1 + w
    the output of writer w in the own run, and larger numbers stand for outputs that are computed."""
    everywhere: np.ndarray
    """Whether each output is needed at every position, shape [number]."""
    layers: list[LayerPlan]
    of_logits: list[Input]
    logits: np.ndarray
    """The number of the input of the logits in each circuit."""
    followed: list[int] = field(default_factory=list)
    """Circuits whose stream is followed."""

    @property
    def n_owned(self) -> int:
        """Outputs with smaller numbers are those of the other and of the own run."""
        return 1 + self.outputs.shape[1]

    def used(self) -> np.ndarray:
        """Numbers of the outputs that are added up anywhere, ascending, without 0."""
        used = np.zeros(len(self.everywhere), dtype=bool)
        for one in [*(one for layer in self.layers for one in (*layer.of_attention, *layer.of_mlp)), *self.of_logits]:
            used[one.plus] = used[one.minus] = True
        n_layers = len(self.layers)
        per_layer = (self.outputs.shape[1] - 1) // max(1, n_layers)
        for at, layer in enumerate(self.layers):
            for circuit in layer.starting:
                used[self.outputs[circuit, 1 + at * per_layer if at else 0 :]] = True
        used[0] = False
        return np.flatnonzero(used)

    @property
    def n_positions(self) -> tuple[int, int]:
        """Numbers of outputs to hold at the last position, and at all others."""
        used = self.used()
        return len(used), int(self.everywhere[used].sum())


def plan_of(graph: Graph, kept: np.ndarray) -> Plan:
    """What circuits have to compute; `kept` are their edges, bool, shape [circuit, writer, reader]."""
    n_circuits, n_writers, _ = kept.shape
    needs, reader_needs = _needs(graph, kept)
    by_reader = np.ascontiguousarray(kept.transpose(2, 0, 1))
    book = _Book(outputs=np.zeros((n_circuits, n_writers), dtype=np.int32), next=1 + n_writers)
    book.outputs[:, 0] = needs[:, 0] > NOT
    own, per_layer = np.arange(1, 1 + n_writers, dtype=np.int32), graph.n_heads + 1
    layers, first_reader = [], 0
    n_sides = graph.n_heads + 2 * graph.n_kv_heads
    for layer in range(graph.n_layers):
        here = slice(first_reader, first_reader + n_sides)
        mlp = 1 + layer * per_layer + graph.n_heads
        attention = _Inputs(book, own[: 1 + layer * per_layer])
        numbers = attention.number(by_reader[here], reader_needs[:, here])
        heads = _heads(graph, book, numbers, needs[:, mlp - graph.n_heads : mlp], mlp - graph.n_heads, attention)
        reads = graph.n_writers_before(graph.readers[here.stop])
        of_mlp = _Inputs(book, own[:reads])
        numbers = of_mlp.number(by_reader[here.stop : here.stop + 1], reader_needs[:, here.stop : here.stop + 1])[:, 0]
        outputs = book.number_mlp(mlp, numbers, needs[:, mlp], of_mlp)
        plan = LayerPlan(
            of_attention=attention.found, heads=heads, of_mlp=of_mlp.found, mlp_outputs=outputs, starting=[]
        )
        layers.append(plan)
        first_reader = here.stop + 1
    final = _Inputs(book, own)
    logits = final.number(by_reader[-1:], reader_needs[:, -1:])[:, 0]
    everywhere = np.zeros(book.next, dtype=bool)
    everywhere[1 : 1 + n_writers] = True
    everywhere[list(book.everywhere)] = True
    followed = sorted(book.followed)
    plan = Plan(
        outputs=book.outputs, everywhere=everywhere, layers=layers, of_logits=final.found, logits=logits,
        followed=followed,
    )  # fmt: skip
    for circuit in followed:
        changed = np.flatnonzero(book.outputs[circuit] != own)
        first = int(changed[0]) if len(changed) else n_writers
        # Up to a layer whose every writer before it writes as in the own run, the stream is the own run's.
        start = min((max(first, 1) - 1) // per_layer, graph.n_layers - 1)
        layers[start].starting.append(circuit)
    return plan


def _needs(graph: Graph, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each writer and each reader is needed: `NOT`, `LAST` or `EVERYWHERE`, shape [circuit, writer or reader]."""
    n_circuits, n_writers, n_readers = kept.shape
    needs = np.zeros((n_circuits, n_writers), dtype=np.uint8)
    reader_needs = np.zeros((n_circuits, n_readers), dtype=np.uint8)
    reader_needs[:, -1] = LAST
    n_heads, n_kv = graph.n_heads, graph.n_kv_heads
    n_sides = n_heads + 2 * n_kv
    together = graph.joined or graph.rescaled
    for layer in reversed(range(graph.n_layers)):
        first, mlp = layer * (n_sides + 1), 1 + layer * (n_heads + 1) + n_heads
        needs[:, mlp] = (kept[:, mlp] * reader_needs).max(1)
        reader_needs[:, first + n_sides] = needs[:, mlp]
        heads = slice(mlp - n_heads, mlp)
        here = needs[:, heads] = (kept[:, heads] * reader_needs[:, None]).max(2)
        shared = here.reshape(n_circuits, n_kv, -1).max(2)
        if together:
            here, shared = (np.broadcast_to(here.max(1, keepdims=True), one.shape) for one in (here, shared))
        reader_needs[:, first : first + n_heads] = here
        # A query at one position reads keys and values at all positions.
        reader_needs[:, first + n_heads : first + n_sides] = np.tile(np.where(shared > NOT, EVERYWHERE, NOT), 2)
    needs[:, 0] = (kept[:, 0] * reader_needs).max(1)
    return needs, reader_needs


@dataclass(kw_only=True, eq=False)
class _Book:
    """The outputs that have a number."""

    outputs: np.ndarray
    next: int
    everywhere: set[int] = field(default_factory=set)
    followed: set[int] = field(default_factory=set)

    def new(self) -> int:
        self.next += 1
        return self.next - 1

    def number_mlp(self, writer: int, numbers: np.ndarray, needs: np.ndarray, inputs: "_Inputs") -> np.ndarray:
        """Number the outputs of an MLP: one for each different input."""
        made = np.array([self.new() for _ in inputs.found], dtype=np.int64)
        table = np.concatenate([[0, 1 + writer], made]).astype(np.int32)
        self.outputs[:, writer] = np.where(needs > NOT, table[numbers], 0)
        for number in np.unique(numbers[(needs == EVERYWHERE) & (numbers > AS_OWN)]):
            self.everywhere.add(int(table[number]))
            inputs.found[number - 2].everywhere = True
        return made


class _Inputs:
    """The different inputs of the readers that read the same writers."""

    def __init__(self, book: _Book, own: np.ndarray) -> None:
        self.book, self.own = book, own
        self.found: list[Input] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, kept: np.ndarray, needs: np.ndarray) -> np.ndarray:
        """The number of each reader's input, shape [circuit, reader]; `kept` has shape [reader, circuit, writer]."""
        written = self.book.outputs[:, : len(self.own)]
        numbers = np.full(needs.shape, AS_OTHER, dtype=np.int32)
        for reader in range(needs.shape[1]):
            needed = np.flatnonzero(needs[:, reader])
            rows = written[needed] * kept[reader, needed, : len(self.own)]
            owned, something = (rows == self.own).all(1), rows.any(1)
            numbers[needed[owned], reader] = AS_OWN
            for at in np.flatnonzero(something & ~owned):
                numbers[needed[at], reader] = self._number(int(needed[at]), rows[at])
        return numbers

    def _number(self, circuit: int, row: np.ndarray) -> int:
        key = row.tobytes()
        if key not in self._numbers:
            plus, written = np.flatnonzero(row), self.book.outputs[circuit, : len(self.own)]
            minus = np.flatnonzero((written != 0) & (row == 0))
            nothing = np.empty(0, dtype=np.int64)
            if len(minus) + FEW < len(plus):
                self.book.followed.add(circuit)
                one = Input(plus=nothing, circuit=circuit, minus=written[minus].astype(np.int64))
            else:
                one = Input(plus=row[plus].astype(np.int64), minus=nothing)
            self._numbers[key] = len(self.found) + 2
            self.found.append(one)
        return self._numbers[key]


@dataclass(kw_only=True, eq=False)
class _Row:
    """One row of the queries, keys and values of some heads."""

    numbers: tuple[int, ...]
    everywhere: bool = False
    place: int = -1


def _heads(graph: Graph, book: _Book, numbers: np.ndarray, needs: np.ndarray, first: int, inputs: _Inputs) -> Heads:
    """Number the outputs of a layer's heads, and gather the rows of attention that make them.

    Heads that share keys and values are in one row, and all heads if one changes what the others write.
    """
    n_heads, n_kv = graph.n_heads, graph.n_kv_heads
    together = graph.joined or graph.rescaled
    groups = [(range(n_heads), range(n_kv))] if together else [
        (range(one * (n_heads // n_kv), (one + 1) * (n_heads // n_kv)), range(one, one + 1)) for one in range(n_kv)
    ]  # fmt: skip
    rows: list[dict[tuple[int, ...], _Row]] = [{} for _ in groups]
    sources: dict[tuple[int, ...], tuple[int, int, _Row]] = {}
    for group, (heads, shared) in enumerate(groups):
        columns = [*heads, *(n_heads + one for one in shared), *(n_heads + n_kv + one for one in shared)]
        touched = needs[:, list(heads)].any(1) & numbers[:, columns].any(1)
        for circuit in np.flatnonzero(touched):
            own = tuple(numbers[circuit, columns].tolist())
            for head in heads:
                need = needs[circuit, head]
                key = own if together else (own[head - heads.start], *own[len(heads) :])
                if need == NOT or not any(key):
                    continue
                if all(number == AS_OWN for number in key):
                    book.outputs[circuit, first + head] = 1 + first + head
                    continue
                if (head, *key) not in sources:
                    row = rows[group].setdefault(own, _Row(numbers=own))
                    sources[head, *key] = book.new(), head, row
                output, _, row = sources[head, *key]
                book.outputs[circuit, first + head] = output
                if need == EVERYWHERE:
                    book.everywhere.add(output)
                    row.everywhere = True
    return _arranged(graph, groups, rows, [*sources.values()], inputs.found)


def _arranged(
    graph: Graph,
    groups: list[tuple[range, range]],
    rows: list[dict[tuple[int, ...], _Row]],
    outputs: list[tuple[int, int, _Row]],
    inputs: list[Input],
) -> Heads:
    """The rows of all groups beside each other: the first of each group in the first row, and so on."""
    split = [[_where(of_group, everywhere) for of_group in rows] for everywhere in (True, False)]
    n_everywhere, n_last = (max(map(len, part), default=0) for part in split)
    queries = np.zeros((n_everywhere + n_last, graph.n_heads), dtype=np.int32)
    keys, values = (np.zeros((len(queries), graph.n_kv_heads), dtype=np.int32) for _ in range(2))
    for part, start in zip(split, (0, n_everywhere), strict=True):
        for (heads, shared), of_group in zip(groups, part, strict=True):
            for place, row in enumerate(of_group, start):
                row.place = place
                ends = len(heads), len(heads) + len(shared)
                queries[place, list(heads)] = row.numbers[: ends[0]]
                keys[place, list(shared)] = row.numbers[ends[0] : ends[1]]
                values[place, list(shared)] = row.numbers[ends[1] :]
    for number in np.unique([*queries[:n_everywhere].flat, *keys.flat, *values.flat]):
        if number > AS_OWN:
            inputs[number - 2].everywhere = True
    by_head: list[list[tuple[int, int]]] = [[] for _ in range(graph.n_heads)]
    for output, head, row in outputs:
        by_head[head].append((output, row.place))
    pairs = (np.array(found, dtype=np.int64).reshape(-1, 2) for found in by_head)
    return Heads(
        queries=queries,
        keys=keys,
        values=values,
        n_everywhere=n_everywhere,
        outputs=[(found[:, 0], found[:, 1]) for found in pairs],
    )


def _where(rows: dict[tuple[int, ...], _Row], everywhere: bool) -> list[_Row]:
    return [row for row in rows.values() if row.everywhere == everywhere]
