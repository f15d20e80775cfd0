"""Runs of a model with parts of a circuit ablated, and with random nodes or edges ablated for comparison."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from math import comb, prod
from typing import Literal

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.roles.labels import ROUNDING
from interp_emerge.circuits.running.ablation import heads_to_ablate
from interp_emerge.circuits.running.faithfulness import why_undefined
from interp_emerge.circuits.running.runs import CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE, Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import not_above_zero

Kind = Literal["model", "edges", "circuit", "role", "head", "mlp"]
ACCURACY = "accuracy"
OUTSIDE, OTHERS, ANY = "heads outside the circuit", "other heads", "any heads"
CONNECTED = "connected circuits"
"""What random choices consist of. Random heads come from the layers of the part, as many in each layer as it has."""
FEWEST_CHOICES = 19
"""Smallest number of random choices with which p = 0.05 can be reached: (1 + 0) / (1 + 19)."""
SINGLE_RUNS = ("whole", "empty", "without")
DRAWS_A_CHOICE = 10
"""Number of draws for each wanted choice of heads. Where layers have few other heads, many draws are equal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part(Record):
    """What to ablate: `edges`, bool, shape [writer, reader]; or without these, every edge that the `nodes` write."""

    kind: Kind
    name: str
    nodes: tuple[str, ...] = ()
    edges: np.ndarray | None = None

    def dropped(self, graph: Graph) -> np.ndarray:
        """The edges that are ablated with the part, bool of shape [writer, reader]."""
        if self.edges is not None:
            return self.edges & graph.exists
        return graph.exists & graph.is_one_of(self.nodes)[:, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class PartRuns:
    """One metric of the runs with a part ablated, and with each random choice ablated for comparison."""

    part: Part
    metric: str
    n_edges: int
    null: str
    """What the random choices consist of; empty if there are none."""
    whole: np.ndarray
    """The metric of the whole model, shape [pair]."""
    empty: np.ndarray
    """The metric with every edge of the model ablated, shape [pair]."""
    without: np.ndarray
    """The metric with the part ablated, shape [pair]."""
    without_random: np.ndarray
    """The metric with each random choice ablated, shape [choice, pair]."""

    @property
    def gap(self) -> np.ndarray:
        """The metric that is lost if every edge is ablated, shape [pair]."""
        return self.whole - self.empty

    @property
    def defined(self) -> bool:
        """Whether the mean gap is certainly above zero."""
        return not why_undefined(self.gap)

    @property
    def drop(self) -> np.ndarray:
        """The metric that is lost without the part, shape [pair]; losses within rounding errors count as 0."""
        return self._beyond_rounding(self.whole - self.without)

    @property
    def random_drops(self) -> np.ndarray:
        """The metric that is lost without each random choice, shape [choice, pair]."""
        return self._beyond_rounding(self.whole - self.without_random)

    def _beyond_rounding(self, losses: np.ndarray) -> np.ndarray:
        return np.where(np.abs(losses) > ROUNDING * np.abs(self.whole).max(), losses, 0.0)


def runs_frame(measured: Iterable[PartRuns]) -> pd.DataFrame:
    """The runs as a table, from which `runs_from_frame` restores them, except for the edges of their parts.

    Returns:
        Columns `run` (one number for each part and metric), `kind`, `name`, `nodes`, `metric`, `n_edges`, `null`,
        `what` (whole, empty, without, or random), `draw` (number of the random choice), `pair`, `value` (in the
        metric's unit).
    """
    parts = []
    for number, runs in enumerate(measured):
        rows = np.stack([runs.whole, runs.empty, runs.without, *runs.without_random])
        whats = [*SINGLE_RUNS, *["random"] * len(runs.without_random)]
        n = rows.shape[1]
        about = {
            "run": number,
            "kind": runs.part.kind,
            "name": runs.part.name,
            "nodes": " ".join(runs.part.nodes),
            "metric": runs.metric,
            "n_edges": runs.n_edges,
            "null": runs.null,
            "what": np.repeat(whats, n),
            "draw": np.repeat([0, 0, 0, *range(len(runs.without_random))], n),
            "pair": np.tile(np.arange(n), len(rows)),
        }
        parts.append(pd.DataFrame({**about, "value": rows.ravel()}))
    return pd.concat(parts, ignore_index=True)


def runs_from_frame(frame: pd.DataFrame) -> list[PartRuns]:
    """The runs from a table of `runs_frame`. Their parts have the names of nodes, but no edges."""
    found = []
    for _, rows in frame.groupby("run"):
        first, n = rows.iloc[0], int(rows["pair"].max()) + 1
        values = rows["value"].to_numpy().reshape(-1, n)
        found.append(
            PartRuns(
                part=Part(kind=first["kind"], name=first["name"], nodes=tuple(first["nodes"].split())),
                metric=first["metric"],
                n_edges=int(first["n_edges"]),
                null=first["null"],
                whole=values[0],
                empty=values[1],
                without=values[2],
                without_random=values[3:],
            )
        )
    return found


@checked
def parts_of(circuit: Circuit, *, roles: Mapping[str, Sequence[str]] | None = None) -> list[Part]:
    """The parts to ablate: every edge, the edges of the circuit, its heads together, the heads of each role, each node.

    If the circuit has more than half of the heads of a layer, the part with its heads together has only the strongest
    of them, half of the layer. Then enough other heads remain to compare with (`heads_to_ablate`).

    Example:
        >>> [part.name for part in ie.emergence.forming.parts_of(circuit)][:3]

    Args:
        circuit: the circuit.
        roles: names of heads by role, as `label_heads` finds them; heads outside the circuit are left out.

    Raises:
        InputError: the circuit has no edge.
    """
    if not len(circuit):
        raise InputError(
            "the circuit has no edge, so there is nothing to ablate; find a circuit in a model that has the ability"
        )
    parts = [
        Part(kind="model", name="every edge", edges=circuit.graph.exists),
        Part(kind="edges", name="circuit edges", edges=circuit.kept),
    ]
    if circuit.heads:
        parts.append(Part(kind="circuit", name="circuit heads", nodes=tuple(heads_to_ablate(circuit))))
    for role, heads in (roles or {}).items():
        if inside := tuple(head for head in circuit.heads if head in heads):
            parts.append(Part(kind="role", name=role, nodes=inside))
    mlps = [node.name for node in circuit.graph.nodes(["mlp"]) if node.name in circuit.nodes]
    parts += [Part(kind="head", name=head, nodes=(head,)) for head in circuit.heads]
    return [*parts, *(Part(kind="mlp", name=mlp, nodes=(mlp,)) for mlp in mlps)]


def measure_parts(runs: Runs, parts: Sequence[Part], circuit: Circuit, *, n_random: int) -> list[PartRuns]:
    """Runs the model without each part, and without random choices, in the metric and in accuracy.

    Random choices are run only if the gap in the metric or in accuracy is certainly above zero.

    Raises:
        InputError: `n_random` is below 1.
        UnknownNameError: the model lacks a head.
    """
    if n_random < 1:
        raise InputError(f"n_random is {n_random}; give at least 1 random choice to compare with")
    graph, metric = runs.model.graph, runs.metric
    nothing = Part(kind="model", name="nothing", edges=np.zeros_like(graph.exists))
    everything = Part(kind="model", name="every edge", edges=graph.exists)
    values = _run_without(runs, [nothing, everything, *parts])
    gaps = np.subtract(values[_run_key(nothing)], values[_run_key(everything)])
    known = not all(map(not_above_zero, gaps))
    nulls = [_random_parts(graph, part, circuit, n_random if known else 0, runs.seed) for part in parts]
    drawn = {_run_key(other): other for _, others in nulls for other in others}
    values |= _run_without(runs, [other for key, other in drawn.items() if key not in values])
    # A dict lists accuracy once if it is also the metric.
    names = dict.fromkeys([metric if isinstance(metric, str) else getattr(metric, "__name__", "custom"), ACCURACY])
    return [
        PartRuns(
            part=part,
            metric=name,
            n_edges=int(part.dropped(graph).sum()),
            null=null if others else "",
            whole=values[_run_key(nothing)][column],
            empty=values[_run_key(everything)][column],
            without=values[_run_key(part)][column],
            without_random=np.array([values[_run_key(other)][column] for other in others]).reshape(-1, len(runs.pairs)),
        )
        for part, (null, others) in zip(parts, nulls, strict=True)
        for column, name in enumerate(names)
    ]


def _random_parts(graph: Graph, part: Part, circuit: Circuit, count: int, seed: int) -> tuple[str, list[Part]]:
    """What the random choices for a part consist of, and up to `count` different random choices."""
    if part.kind in ("model", "mlp"):
        return "", []
    if part.edges is not None:
        drawn = random_connected_circuits(graph, int(part.dropped(graph).sum()), count, seed=seed)
        return CONNECTED, [Part(kind=part.kind, name="random", edges=edges) for edges in drawn]
    wanted = Counter(node.layer for node in graph.nodes(["head"]) if node.name in part.nodes)
    found: list[tuple[str, list[tuple[str, ...]]]] = []
    for null, avoided in ((OUTSIDE, {*circuit.heads, *part.nodes}), (OTHERS, {*part.nodes}), (ANY, set())):
        left = [node for node in graph.nodes(["head"]) if node.name not in avoided]
        pools = {layer: [node.name for node in left if node.layer == layer] for layer in wanted}
        if all(len(pools[layer]) >= n for layer, n in wanted.items()):
            chosen = _choices([(pools[layer], n) for layer, n in sorted(wanted.items())], count + 1, seed)
            found.append((null, [nodes for nodes in chosen if {*nodes} != {*part.nodes}][:count]))
    enough = [one for one in found if len(one[1]) >= min(count, FEWEST_CHOICES)]
    null, chosen = (enough or found)[0]
    return null, [Part(kind=part.kind, name="random", nodes=nodes) for nodes in chosen]


def _choices(pools: Sequence[tuple[list[str], int]], count: int, seed: int) -> list[tuple[str, ...]]:
    """Up to `count` different random choices of a number of names from each pool; all choices if there are fewer."""
    rng = np.random.default_rng(seed)
    if prod(comb(len(pool), n) for pool, n in pools) <= count:
        return [tuple(chain(*choice)) for choice in product(*(combinations(pool, n) for pool, n in pools))]
    found: dict[tuple[str, ...], None] = {}
    for _ in range(count * DRAWS_A_CHOICE):
        if len(found) < count:
            picked = (np.sort(rng.choice(len(pool), n, replace=False)) for pool, n in pools)
            found[tuple(pool[at] for (pool, _), rows in zip(pools, picked, strict=True) for at in rows)] = None
    return [*found]


def _run_key(part: Part) -> Hashable:
    """A key that is equal for parts whose ablation is the same run."""
    return frozenset(part.nodes) if part.edges is None else part.edges.tobytes()


def _run_without(runs: Runs, parts: Iterable[Part]) -> dict[Hashable, tuple[np.ndarray, np.ndarray]]:
    """The metric and the accuracy without each part, by `_run_key`, shape [pair] each. Equal runs are done once."""
    graph, different = runs.model.graph, {_run_key(part): part for part in parts}
    chunk_size = max(1, min(CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE // graph.exists.nbytes))
    keys = [*different]
    values: dict[Hashable, tuple[np.ndarray, np.ndarray]] = {}
    for start in range(0, len(keys), chunk_size):
        chunk = keys[start : start + chunk_size]
        found = runs.evaluations([graph.exists & ~different[key].dropped(graph) for key in chunk])
        values |= {key: (one.metric, one.right) for key, one in zip(chunk, found, strict=True)}
    return values
