"""Whether a circuit needs each of its nodes: the largest difference a node makes while others are knocked out.

Source: Wang et al., 2022, section 4 of Interpretability in the Wild, https://arxiv.org/abs/2211.00593.

The effect of node v is the largest |F(C∖(K∪{v})) − F(C∖K)| over sets K of other nodes of the circuit: the empty set,
the given groups, and random sets. F is the share of the gap (m(·) − m(∅)) / (m(M) − m(∅)); Wang et al. use the metric
itself. The sets are needed because a node with backups matters only once its backups are knocked out.

1. `_effects` runs the circuit without each set, and without each set and v.
2. One half of the pairs chooses the set with the largest effect, and the effect is measured on the other half.
3. The null: random nodes from outside the circuit are added to it, one at a time, with all edges that join them to the
   circuit's nodes, the embedding and the logits (`_joined`). Steps 1 and 2 measure their effects in the same way. The
   p-value of a node is the rank of its effect among theirs (`stats.ranks`).

If a node of the circuit has no larger effect than nodes outside, nothing shows that it belongs to the circuit.

Cost: (1 + sets) · (1 + nodes + random nodes) circuit runs on each half of the pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.circuits.running.runs import Runs
from interp_emerge.circuits.testing.completeness import (
    Nodes,
    node_groups,
    nodes_of,
    random_sets,
    require_at_least,
)
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.graph import LOGITS, Graph, without_writers
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import Interval
from interp_emerge.stats.ranks import rank_p


@dataclass(frozen=True, kw_only=True)
class NodeEffect:
    """The difference that a node makes while the nodes in `without` are knocked out, as a fraction of the gap.

    `interval` has the sign that makes its value positive. If it reaches below zero, the effect is not significant.
    """

    node: str
    without: tuple[str, ...]
    interval: Interval

    @property
    def effect(self) -> float:
        return self.interval.value


@dataclass(frozen=True, kw_only=True)
class Minimality(Record):
    """Effects of the circuit's nodes, and of random nodes added to it; all NaN if the gap is within noise."""

    inside: tuple[NodeEffect, ...]
    outside: tuple[NodeEffect, ...]

    @property
    def defined(self) -> bool:
        """Whether the gap is above noise, so that the effects are numbers."""
        return not any(np.isnan(found.effect) for found in self.inside)

    def p_value(self, effect: float) -> float:
        """The p-value of an effect among those of random nodes outside the circuit; NaN if there are none."""
        return rank_p(effect, np.array([found.effect for found in self.outside]), magnitude=1.0)

    def to_frame(self) -> pd.DataFrame:
        """One row a node, those of the circuit first.

        Columns `node`, `place` (`circuit`, or `outside` for random nodes), `effect` with its 95% interval `ci_low`,
        `ci_high`, `without` (the nodes knocked out meanwhile, with spaces between the names), `null_median` and
        `null_max` (median and maximum of the random nodes' effects) and `p_value`, which is NaN outside the circuit.
        """
        rows = [*self.inside, *self.outside]
        null = [found.effect for found in self.outside] or [np.nan]
        no_p_values = [np.nan] * len(self.outside)
        return pd.DataFrame(
            {
                "node": [found.node for found in rows],
                "place": ["circuit"] * len(self.inside) + ["outside"] * len(self.outside),
                "effect": [found.effect for found in rows],
                "ci_low": [found.interval.low for found in rows],
                "ci_high": [found.interval.high for found in rows],
                "without": [" ".join(found.without) for found in rows],
                "null_median": np.median(null),
                "null_max": np.max(null),
                "p_value": [self.p_value(found.effect) for found in self.inside] + no_p_values,
            }
        )


@checked
def minimality(
    runs: Runs,
    circuit: Circuit,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    n_random: int = 10,
    n_outside: int = 20,
) -> Minimality:
    """The largest difference that each node of a circuit makes, compared with random nodes added to the circuit.

    Example:
        >>> ie.circuits.testing.minimality(runs, circuit, n_random=2, n_outside=3)

    Args:
        runs: the model and the pairs; half of the pairs, drawn by its seed, choose the set for each node.
        circuit: edges of the model's graph.
        groups: names of nodes of the circuit by the name of their group; each group is one of the sets.
        n_random: number of random sets.
        n_outside: largest number of random nodes outside the circuit to compare with.

    Raises:
        UnknownNameError: no node has the name.
        InputError: a group names a node outside the circuit, a count is negative, or there are fewer than four pairs.
    """
    runs.model.require_graph(circuit.graph)
    require_at_least(0, n_random=n_random, n_outside=n_outside)
    graph, rng = runs.model.graph, np.random.default_rng(runs.seed)
    choosing, measuring = runs.halves(rng)
    nodes = nodes_of(circuit.kept)
    drawn = [*node_groups(circuit, groups or {}).values(), *random_sets(nodes, n_random, rng)]
    sets = [*dict.fromkeys([frozenset(), *drawn])]
    others = [index for index in range(1, len(graph.writers)) if index not in nodes] if nodes else []
    chosen = rng.permutation(others)[:n_outside]
    with_node = dict.fromkeys(nodes, circuit.kept)
    with_node |= {int(node): _joined(graph, circuit.kept, int(node)) for node in np.sort(chosen)}

    largest = np.abs(_effects(choosing, with_node, sets).mean(2)).argmax(1)
    measured = _effects(measuring, with_node, sets)
    found = [
        _node_effect(measuring, node, sets[best] - {node}, values[best])
        for node, best, values in zip(with_node, largest, measured, strict=True)
    ]
    return Minimality(inside=tuple(found[: len(nodes)]), outside=tuple(found[len(nodes) :]))


def _effects(runs: Runs, with_node: Mapping[int, EdgeMask], sets: Sequence[Nodes]) -> np.ndarray:
    """The metric with each node minus that without it, while each set is knocked out, shape [node, set, pair].

    `with_node` holds for each node a circuit that contains it: the tested circuit itself, or that circuit with the node
    added.
    """
    present = [(edges, knocked - {node}) for node, edges in with_node.items() for knocked in sets]
    absent = [(edges, knocked | {node}) for node, edges in with_node.items() for knocked in sets]
    circuits = (without_writers(edges, knocked) for edges, knocked in [*present, *absent])
    values = runs.metric_of(circuits, 2 * len(present))
    shape = (len(with_node), len(sets), len(runs.pairs))
    return (values[: len(present)] - values[len(present) :]).reshape(shape)


def _joined(graph: Graph, kept: EdgeMask, node: int) -> np.ndarray:
    """A circuit with one more node: every edge between it and the circuit's nodes, the embedding and the logits."""
    writers, readers = np.any(kept, axis=1), np.any(kept, axis=0)
    writers[0] = True
    readers[graph.reader_names.index(LOGITS)] = True
    joined = kept.copy()
    joined[node] |= readers & graph.exists[node]
    joined |= writers[:, None] & graph.owner[:, node][None] & graph.exists
    return joined


def _node_effect(runs: Runs, node: int, knocked: Nodes, difference: np.ndarray) -> NodeEffect:
    names = runs.model.graph.writer_names
    sign = -1.0 if difference.mean() < 0 else 1.0
    return NodeEffect(
        node=names[node],
        without=tuple(names[other] for other in sorted(knocked)),
        interval=runs.share_interval(sign * difference),
    )
