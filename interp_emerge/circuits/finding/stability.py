"""Whether other prompts of the same kind would give the same circuit.

1. `stability` draws bootstrap samples of the prompt pairs (Efron, 1979, https://doi.org/10.1214/aos/1176344552), takes
   the mean scores of each, and selects a circuit from them: the n strongest edges, less what pruning drops. For a given
   circuit n is the least number that leaves as many edges as it has, or more, on the scores of all pairs (`_as_many`);
   pruning may leave fewer or more of the n strongest edges of a sample.
2. Every two of these circuits are compared by their Jaccard index: of edges, of nodes (heads and MLPs that write a kept
   edge), and weighted by the scores (`circuits.overlap`). Means over all pairs of samples come with the central 95% of
   these pairs, which is their spread and no confidence interval.
3. Beside them stands the mean Jaccard index of random sets of as many edges as the samples' circuits have, exact for
   the two sizes of every pair of samples (`_of_random_sets`). It is a low bar: samples have pairs in common, and with
   them their noise. Scores of nothing but noise on 64 pairs gave 0.14, random sets 0.06.

A mean of 0.8 has been proposed as the bar for a stable circuit; indirect object identification in GPT-2 with EAP-IG
reaches about 0.67. Only the selection is repeated, on scores that are there already: no model is run. `stability_of`
takes circuits for which everything was done again (`circuits.finding.find.search_stability`).

Memory: the scores of some samples at a time, within the default budget, and one bit an edge and sample. At the 1.6
million edges of Pythia-2.8B, 64 pairs and 100 samples take about half a minute.

`stability_across` compares circuits that are there already: of templates (`by_template`), methods or seeds.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.circuits.overlap import node_overlap, require_one_graph, weighted_jaccard
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import items_that_fit
from interp_emerge.patching.base import EdgeScores
from interp_emerge.patching.scores import By
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.resampling import resample_weights
from interp_emerge.stats.sets import SetOverlap, jaccard

Select = Callable[[EdgeScores], Circuit]
ORDERS = ("score", "magnitude")
NO_EDGE = "no sample gives a circuit with an edge"
EDGES_AT_ONCE = 1 << 14
"""Edges weighed in one piece of work, 13 MB for 100 samples; a multiple of 8, which is a byte of bits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """How alike the circuits of bootstrap samples are, and how often each edge is in them.

    `jaccard`, `node_jaccard` and `weighted_jaccard` are means over all pairs of samples, with the central 95% of the
    pairs; two empty circuits are left out. `random` is the same mean for random sets of as many edges as the circuits
    of the two samples have. `with_circuit` is the mean Jaccard index of `circuit` with those of the samples.
    `frequency` is the fraction of samples whose circuit holds an edge, shape [writer, reader]. Where no sample has an
    edge to compare, all but that are NaN, and `note` says why.
    """

    circuit: Circuit
    n_edges: np.ndarray
    """Edges in the circuit of each sample, shape [sample]."""
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
            f"Stability(Jaccard {found} over {len(self.n_edges)} "
            f"samples, random circuits of this size {self.random:.2f})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row an edge of the circuit or of any sample's, the most frequent first.

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
    select: Select | None = None,
    seed: int = 0,
) -> Stability:
    """How alike the circuits are that bootstrap samples of the prompt pairs give.

    Args:
        scores: scores with the values of each pair.
        of: how many of the strongest edges make a circuit; or the circuit to compare with, in which case each sample
            gives as many of its strongest edges as leave, pruned, a circuit of that size on all pairs. Stability of an
            empty circuit is undefined. May be left out where `select` is given.
        resamples: bootstrap samples.
        by: what makes an edge strong, where `select` is left out.
        select: gives a circuit from the scores of a sample, which come with standard errors but without single pairs.
        seed: of the samples.

    Raises:
        InputError: the scores lack the values of each pair, are by position or of a single pair; fewer than two samples
            are asked for; or it is not said what to select.
        UnknownNameError: `by` is neither `score` nor `magnitude`.
    """
    if by not in ORDERS:
        raise UnknownNameError("order", by, ORDERS)
    values = _values_of_pairs(scores)
    if resamples < 2:
        raise InputError(f"{resamples} bootstrap samples have no pairs to compare; ask for at least 2")
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
        random=_of_random_sets(graph.n_edges, sizes),
        frequency=frequency,
        note="" if sizes.any() else NO_EDGE,
    )


def stability_of(circuit: Circuit, samples: Sequence[Circuit]) -> Stability:
    """The same of circuits that were found on bootstrap samples in any way, all of the graph of `circuit`.

    Raises:
        InputError: fewer than two samples, or circuits of different graphs.
    """
    if len(samples) < 2:
        raise InputError(f"{len(samples)} circuits of bootstrap samples have no pairs to compare; give at least 2")
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
        random=_of_random_sets(graph.n_edges, kept.sum(1)),
        frequency=frequency,
        note="" if kept.any() else NO_EDGE,
    )


