"""Would other prompts give the same circuit? The expected similarity of circuits of two independent sets of prompts.

`stability` answers this from the scores of the pairs at hand, for sets of as many pairs.

1. The pairs are divided into two disjoint halves, `resamples` times (`halves_of`). Each half gives a circuit: the n
   strongest edges of its mean scores, pruned. For a given circuit, n is the smallest number that gives at least the
   circuit's number of edges on all pairs once pruned (`_n_to_select`). On a half, pruning may leave fewer or more.
2. The two circuits of a division are compared by their Jaccard index: of edges, of nodes (heads and MLPs that write a
   kept edge), and weighted by the scores (`circuits.overlap`). Two halves share no pair, so the mean index is what two
   new sets of half the size would give.
3. Twice as many pairs give more similar circuits. By how much is taken from simulated sets (`simulated_sets`): mean
   scores from which the part that noise adds is subtracted (`stats.shrinkage.shrunk`), plus the deviations of the
   pairs, each pair with a random sign (the wild bootstrap; Liu, 1988, https://doi.org/10.1214/aos/1176351062). The
   index of two such sets, minus the index of two halves of one, is added to the index of step 2 (`_corrected`).
4. The interval has 1.96 standard deviations of the index of two halves to each side, within [0, 1]: over divisions or
   over simulated sets, whichever is larger, and at least what one more shared edge (or node) changes. If all circuits
   are equal, it is [1, 1].
5. The mean index of random circuits of the same sizes is given for comparison (`circuits.overlap.random_jaccard`).

Bootstrap samples of the pairs do not answer the question. Their means have the noise of the pairs and that of the
sample, so their circuits are less similar than those of new prompts; and samples share pairs, so circuits of pure noise
are more similar. Error and coverage of the estimate: docs/validity.md and docs/calibration.md.

A mean of 0.8 has been proposed as the bar for a stable circuit; indirect object identification in GPT-2 with EAP-IG
reaches about 0.67. Only the selection is repeated, on existing scores: no model is run. `stability_of` compares
circuits that were found on independent sets of prompts, where scoring and search were repeated
(`circuits.finding.find.search_stability`).

Cost: 7 selections of edges for each resample. Memory: the scores of some sets at a time, within the default budget, and
one bit for each edge and set.

`stability_across` compares existing circuits: of templates (`by_template`), methods or seeds.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.finding.prompt_sets import HALVINGS, Sets, halves_of, simulated_sets
from interp_emerge.circuits.overlap import overlap, random_jaccard, require_one_graph, weighted_jaccard
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError, counted
from interp_emerge.core.graph import Graph
from interp_emerge.core.record import Record
from interp_emerge.patching.base import EdgeScores
from interp_emerge.patching.scores import By
from interp_emerge.stats.intervals import SURE, Interval
from interp_emerge.stats.sets import jaccard

Selector = Callable[[EdgeScores], Circuit]
ORDERS = ("score", "magnitude")
"""What makes an edge strong."""
NO_EDGE = "no set of prompts gives a circuit with an edge"
FEWEST_PAIRS = 4
"""The fewest pairs that can be halved: a half of one pair has no standard errors."""
NORMAL = 1.96
"""Standard deviations to each side of an estimate."""
NEIGHBOURS = (1, 2, 3)
"""Each simulated set is compared with those that come so many places later."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability(Record):
    """How similar circuits of two independent sets of `n_pairs` prompt pairs are, and how often each edge is in them.

    `jaccard`, `node_jaccard` and `weighted_jaccard` are expected indices with their 95% intervals; pairs of two empty
    circuits are left out. `random` is the mean index of random circuits of the same sizes. `frequency` is the fraction
    of the sets (simulated, or those that were searched) whose circuit holds an edge, shape [writer, reader]. If no set
    gives an edge to compare, all of these except `frequency` are NaN, and `note` says why.
    """

    circuit: Circuit
    n_pairs: int
    n_edges: np.ndarray
    """Number of edges in the circuit of each set, shape [set]."""
    jaccard: Interval
    node_jaccard: Interval
    weighted_jaccard: Interval
    random: float
    frequency: np.ndarray
    note: str = ""

    def __repr__(self) -> str:
        found = self.jaccard
        if self.note:
            return f"Stability(undefined: {self.note})"
        return (
            f"Stability(expected Jaccard index {found} of circuits of two sets of {self.n_pairs} pairs; random "
            f"circuits of the same sizes {self.random:.2f})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each edge of the circuit or of any set's circuit, the most frequent first.

        Columns `writer`, `reader`, `frequency` (fraction of sets), `kept` (whether the circuit holds it).
        """
        graph, kept = self.circuit.graph, self.circuit.kept
        at = np.argwhere(kept | (self.frequency > 0))
        frequency = self.frequency[tuple(at.T)]
        at, frequency = (values[np.argsort(-frequency, kind="stable")] for values in (at, frequency))
        return pd.DataFrame(
            {
                "writer": [graph.writer_names[writer] for writer, _ in at],
                "reader": [graph.reader_names[reader] for _, reader in at],
                "frequency": frequency,
                "kept": kept[tuple(at.T)],
            }
        )


@checked
def stability(
    scores: EdgeScores,
    of: int | Circuit | None = None,
    *,
    resamples: int = 100,
    by: By = "magnitude",
    select: Selector | None = None,
    seed: int = 0,
) -> Stability:
    """How similar the circuits are that two independent sets of as many prompt pairs give.

    Example:
        >>> ie.circuits.finding.stability(scores, 12, resamples=20)

    Args:
        scores: scores with the values of each pair.
        of: the number of strongest edges to select; or the circuit from which that number follows (see the module). The
            stability of an empty circuit is undefined. May be left out if `select` is given.
        resamples: number of divisions into halves, and of simulated sets.
        by: strength of an edge, if `select` is left out: its `magnitude`, or its `score`.
        select: selects a circuit from the scores of a set, which have standard errors but no values of single pairs.
        seed: of halves and simulated sets.

    Raises:
        InputError: the scores lack the values of each pair, are by position or of fewer than 4 pairs; there are fewer
            than two resamples; or neither `of` nor `select` is given.
        UnknownNameError: `by` is neither `score` nor `magnitude`.
    """
    if by not in ORDERS:
        raise UnknownNameError("order", by, ORDERS)
    values = _values_of_pairs(scores).astype(np.float64)
    if len(values) < FEWEST_PAIRS:
        raise InputError(f"{counted(len(values), 'pair')} cannot be divided into halves with standard errors; score at "
                         f"least {FEWEST_PAIRS}")  # fmt: skip
    if resamples < 2:
        raise InputError(f"resamples={resamples} is too few to compare sets of prompts; give at least 2")
    if isinstance(of, Circuit):
        require_one_graph([of, _circuit(scores, scores.graph.exists)])
        if not len(of) and select is None:
            return _undefined(of, len(values), resamples)
    choose = _chooser(scores, of, by, select)
    circuit = of if isinstance(of, Circuit) else _circuit(scores, choose(scores))
    rng, graph = np.random.default_rng(seed), scores.graph
    halved = Sets(graph, values, 0.0, halves_of(len(values), resamples, rng), choose, errors=select is not None)
    drawn = simulated_sets(graph, values, resamples, choose, rng, errors=select is not None)
    sizes, frequency = np.bitwise_count(drawn.packed[:resamples]).sum(1, dtype=np.int64), np.zeros(graph.exists.shape)
    frequency[graph.exists] = np.unpackbits(drawn.packed[:resamples], axis=1)[:, : graph.n_edges].mean(0)
    halves = np.arange(2 * resamples).reshape(-1, 2).T
    whole = np.concatenate([[np.arange(resamples), np.roll(range(resamples), -step)] for step in NEIGHBOURS], axis=1)
    of_drawn = resamples + np.arange(2 * HALVINGS * resamples).reshape(-1, 2).T
    n_nodes = float(drawn.nodes[:resamples].sum(1).mean())
    found = [
        _corrected(index(halved, *halves), index(drawn, *whole), index(drawn, *of_drawn), size)
        for index, size in (
            (Sets.jaccards, float(sizes.mean())),
            (Sets.node_jaccards, n_nodes),
            (Sets.weighted_jaccards, float(sizes.mean())),
        )
    ]
    return Stability(
        circuit=circuit,
        n_pairs=len(values),
        n_edges=sizes,
        jaccard=found[0],
        node_jaccard=found[1],
        weighted_jaccard=found[2],
        random=random_jaccard(circuit, sizes),
        frequency=frequency,
        note="" if sizes.any() and not np.isnan(found[0].value) else NO_EDGE,
    )


def stability_of(circuit: Circuit, sets: Sequence[Circuit], *, n_pairs: int) -> Stability:
    """The stability of a circuit from circuits that were found in any way on independent sets of `n_pairs` pairs.

    The indices are means over all pairs of circuits, with Student intervals from a jackknife over circuits.

    Raises:
        InputError: there are fewer than three circuits, or they belong to different graphs.
    """
    if len(sets) < 3:
        raise InputError(f"{counted(len(sets), 'circuit')} of sets of prompts are too few for an interval; give at "
                         "least 3")  # fmt: skip
    require_one_graph([circuit, *sets])
    graph, kept = circuit.graph, np.stack([one.kept[circuit.graph.exists] for one in sets])
    frequency = np.zeros(graph.exists.shape)
    frequency[graph.exists] = kept.mean(0)
    both, nodes_of = [*combinations(range(len(sets)), 2)], np.stack([one.kept[1:].any(1) for one in sets])
    indices = np.array(
        [
            (jaccard((kept[a] & kept[b]).sum(), kept[a].sum(), kept[b].sum()),
             jaccard((nodes_of[a] & nodes_of[b]).sum(), nodes_of[a].sum(), nodes_of[b].sum()),
             weighted_jaccard(sets[a], sets[b]))
            for a, b in both
        ]
    )  # fmt: skip
    edges, nodes, weighted = (_jackknifed(one, np.array(both), len(sets)) for one in indices.T)
    return Stability(
        circuit=circuit,
        n_pairs=n_pairs,
        n_edges=kept.sum(1),
        jaccard=edges,
        node_jaccard=nodes,
        weighted_jaccard=weighted,
        random=random_jaccard(circuit, kept.sum(1)),
        frequency=frequency,
        note="" if kept.any() else NO_EDGE,
    )


def stability_across(circuits: Mapping[str, Circuit]) -> pd.DataFrame:
    """The overlap of every two circuits of one graph, with random circuits of the same sizes; one row a pair.

    Columns `a`, `b`, `n_a`, `n_b`, `shared` (edges), `jaccard`, `random` (mean over random circuits of these sizes)
    with its central 95% `random_low`, `random_high`, `p_value`, `random_kind`, `node_jaccard`, `weighted_jaccard`.

    Raises:
        InputError: there are fewer than two circuits, or they belong to different graphs.
    """
    if len(circuits) < 2:
        raise InputError(f"{counted(len(circuits), 'circuit')} cannot be compared; give at least 2")
    require_one_graph([*circuits.values()])
    rows = []
    for (first, a), (second, b) in combinations(circuits.items(), 2):
        found = overlap(a, b)
        edges = found.edges
        rows.append(
            {
                "a": first,
                "b": second,
                "n_a": edges.n_a,
                "n_b": edges.n_b,
                "shared": edges.shared,
                "jaccard": edges.jaccard,
                **edges.random.columns("random"),
                "p_value": edges.p_value,
                "random_kind": edges.random_kind,
                "node_jaccard": found.nodes.jaccard,
                "weighted_jaccard": found.weighted,
            }
        )
    return pd.DataFrame(rows)


def by_template(scores: EdgeScores, pairs: PromptPairs, n_edges: int, *, by: By = "magnitude") -> dict[str, Circuit]:
    """The circuit of the strongest edges on the pairs of each template, by the template's name.

    Raises:
        InputError: the scores lack the values of each pair, are by position or of other pairs, or the pairs have no
            templates.
    """
    values = _values_of_pairs(scores)
    if len(pairs) != len(values) or not pairs.templates:
        raise InputError(f"the scores are of {len(values)} pairs; give those pairs with their templates, not "
                         f"{counted(len(pairs), 'pair')} with {len(pairs.templates)} template names")  # fmt: skip
    circuits = {}
    for template in dict.fromkeys(pairs.templates):
        rows = [row for row, name in enumerate(pairs.templates) if name == template]
        origin = {**scores.origin, "template": template, "n_pairs": len(rows)}
        of_template = EdgeScores.from_pairs(scores.graph, values[rows], origin=origin)
        circuits[template] = of_template.top(n_edges, by=by)
    return circuits


def _values_of_pairs(scores: EdgeScores) -> np.ndarray:
    """Scores of every pair, shape [pair, edge]."""
    if scores.positions is not None:
        raise InputError("the scores are by position, but a circuit has no positions; score again without positions")
    if scores.per_pair is None:
        raise InputError("the scores hold no values of single pairs to divide; score again with a method that keeps "
                         "them, on fewer pairs or with a larger budget")  # fmt: skip
    if not np.isfinite(scores.per_pair).all():
        raise InputError("scores of some pairs are not finite; leave these pairs out and score again")
    return scores.per_pair


def _corrected(halves: np.ndarray, whole: np.ndarray, of_drawn: np.ndarray, size: float) -> Interval:
    """The mean index of halves plus the rise from halves to whole sets of the simulated sets, with its interval.

    `size` is the mean number of edges or nodes of a circuit.
    """
    if np.isnan([_mean(halves), _mean(whole), _mean(of_drawn)]).any():
        return Interval.undefined()
    value = float(np.clip(_mean(halves) + _mean(whole) - _mean(of_drawn), 0, 1))
    spread = NORMAL * float(max(np.nanstd(halves), np.nanstd(of_drawn)))
    half = max(spread, 0.0 if np.nanmin(halves) == 1 else 0.5 / max(size, 1))
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def _jackknifed(indices: np.ndarray, both: np.ndarray, n: int) -> Interval:
    """The mean index of all pairs of `n` circuits, shape [pair], with a Student interval, each circuit left out once.

    `both` holds the two circuits of each pair, shape [pair, 2].
    """
    from scipy.stats import t

    value, left_out = _mean(indices), np.array([_mean(indices[(both != one).all(1)]) for one in range(n)])
    if np.isnan(left_out).any():
        return Interval(value, np.nan, np.nan)
    half = float(t.ppf(SURE, n - 1) * np.sqrt((n - 1) * left_out.var()))
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def _chooser(
    scores_of_all: EdgeScores, of: int | Circuit | None, by: By, select: Selector | None
) -> Callable[[EdgeScores], np.ndarray]:
    """A function from the scores of a set to the edges of its circuit."""
    if select is not None and not isinstance(of, int):
        return lambda scores: select(scores).kept
    if select is not None or of is None:
        raise InputError("it is unclear what to select; give either `of`, a number of edges or a circuit, or `select`")
    n = _n_to_select(scores_of_all, len(of), by) if isinstance(of, Circuit) else of
    return lambda scores: scores.graph.prune(_strongest(scores.graph, scores.scores, n, by))


def _n_to_select(scores: EdgeScores, size: int, by: By) -> int:
    """The smallest number of strongest edges that leave at least `size` edges once pruned.

    The number that is left never falls as edges are added, so bisection finds it.
    """
    graph = scores.graph
    counts = range(1, graph.n_edges + 1)
    return counts[bisect_left(counts, size, key=lambda n: graph.prune(_strongest(graph, scores.scores, n, by)).sum())]


def _undefined(circuit: Circuit, n_pairs: int, resamples: int) -> Stability:
    """The stability of an empty circuit, which is undefined."""
    unknown = Interval.undefined()
    return Stability(
        circuit=circuit,
        n_pairs=n_pairs,
        n_edges=np.zeros(resamples, dtype=np.int64),
        jaccard=unknown,
        node_jaccard=unknown,
        weighted_jaccard=unknown,
        random=np.nan,
        frequency=np.zeros(circuit.kept.shape),
        note="the circuit is empty",
    )


def _circuit(scores: EdgeScores, kept: EdgeMask) -> Circuit:
    return Circuit(graph=scores.graph, kept=kept, scores=scores.scores * kept, origin=scores.origin)


def _strongest(graph: Graph, scores: np.ndarray, n: int, by: By) -> np.ndarray:
    """The edges that `EdgeScores.ranked` lists first, found without ranking all edges."""
    if not 1 <= n <= graph.n_edges:
        raise InputError(f"a circuit cannot have {n} of this graph's edges; give 1 to {graph.n_edges}, its number")
    strength = np.abs(scores[graph.exists]) if by == "magnitude" else scores[graph.exists]
    least = np.partition(strength, -n)[-n]
    chosen = strength > least
    chosen[np.flatnonzero(strength == least)[: n - int(chosen.sum())]] = True
    kept = np.zeros_like(graph.exists)
    kept[graph.exists] = chosen
    return kept


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan
