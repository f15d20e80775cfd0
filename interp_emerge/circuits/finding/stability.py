"""How much a circuit depends on the prompts: circuits of bootstrap samples of the pairs are compared with each other.

1. `stability` draws bootstrap samples of the prompt pairs (Efron, 1979, https://doi.org/10.1214/aos/1176344552), takes
   the mean scores of each sample, and selects a circuit from them: the n strongest edges, pruned. For a given circuit,
   n is the smallest number that gives at least the circuit's number of edges on all pairs once pruned
   (`_n_to_select`). On a sample, pruning may leave fewer or more.
2. Every two of these circuits are compared by their Jaccard index: of edges, of nodes (heads and MLPs that write a kept
   edge), and weighted by the scores (`circuits.overlap`). Means over all pairs of samples come with the central 95% of
   these pairs, which is their spread and not a confidence interval.
3. They are compared with the mean Jaccard index of random circuits of the same sizes (`circuits.overlap`). This null is
   easy to beat, since samples share pairs and thus noise (docs/calibration.md).

A mean of 0.8 has been proposed as the bar for a stable circuit; indirect object identification in GPT-2 with EAP-IG
reaches about 0.67. Only the selection is repeated, on existing scores: no model is run. `stability_of` compares
circuits for which scoring and search were repeated too (`circuits.finding.find.search_stability`).

Memory: the scores of some samples at a time, within the default budget, and one bit for each edge and sample. With the
1.6 million edges of Pythia-2.8B, 64 pairs and 100 samples take about half a minute.

`stability_across` compares existing circuits: of templates (`by_template`), methods or seeds.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.overlap import overlap, random_jaccard, require_one_graph, weighted_jaccard
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError, counted
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import items_that_fit
from interp_emerge.patching.base import EdgeScores
from interp_emerge.patching.scores import By
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.resampling import resample_weights
from interp_emerge.stats.sets import jaccard

Selector = Callable[[EdgeScores], Circuit]
ORDERS = ("score", "magnitude")
"""What makes an edge strong."""
NO_EDGE = "no sample gives a circuit with an edge"
EDGES_AT_ONCE = 1 << 14
"""Edges in one piece of work, 13 MB for 100 samples; a multiple of 8, so that pieces start at whole bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """How similar the circuits of bootstrap samples are, and how often each edge is in them.

    `jaccard`, `node_jaccard` and `weighted_jaccard` are means over all pairs of samples, with the central 95% of the
    pairs; pairs of two empty circuits are left out. `random` is the same mean for random circuits of the same sizes.
    `with_circuit` is the mean Jaccard index of `circuit` with the circuits of the samples. `frequency` is the fraction
    of samples whose circuit holds an edge, shape [writer, reader]. If no sample has an edge to compare, all of these
    except `frequency` are NaN, and `note` says why.
    """

    circuit: Circuit
    n_edges: np.ndarray
    """Number of edges in the circuit of each sample, shape [sample]."""
    jaccard: Interval
    node_jaccard: Interval
    weighted_jaccard: Interval
    with_circuit: float
    random: float
    frequency: np.ndarray
    note: str = ""

    def __repr__(self) -> str:
        found = self.jaccard
        if self.note:
            return f"Stability(undefined: {self.note})"
        return (
            f"Stability(Jaccard index {found} over {len(self.n_edges)} samples; random circuits of the same sizes "
            f"{self.random:.2f})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each edge of the circuit or of any sample's circuit, the most frequent first.

        Columns `writer`, `reader`, `frequency` (fraction of samples), `kept` (whether the circuit holds it).
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
    """How similar the circuits are that bootstrap samples of the prompt pairs give.

    Args:
        scores: scores with the values of each pair.
        of: the number of strongest edges to select; or the circuit to compare with, from which that number follows (see
            the module). The stability of an empty circuit is undefined. May be left out if `select` is given.
        resamples: number of bootstrap samples.
        by: strength of an edge, if `select` is left out: its `magnitude`, or its `score`.
        select: selects a circuit from the scores of a sample, which have standard errors but no values of single pairs.
        seed: of the samples.

    Raises:
        InputError: the scores lack the values of each pair, are by position or of a single pair; there are fewer than
            two samples; or neither `of` nor `select` is given.
        UnknownNameError: `by` is neither `score` nor `magnitude`.
    """
    if by not in ORDERS:
        raise UnknownNameError("order", by, ORDERS)
    values = _values_of_pairs(scores)
    if resamples < 2:
        raise InputError(f"resamples={resamples} is too few to compare samples; give at least 2")
    if isinstance(of, Circuit):
        require_one_graph([of, _circuit(scores, scores.graph.exists)])
        if not len(of) and select is None:
            return _undefined(of, resamples)
    choose = _chooser(scores, of, by, select)
    circuit = of if isinstance(of, Circuit) else _circuit(scores, choose(scores))
    graph, weights = scores.graph, resample_weights(len(values), resamples=resamples, seed=seed)
    packed = np.zeros((resamples, -(-graph.n_edges // 8)), dtype=np.uint8)
    nodes, counts = np.zeros((resamples, len(graph.writers)), dtype=bool), np.zeros(graph.n_edges)
    samples = _sampled(scores, values, weights, errors=select is not None)
    for row, sampled in enumerate(tqdm(samples, total=resamples, desc="samples of prompts", delay=2, leave=False)):
        kept = choose(sampled)
        packed[row], nodes[row] = np.packbits(kept[graph.exists]), kept.any(1)
        counts += kept[graph.exists]
    sizes = np.bitwise_count(packed).sum(1, dtype=np.int64)
    frequency = np.zeros(graph.exists.shape)
    frequency[graph.exists] = counts / resamples
    own = np.packbits(circuit.kept[graph.exists])
    return Stability(
        circuit=circuit,
        n_edges=sizes,
        jaccard=_over_pairs(_jaccards(packed)),
        node_jaccard=_over_pairs(_jaccards(np.packbits(nodes[:, 1:], axis=1))),
        weighted_jaccard=_over_pairs(_weighted_jaccards(values, weights, packed)),
        with_circuit=_mean(_jaccards_with(own, packed)),
        random=random_jaccard(circuit, sizes),
        frequency=frequency,
        note="" if sizes.any() else NO_EDGE,
    )


def stability_of(circuit: Circuit, samples: Sequence[Circuit]) -> Stability:
    """The stability of a circuit from circuits that were found on bootstrap samples in any way.

    Raises:
        InputError: there are fewer than two samples, or the circuits belong to different graphs.
    """
    if len(samples) < 2:
        raise InputError(f"{counted(len(samples), 'circuit')} of bootstrap samples cannot be compared; give at least 2")
    require_one_graph([circuit, *samples])
    graph, kept = circuit.graph, np.stack([sample.kept[circuit.graph.exists] for sample in samples])
    packed, frequency = np.packbits(kept, axis=1), np.zeros(graph.exists.shape)
    frequency[graph.exists] = kept.mean(0)
    weighted = np.array([weighted_jaccard(a, b) for a, b in combinations(samples, 2)])
    nodes = np.stack([sample.kept[1:].any(1) for sample in samples])
    return Stability(
        circuit=circuit,
        n_edges=kept.sum(1),
        jaccard=_over_pairs(_jaccards(packed)),
        node_jaccard=_over_pairs(_jaccards(np.packbits(nodes, axis=1))),
        weighted_jaccard=_over_pairs(weighted),
        with_circuit=_mean(_jaccards_with(np.packbits(circuit.kept[graph.exists]), packed)),
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
        raise InputError("the scores hold no values of single pairs to resample; score again with a method that keeps "
                         "them, on fewer pairs or with a larger budget")  # fmt: skip
    if len(scores.per_pair) < 2:
        raise InputError("a single pair cannot be resampled; score at least 2")
    return scores.per_pair


def _sampled(scores: EdgeScores, values: np.ndarray, weights: np.ndarray, *, errors: bool) -> Iterator[EdgeScores]:
    """The scores of each bootstrap sample, computed for some samples at a time."""
    graph, n = scores.graph, len(values)
    bytes_each = 8 * (2 if errors else 1) * graph.n_edges
    at_once = items_that_fit(bytes_each, len(weights), device=torch.device("cpu"), what="one sample's scores")
    for start in range(0, len(weights), at_once):
        part = weights[start : start + at_once]
        means, squares = np.empty((len(part), graph.n_edges)), np.zeros((len(part), graph.n_edges if errors else 0))
        for edges in _pieces(graph.n_edges):
            wide = values[:, edges].astype(np.float64)
            means[:, edges] = part @ wide
            if errors:
                squares[:, edges] = part @ wide**2
        for row, mean in enumerate(means):
            filled, spread = np.zeros(graph.exists.shape), np.zeros(graph.exists.shape)
            filled[graph.exists] = mean
            if errors:
                spread[graph.exists] = np.sqrt(np.maximum(squares[row] - mean**2, 0) / (n - 1))
            yield EdgeScores(graph=graph, scores=filled, standard_errors=spread, origin=scores.origin)


def _chooser(
    scores_of_all: EdgeScores, of: int | Circuit | None, by: By, select: Selector | None
) -> Callable[[EdgeScores], np.ndarray]:
    """A function from the scores of a sample to the edges of its circuit."""
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


def _undefined(circuit: Circuit, resamples: int) -> Stability:
    """The stability of an empty circuit, which is undefined."""
    unknown = Interval.undefined()
    return Stability(
        circuit=circuit,
        n_edges=np.zeros(resamples, dtype=np.int64),
        jaccard=unknown,
        node_jaccard=unknown,
        weighted_jaccard=unknown,
        with_circuit=np.nan,
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


def _jaccards(packed: np.ndarray) -> np.ndarray:
    """Jaccard indices of all pairs of sets, given as packed bits, shape [pair of sets]."""
    return np.concatenate([_jaccards_with(one, packed[row + 1 :]) for row, one in enumerate(packed)])


def _jaccards_with(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Jaccard indices of one set with others, all given as packed bits; NaN for two empty sets."""
    return jaccard(*(np.bitwise_count(bits).sum(-1, dtype=np.int64) for bits in (one & others, one, others)))


def _weighted_jaccards(values: np.ndarray, weights: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Weighted Jaccard indices of the circuits of all pairs of samples; NaN if neither has a score."""
    n = len(weights)
    first, second = np.triu_indices(n, 1)
    total, lower = np.zeros(n), np.zeros((n, n))
    for edges in _pieces(values.shape[1]):
        kept = np.unpackbits(packed[:, edges.start // 8 : -(-edges.stop // 8)], axis=1)[:, : edges.stop - edges.start]
        used = np.flatnonzero(kept.any(0))
        strength = np.abs(weights @ values[:, edges.start + used].astype(np.float64)) * kept[:, used]
        total += strength.sum(1)
        for row, one in enumerate(strength):
            lower[row, row + 1 :] += np.minimum(one, strength[row + 1 :]).sum(1)
    return jaccard(lower[first, second], total[first], total[second])


def _pieces(n_edges: int) -> list[slice]:
    return [slice(start, min(start + EDGES_AT_ONCE, n_edges)) for start in range(0, n_edges, EDGES_AT_ONCE)]


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def _over_pairs(values: np.ndarray) -> Interval:
    """Mean over pairs of samples with their central 95%; NaN if none is defined."""
    defined = values[~np.isnan(values)]
    return percentile_interval(_mean(values), defined) if len(defined) else Interval.undefined()