def stability_across(circuits: Mapping[str, Circuit]) -> pd.DataFrame:
    """Every two of some circuits of one graph beside random circuits of their sizes, one row a pair.

    Columns `a`, `b`, `n_a`, `n_b`, `shared` (edges), `jaccard`, `random` (exact mean for random sets of these sizes)
    with its central 95% `random_low`, `random_high`, `p_value`, `node_jaccard`, `weighted_jaccard`.

    Raises:
        InputError: fewer than two circuits, or circuits of different graphs.
    """
    if len(circuits) < 2:
        raise InputError(f"{len(circuits)} circuits have no pairs to compare; give at least 2")
    require_one_graph([*circuits.values()])
    rows = []
    for (first, a), (second, b) in combinations(circuits.items(), 2):
        edges = SetOverlap.of(a.kept, b.kept, a.graph.n_edges)
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
                "node_jaccard": node_overlap(a, b).jaccard,
                "weighted_jaccard": weighted_jaccard(a, b),
            }
        )
    return pd.DataFrame(rows)


def by_template(scores: EdgeScores, pairs: PromptPairs, n_edges: int, *, by: By = "magnitude") -> dict[str, Circuit]:
    """The circuit of the strongest edges on the pairs of each template alone, by the template's name.

    Raises:
        InputError: the scores lack the values of each pair, are by position or of other pairs, or no template is named.
    """
    values = _values_of_pairs(scores)
    if len(pairs) != len(values) or not pairs.templates:
        raise InputError(f"scores of {len(values)} pairs need those pairs with their templates, not {len(pairs)} pairs "
                         f"with {len(pairs.templates)} template names")  # fmt: skip
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
        raise InputError("collapse positions first: a circuit has none; score again without positions")
    if scores.per_pair is None:
        raise InputError("these scores hold no values of single pairs to resample; score again by a method that keeps "
                         "them, on fewer pairs or with a larger budget")  # fmt: skip
    if len(scores.per_pair) < 2:
        raise InputError("a single pair cannot be resampled; score at least 2")
    return scores.per_pair


def _sampled(scores: EdgeScores, values: np.ndarray, weights: np.ndarray, *, errors: bool) -> Iterator[EdgeScores]:
    """The scores of each bootstrap sample, made for some samples at a time."""
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
    whole: EdgeScores, of: int | Circuit | None, by: By, select: Select | None
) -> Callable[[EdgeScores], np.ndarray]:
    """What gives the edges of a circuit from the scores of a sample."""
    if select is not None and not isinstance(of, int):
        return lambda scores: select(scores).kept
    if select is not None or of is None:
        raise InputError("give a number of edges or a circuit, or `select`, which says itself how many edges it takes")
    n = _as_many(whole, len(of), by) if isinstance(of, Circuit) else of
    return lambda scores: scores.graph.prune(_strongest(scores.graph, scores.scores, n, by))


def _as_many(scores: EdgeScores, size: int, by: By) -> int:
    """The least number of strongest edges of which pruning leaves `size` or more; of more it leaves no fewer."""
    graph = scores.graph
    counts = range(1, graph.n_edges + 1)
    return counts[bisect_left(counts, size, key=lambda n: graph.prune(_strongest(graph, scores.scores, n, by)).sum())]


def _undefined(circuit: Circuit, resamples: int) -> Stability:
    """What can be said of an empty circuit's stability."""
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
    """The edges that `EdgeScores.ranked` lists first, found without a whole ranking."""
    if not 1 <= n <= graph.n_edges:
        raise InputError(f"{n} edges make no circuit of this graph, which has {graph.n_edges}; ask for at least 1")
    strength = np.abs(scores[graph.exists]) if by == "magnitude" else scores[graph.exists]
    least = np.partition(strength, -n)[-n]
    chosen = strength > least
    chosen[np.flatnonzero(strength == least)[: n - int(chosen.sum())]] = True
    kept = np.zeros_like(graph.exists)
    kept[graph.exists] = chosen
    return kept


def _jaccards(packed: np.ndarray) -> np.ndarray:
    """Jaccard indices of all pairs of sets, given as bits, shape [pair of sets]."""
    return np.concatenate([_jaccards_with(one, packed[row + 1 :]) for row, one in enumerate(packed)])


def _jaccards_with(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Jaccard indices of one set with others, all given as bits; NaN for two empty ones."""
    return jaccard(*(np.bitwise_count(bits).sum(-1, dtype=np.int64) for bits in (one & others, one, others)))


def _weighted_jaccards(values: np.ndarray, weights: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Weighted Jaccard indices of the circuits of all pairs of samples; NaN where neither has a score."""
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


def _of_random_sets(n_possible: int, sizes: np.ndarray) -> float:
    """Mean Jaccard index of random sets over all pairs of these sizes, those of two empty sets left out."""
    different, counts = np.unique(sizes, return_counts=True)
    total = weight = 0.0
    for row, (a, n_a) in enumerate(zip(different, counts, strict=True)):
        for b, n_b in zip(different[row:], counts[row:], strict=True):
            n_pairs = n_a * (n_a - 1) / 2 if a == b else n_a * n_b
            if n_pairs and b:
                both = SetOverlap(n_possible=n_possible, n_a=int(a), n_b=int(b), shared=0)
                total, weight = total + n_pairs * both.random.value, weight + n_pairs
    return float(total / weight) if weight else np.nan


def _pieces(n_edges: int) -> list[slice]:
    return [slice(start, min(start + EDGES_AT_ONCE, n_edges)) for start in range(0, n_edges, EDGES_AT_ONCE)]


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are defined; NaN where none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def _over_pairs(values: np.ndarray) -> Interval:
    """Mean over pairs of samples with their central 95%; NaN where none is defined."""
    defined = values[~np.isnan(values)]
    return percentile_interval(_mean(values), defined) if len(defined) else Interval.undefined()
