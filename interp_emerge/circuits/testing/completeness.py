"""Whether a circuit holds all that the model uses: the same nodes knocked out of the circuit and of the whole model.

Source: Wang et al., 2022, section 4 of Interpretability in the Wild, https://arxiv.org/abs/2211.00593.

For a set K of the circuit's nodes, incompleteness is |F(C∖K) − F(M∖K)|. Here F is the share of the gap
(m(·) − m(∅)) / (m(M) − m(∅)), a fraction that may leave [0, 1]; Wang et al. take the metric itself. A node is knocked
out by dropping every edge that it writes. A circuit without the backups of its own nodes can be faithful as it stands
and still incomplete: what the whole model makes up for, the circuit cannot.

1. `node_groups`, `random_sets` and `_greedy_set` choose the sets K. The embedding is in none: without it both sides are
   the ablated run.
2. `completeness` runs the circuit and the model without each set, and bootstraps the difference over pairs.

The greedy set grows by the node that makes the circuit most incomplete, and gives nodes back where that raises it. Its
value is biased up on the pairs that chose it: with `greedy` among the strategies it is chosen on one half of the pairs,
and all sets are measured on the other. The worst of many random sets is a maximum of noisy values too, and its interval
does not account for that.

Cost: two circuit runs a set; the greedy choice up to 4 · `max_size` · (nodes of the circuit) runs on half of the pairs.
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
from interp_emerge.stats.intervals import Interval

STRATEGIES = ("random", "role", "greedy")
LEAST_GAIN = 0.01
"""Fraction of the gap by which a set must be more incomplete than a smaller one to be preferred to it."""
Nodes = frozenset[int]
"""Writers by their index in the graph."""


@dataclass(frozen=True, kw_only=True)
class KnockOut:
    """A set of nodes, and what is left of the gap without it, as fractions of the gap.

    `interval` is that of the incompleteness: the difference of the two shares, turned so that its value is positive. An
    interval that reaches below zero cannot tell circuit and model apart.
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
class Completeness:
    """A circuit and the whole model without the same sets of nodes; all NaN where the gap is within noise."""

    knock_outs: tuple[KnockOut, ...]
    n_pairs: int
    """Pairs that the values were measured on: with a greedy set the half that did not choose it."""

    @property
    def worst(self) -> KnockOut | None:
        """The set without which circuit and model differ most, None where that is undefined."""
        defined = [knock_out for knock_out in self.knock_outs if not np.isnan(knock_out.incompleteness)]
        return max(defined, key=lambda knock_out: knock_out.incompleteness, default=None)

    def to_frame(self) -> pd.DataFrame:
        """One row a set.

        Columns `strategy` (`none` for the empty set, `role: NAME` for a given group), `nodes` with blanks between the
        names, `n_nodes`, `f_circuit`, `f_model`, `incompleteness` with its 95% interval `ci_low`, `ci_high`, `n_pairs`
        (that all of these were measured on).
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
    """How differently a circuit and the whole model fare without the same nodes of the circuit.

    The empty set is always among the sets: its incompleteness is |F(C) − 1|.

    Args:
        runs: what to run on; with `greedy` half of its pairs, drawn by its seed, choose the set.
        circuit: edges of the model's graph.
        strategies: `random`: sets of random nodes, half of them of random size and half of half the circuit's nodes;
            `role`: the groups; `greedy`: the set found to be most incomplete. Groups that are given count in any case.
        groups: names of nodes of the circuit by the name of their group, such as the roles of heads.
        n_random: number of random sets.
        max_size: most nodes in the greedy set.

    Raises:
        UnknownNameError: no strategy or node has the name.
        InputError: a group names a node outside the circuit, `role` is asked for without groups, a count is out of its
            range, or there are too few pairs to choose on one half and report on the other.
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
    reporting = runs
    if "greedy" in strategies:
        choosing, reporting = runs.halves(rng)
        sets.append(("greedy", _greedy_set(choosing, circuit.kept, nodes, max_size)))
    inside, outside = _without_each(reporting, circuit.kept, [chosen for _, chosen in sets])
    knock_outs = tuple(
        _knock_out(reporting, strategy, chosen, of_circuit, of_model)
        for (strategy, chosen), of_circuit, of_model in zip(sets, inside, outside, strict=True)
    )
    return Completeness(knock_outs=knock_outs, n_pairs=len(reporting.pairs))


def require_at_least(least: int, **counts: int) -> None:
    """Raise an `InputError` for the first count below the least."""
    for name, count in counts.items():
        if count < least:
            raise InputError(f"{name}={count} is too few; give at least {least}")


def nodes_of(kept: EdgeMask) -> list[int]:
    """The writers of kept edges but for the embedding, by their index."""
    return [int(writer) for writer in np.flatnonzero(kept.any(1)) if writer > 0]


def node_groups(circuit: Circuit, groups: Mapping[str, Sequence[str]]) -> dict[str, Nodes]:
    """Groups of named nodes as indices.

    Raises:
        UnknownNameError: a node that the graph lacks.
        InputError: a node that writes no edge of the circuit.
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
    """`n` sets of random nodes: every second of random size, the others of half of the nodes; without nodes none."""
    sizes = [int(rng.integers(1, len(nodes) + 1)) if i % 2 else (len(nodes) + 1) // 2 for i in range(n) if len(nodes)]
    return [frozenset(map(int, rng.choice(nodes, size, replace=False))) for size in sizes]


def _greedy_set(runs: Runs, kept: EdgeMask, nodes: Sequence[int], max_size: int) -> Nodes:
    """A set of at most `max_size` nodes without which circuit and model differ much, grown a node at a time.

    After each addition a node is given back as long as that raises the difference. The set returned is the smallest on
    the way within `LEAST_GAIN` of the best.
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
            # A set that was met before was left for a better one, and going back to it would not end.
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
    whole = runs.model.graph.exists
    circuits = (without_writers(edges, chosen) for edges in (kept, whole) for chosen in sets)
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
