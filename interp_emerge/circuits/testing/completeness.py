"""Whether a circuit holds all that the model uses: the same nodes are knocked out of the circuit and of the model.

Source: Wang et al., 2022, section 4 of Interpretability in the Wild, https://arxiv.org/abs/2211.00593.

For a set K of the circuit's nodes, incompleteness is |F(C∖K) − F(M∖K)|. F is the share of the gap
(m(·) − m(∅)) / (m(M) − m(∅)), a fraction that may leave [0, 1]; Wang et al. use the metric itself. To knock a node
out, every edge that it writes is dropped. A circuit that lacks the backups of its own nodes can be faithful and still
be incomplete: the whole model makes up for a lost node, the circuit cannot.

1. `node_groups`, `random_sets` and `_greedy_set` choose the sets K. No set holds the embedding: without it circuit and
   model both become the run with every edge ablated.
2. `completeness` runs the circuit and the model without each set, and gives the difference with its 95% interval.

The greedy set grows by the node that makes the circuit most incomplete, and drops a node again if that raises the
incompleteness. On the pairs that chose the set this value is too large. So if `greedy` is among the strategies, one
half of the pairs chooses the set, and all sets are measured on the other half. The worst of many random sets is also a
maximum of noisy values, and its interval does not account for that.

Cost: two circuit runs a set. The greedy choice takes up to 4 · `max_size` · (nodes of the circuit) runs on half of the
pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import without_writers
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import Interval

STRATEGIES = ("random", "role", "greedy")
LEAST_GAIN = 0.01
"""A larger set is preferred to a smaller one only if its incompleteness is larger by this fraction of the gap."""
Nodes = frozenset[int]
"""Writers by their index in the graph."""


@dataclass(frozen=True, kw_only=True)
class KnockOut:
    """A set of nodes that is knocked out, with the shares of the gap that circuit and whole model keep without it.

    `interval` is that of the incompleteness, the difference of the two shares with the sign that makes it positive. If
    the interval reaches below zero, circuit and model do not differ significantly.
    """

    strategy: str
    nodes: tuple[str, ...]
    f_circuit: float
    f_model: float
    interval: Interval

    @property
    def incompleteness(self) -> float:
        return self.interval.value


@dataclass(frozen=True, kw_only=True)
class Completeness(Record):
    """What a circuit and the whole model keep without the same sets of nodes; NaN if the gap is within noise."""

    knock_outs: tuple[KnockOut, ...]
    n_pairs: int
    """Number of pairs that the values were measured on; with a greedy set, the half that did not choose it."""

    @property
    def worst(self) -> KnockOut | None:
        """The set without which circuit and model differ most; None if that is undefined."""
        defined = [knock_out for knock_out in self.knock_outs if not np.isnan(knock_out.incompleteness)]
        return max(defined, key=lambda knock_out: knock_out.incompleteness, default=None)

    def to_frame(self) -> pd.DataFrame:
        """One row a set.

        Columns `strategy` (`none` for the empty set, `role: NAME` for a given group), `nodes` (names with spaces
        between them), `n_nodes`, `f_circuit` and `f_model` (share of the gap kept), `incompleteness` with its 95%
        interval `ci_low`, `ci_high`, and `n_pairs` (number of pairs that these were measured on).
        """
        return pd.DataFrame(
            {
                "strategy": [knock_out.strategy for knock_out in self.knock_outs],
                "nodes": [" ".join(knock_out.nodes) for knock_out in self.knock_outs],
                "n_nodes": [len(knock_out.nodes) for knock_out in self.knock_outs],
                "f_circuit": [knock_out.f_circuit for knock_out in self.knock_outs],
                "f_model": [knock_out.f_model for knock_out in self.knock_outs],
                "incompleteness": [knock_out.incompleteness for knock_out in self.knock_outs],
                "ci_low": [knock_out.interval.low for knock_out in self.knock_outs],
                "ci_high": [knock_out.interval.high for knock_out in self.knock_outs],
                "n_pairs": self.n_pairs,
            }
        )


@checked
def completeness(
    runs: Runs,
    circuit: Circuit,
    *,
    strategies: Sequence[str] = ("random", "greedy"),
    groups: Mapping[str, Sequence[str]] | None = None,
    n_random: int = 20,
    max_size: int = 8,
) -> Completeness:
    """How much a circuit and the whole model differ when the same nodes are knocked out of both.

    The empty set is always among the sets: its incompleteness is |F(C) − 1|.

    Example:
        >>> ie.circuits.testing.completeness(runs, circuit, strategies=["random"], n_random=3)

    Args:
        runs: the model and the pairs; with `greedy`, half of the pairs, drawn by its seed, choose the set.
        circuit: edges of the model's graph.
        strategies: how sets are chosen. `random`: random nodes; half of these sets have a random size, the others hold
            half of the circuit's nodes. `role`: the given groups, which are used even if this is left out. `greedy`:
            the set that a greedy search finds to be most incomplete.
        groups: names of nodes of the circuit by the name of their group, such as the roles of heads.
        n_random: number of random sets.
        max_size: largest number of nodes in the greedy set.

    Raises:
        UnknownNameError: no strategy or node has the name.
        InputError: a group names a node outside the circuit, `role` is given without groups, a count is out of its
            range, or there are too few pairs to choose on one half and measure on the other.
    """
    runs.model.require_graph(circuit.graph)
    require_at_least(0, n_random=n_random)
    require_at_least(1, max_size=max_size)
    for strategy in strategies:
        if strategy not in STRATEGIES:
            raise UnknownNameError("strategy", strategy, STRATEGIES)
    if "role" in strategies and not groups:
        raise InputError("strategy 'role' takes the roles from groups; pass groups={name: nodes} or leave it out")
    rng = np.random.default_rng(runs.seed)
    nodes = nodes_of(circuit.kept)
    sets: list[tuple[str, Nodes]] = [("none", frozenset())]
    sets += [(f"role: {name}", group) for name, group in node_groups(circuit, groups or {}).items()]
    if "random" in strategies:
        sets += [("random", drawn) for drawn in dict.fromkeys(random_sets(nodes, n_random, rng))]
    measuring = runs
    if "greedy" in strategies:
        choosing, measuring = runs.halves(rng)
        sets.append(("greedy", _greedy_set(choosing, circuit.kept, nodes, max_size)))
    inside, outside = _without_each(measuring, circuit.kept, [chosen for _, chosen in sets])
    knock_outs = tuple(
        _knock_out(measuring, strategy, chosen, of_circuit, of_model)
        for (strategy, chosen), of_circuit, of_model in zip(sets, inside, outside, strict=True)
    )
    return Completeness(knock_outs=knock_outs, n_pairs=len(measuring.pairs))


def require_at_least(least: int, **counts: int) -> None:
    """Raise an `InputError` for the first count below the least."""
    for name, count in counts.items():
        if count < least:
            raise InputError(f"{name}={count} is too few; give at least {least}")


def nodes_of(kept: EdgeMask) -> list[int]:
    """Indices of the nodes that write a kept edge, without the embedding."""
    return [int(writer) for writer in np.flatnonzero(kept.any(1)) if writer > 0]


def node_groups(circuit: Circuit, groups: Mapping[str, Sequence[str]]) -> dict[str, Nodes]:
    """Groups of named nodes as indices.

    Raises:
        UnknownNameError: the graph has no node of this name.
        InputError: a node writes no edge of the circuit.
    """
    graph, inside = circuit.graph, {*nodes_of(circuit.kept)}
    found: dict[str, Nodes] = {}
    for group, names in groups.items():
        found[group] = frozenset(map(int, np.flatnonzero(graph.is_one_of(names))))
        for node in sorted(found[group] - inside):
            raise InputError(f"group {group!r} names {graph.writer_names[node]}, which is not a node of the circuit "
                             "that can be knocked out; leave it out of the group")  # fmt: skip
    return found


def random_sets(nodes: Sequence[int], n: int, rng: np.random.Generator) -> list[Nodes]:
    """`n` sets of random nodes, every second of random size, the others of half of the nodes; none without nodes."""
    sizes = [int(rng.integers(1, len(nodes) + 1)) if i % 2 else (len(nodes) + 1) // 2 for i in range(n) if len(nodes)]
    return [frozenset(map(int, rng.choice(nodes, size, replace=False))) for size in sizes]


def _greedy_set(runs: Runs, kept: EdgeMask, nodes: Sequence[int], max_size: int) -> Nodes:
    """A set of at most `max_size` nodes without which circuit and model differ much, grown a node at a time.

    After each addition, nodes are dropped again as long as that raises the difference. Of all sets met on the way, the
    smallest one within `LEAST_GAIN` of the best is returned.
    """
    gap = abs(runs.gap.mean())
    current: Nodes = frozenset()
    reached = {current: float(_incompleteness(runs, kept, [current])[0])}
    while len(current) < min(max_size, len(nodes)):
        grown = [current | {node} for node in nodes if node not in current]
        found = _incompleteness(runs, kept, grown)
        current = grown[int(found.argmax())]
        reached[current] = float(found.max())
        while len(current) > 2:
            smaller = [current - {node} for node in sorted(current)]
            found = _incompleteness(runs, kept, smaller)
            # A set that was met before was left for a better one: going back to it would loop for ever.
            if found.max() <= reached[current] or smaller[int(found.argmax())] in reached:
                break
            current = smaller[int(found.argmax())]
            reached[current] = float(found.max())
    most = max(reached.values())
    return min((chosen for chosen in reached if reached[chosen] >= most - LEAST_GAIN * gap), key=len)


def _incompleteness(runs: Runs, kept: EdgeMask, sets: Sequence[Nodes]) -> np.ndarray:
    """|m(C∖K) − m(M∖K)| of the means over pairs, in the metric's unit, shape [set]."""
    inside, outside = _without_each(runs, kept, sets)
    return np.abs((inside - outside).mean(1))


def _without_each(runs: Runs, kept: EdgeMask, sets: Sequence[Nodes]) -> tuple[np.ndarray, np.ndarray]:
    """The metric of circuit and model without each set, shape [set, pair] each."""
    every_edge = runs.model.graph.exists
    circuits = (without_writers(edges, chosen) for edges in (kept, every_edge) for chosen in sets)
    values = runs.metric_of(circuits, 2 * len(sets))
    return values[: len(sets)], values[len(sets) :]


def _knock_out(runs: Runs, strategy: str, chosen: Nodes, of_circuit: np.ndarray, of_model: np.ndarray) -> KnockOut:
    difference = of_circuit - of_model
    sign = -1.0 if difference.mean() < 0 else 1.0
    names = runs.model.graph.writer_names
    return KnockOut(
        strategy=strategy,
        nodes=tuple(names[node] for node in sorted(chosen)),
        f_circuit=runs.share_interval(of_circuit - runs.whole.corrupt).value,
        f_model=runs.share_interval(of_model - runs.whole.corrupt).value,
        interval=runs.share_interval(sign * difference),
    )
