"""How much two circuits of one graph share, beside what random circuits of the same sizes would.

Two circuits overlap by chance already, the more so the larger they are: an overlap says something only against that.
Sets are compared by their Jaccard index, |A ∩ B| / |A ∪ B|, from 0 (nothing shared) to 1 (equal); at three levels:

* edges, of all edges of the graph;
* nodes: heads and MLPs that write a kept edge. The embedding is in every circuit and is left out;
* heads alone.

The null are random sets of the same two sizes. What they share is hypergeometric, so the mean of their Jaccard index,
its central 95% and the p-value (at least as many shared) are exact. Scores enter the weighted Jaccard index, Σ min / Σ
max of the scores' magnitudes over the edges of either circuit (Ioffe, 2010, https://doi.org/10.1109/ICDM.2010.80): an
edge outside a circuit counts 0 there. Its null puts both circuits' scores on random edges, `n_random` times.

Circuits that share few edges may still do the same: also evaluate each where the other was found. No model is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Edge, Graph
from interp_emerge.stats.intervals import SURE, TAIL, Interval, percentile_interval
from interp_emerge.stats.ranks import rank_p, spearman

FEWEST_TO_RANK = 3
"""Edges below which a rank correlation says nothing."""
FARTHEST = 12
"""Standard deviations around the mean, and things at least, beyond which nothing of a distribution is left to count."""


@dataclass(frozen=True, kw_only=True)
class SetOverlap:
    """What two sets share that are drawn from the same things."""

    n_possible: int
    n_a: int
    n_b: int
    shared: int

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, n_possible: int) -> "SetOverlap":
        """Of two sets given as bool arrays over the same things, of which `n_possible` can be in a set."""
        return cls(n_possible=n_possible, n_a=int(a.sum()), n_b=int(b.sum()), shared=int((a & b).sum()))

    @property
    def jaccard(self) -> float:
        """Shared as a fraction of those in either set; NaN for two empty sets."""
        return float(self._jaccard(np.array([self.shared]))[0])

    @cached_property
    def random(self) -> Interval:
        """Mean and central 95% of the Jaccard index of random sets of these sizes; NaN for two empty sets."""
        from scipy.stats import hypergeom

        if not self.n_a + self.n_b:
            return Interval.undefined()
        shared = self._likely_shared()
        chances, values = hypergeom.pmf(shared, self.n_possible, self.n_a, self.n_b), self._jaccard(shared)
        low, high = values[np.searchsorted(np.cumsum(chances), [TAIL, SURE])]
        return Interval(float(chances @ values), float(low), float(high))

    @property
    def p_value(self) -> float:
        """Probability that random sets of these sizes share at least as many."""
        from scipy.stats import hypergeom

        return float(hypergeom(self.n_possible, self.n_a, self.n_b).sf(self.shared - 1))

    def _likely_shared(self) -> np.ndarray:
        """All numbers of shared things that have a chance worth counting."""
        mean = self.n_a * self.n_b / self.n_possible
        variance = mean * (1 - self.n_a / self.n_possible) * (self.n_possible - self.n_b) / max(1, self.n_possible - 1)
        reach = int(FARTHEST * variance**0.5) + FARTHEST
        first, last = max(0, self.n_a + self.n_b - self.n_possible), min(self.n_a, self.n_b)
        return np.arange(max(first, int(mean) - reach), min(last, int(mean) + reach) + 1)

    def _jaccard(self, shared: np.ndarray) -> np.ndarray:
        in_either = self.n_a + self.n_b - shared
        return np.divide(shared, in_either, out=np.full(shared.shape, np.nan), where=in_either > 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap:
    """What two circuits of one graph share, with the null of random circuits of their sizes.

    `weighted` is the weighted Jaccard index of their scores. `rank_correlation` is Spearman's of the scores over the
    edges of either circuit, an edge outside a circuit counting 0, so that it falls below 0 where little is shared;
    `rank_correlation_shared` is over the shared edges alone. All three are NaN where a circuit has no scores.
    """

    edges: SetOverlap
    nodes: SetOverlap
    heads: SetOverlap
    weighted: float
    weighted_random: Interval
    weighted_p_value: float
    rank_correlation: float
    rank_correlation_shared: float
    only_a: tuple[Edge, ...]
    only_b: tuple[Edge, ...]

    @property
    def jaccard(self) -> float:
        """Jaccard index of the edges."""
        return self.edges.jaccard

    @property
    def p_value(self) -> float:
        """Probability that random circuits of these sizes share at least as many edges."""
        return self.edges.p_value

    @property
    def sentence(self) -> str:
        """The overlap of the edges in words."""
        edges = self.edges
        if not edges.n_a + edges.n_b:
            return "share nothing: both circuits are empty"
        null = edges.random
        return (
            f"share {edges.shared} of {edges.n_a} and {edges.n_b} edges: Jaccard {edges.jaccard:.2f}, random circuits "
            f"of these sizes {null.value:.2f} [{null.low:.2f}, {null.high:.2f}]"
        )

    def __repr__(self) -> str:
        return f"Overlap({self.sentence})"

    def to_frame(self) -> pd.DataFrame:
        """One row a level: edges, nodes, heads, weighted edges.

        Columns `level`, `n_a`, `n_b`, `shared`, `jaccard`, `random` (mean over random circuits) with its central 95%
        `random_low`, `random_high`, and `p_value`.
        """
        columns = ("level", "n_a", "n_b", "shared", "jaccard", "random", "random_low", "random_high", "p_value")
        rows = []
        for level, sets in (("edges", self.edges), ("nodes", self.nodes), ("heads", self.heads)):
            counted = (level, sets.n_a, sets.n_b, sets.shared, sets.jaccard)
            rows.append((*counted, *_ends(sets.random), sets.p_value))
        sizes = (self.edges.n_a, self.edges.n_b, self.edges.shared)
        rows.append(("weighted edges", *sizes, self.weighted, *_ends(self.weighted_random), self.weighted_p_value))
        return pd.DataFrame(rows, columns=list(columns))


@checked
def overlap(a: Circuit, b: Circuit, *, n_random: int = 1000, seed: int = 0) -> Overlap:
    """What two circuits of one graph share.

    Args:
        a: a circuit, called a in the result.
        b: another one of the same graph, called b.
        n_random: draws of the null of the weighted index.
        seed: of these draws.

    Raises:
        InputError: the circuits belong to graphs of different shapes, or `n_random` is below 1.
    """
    require_one_graph([a, b])
    if n_random < 1:
        raise InputError(f"{n_random} random circuits make no null; give at least 1")
    weighted = weighted_jaccard(a, b)
    if np.isnan(weighted):
        null, p_value = Interval.undefined(), np.nan
    else:
        weights_a, weights_b = (np.abs(circuit.scores[circuit.kept]) for circuit in (a, b))
        drawn = _weighted_of_random(weights_a, weights_b, a.graph.n_edges, n_random, np.random.default_rng(seed))
        null = percentile_interval(float(drawn.mean()), drawn)
        p_value = rank_p(weighted, drawn)
    return Overlap(
        edges=SetOverlap.of(a.kept, b.kept, a.graph.n_edges),
        nodes=node_overlap(a, b),
        heads=node_overlap(a, b, kinds=("head",)),
        weighted=weighted,
        weighted_random=null,
        weighted_p_value=p_value,
        rank_correlation=_rank_correlation(a, b, a.kept | b.kept),
        rank_correlation_shared=_rank_correlation(a, b, a.kept & b.kept),
        only_a=tuple(a.with_kept(a.kept & ~b.kept).edges),
        only_b=tuple(b.with_kept(b.kept & ~a.kept).edges),
    )


def sizes_beside(a: Circuit, b: Circuit, *, names: tuple[str, str] = ("a", "b")) -> pd.DataFrame:
    """What can be compared of circuits of different graphs: their size as a share of the graph, and where heads lie.

    One row a circuit and layer: `circuit`, `n_edges`, `n_graph_edges`, `edge_share`, `layer`, `depth` (where the middle
    of the layer lies, as a fraction of all layers), `n_heads` of the circuit in the layer, `head_share` of its heads.
    """
    frames = []
    for name, circuit in zip(names, (a, b), strict=True):
        graph, layers = circuit.graph, np.arange(circuit.graph.n_layers)
        written = circuit.kept.any(1) & _is_kind(graph, ("head",))
        n_heads = np.bincount([graph.writers[index].layer for index in np.flatnonzero(written)], minlength=len(layers))
        frames.append(
            pd.DataFrame(
                {
                    "circuit": name,
                    "n_edges": len(circuit),
                    "n_graph_edges": graph.n_edges,
                    "edge_share": len(circuit) / graph.n_edges,
                    "layer": layers,
                    "depth": (layers + 0.5) / graph.n_layers,
                    "n_heads": n_heads,
                    "head_share": n_heads / graph.n_heads,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def node_overlap(a: Circuit, b: Circuit, *, kinds: Sequence[str] = ("head", "mlp")) -> SetOverlap:
    """What two circuits of one graph share of the nodes of some kinds that write a kept edge."""
    possible = _is_kind(a.graph, kinds)
    return SetOverlap.of(a.kept.any(1) & possible, b.kept.any(1) & possible, int(possible.sum()))


def weighted_jaccard(a: Circuit, b: Circuit) -> float:
    """Σ min / Σ max of the magnitudes of two circuits' scores; NaN where one has no scores."""
    strengths = [np.abs(circuit.scores * circuit.kept) for circuit in (a, b)]
    if not all(strength.any() for strength in strengths):
        return np.nan
    return float(np.minimum(*strengths).sum() / np.maximum(*strengths).sum())


def require_one_graph(circuits: Sequence[Circuit]) -> None:
    """Raise an `InputError` unless all circuits belong to graphs of one shape."""
    for circuit in circuits[1:]:
        if circuit.graph != circuits[0].graph:
            shapes = " and ".join(_shape(one.graph) for one in (circuits[0], circuit))
            raise InputError(f"circuits of different graphs ({shapes}) have no edges in common to count; compare their "
                             "sizes as shares of the graph with sizes_beside(a, b)")  # fmt: skip


def _shape(graph: Graph) -> str:
    shared = "" if graph.n_kv_heads == graph.n_heads else f", {graph.n_kv_heads} key-value heads"
    kind = "parallel" if graph.parallel else "serial"
    return f"{graph.n_layers} {kind} layers × {graph.n_heads} heads{shared}, {graph.n_edges} edges"


def _is_kind(graph: Graph, kinds: Sequence[str]) -> np.ndarray:
    return np.array([node.kind in kinds for node in graph.writers])


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _weighted_of_random(
    a: np.ndarray, b: np.ndarray, n_possible: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Weighted Jaccard indices of two sets of weights that are put on random edges, shape [draw]."""
    shared = rng.hypergeometric(len(a), n_possible - len(a), len(b), size=count)
    lower = [
        np.minimum(rng.choice(a, n, replace=False), rng.choice(b, n, replace=False)).sum() if n else 0.0 for n in shared
    ]
    return np.array(lower) / (a.sum() + b.sum() - np.array(lower))


def _rank_correlation(a: Circuit, b: Circuit, over: np.ndarray) -> float:
    """Spearman's correlation of scores over some edges; NaN for fewer than three, or where one side is constant."""
    if over.sum() < FEWEST_TO_RANK:
        return np.nan
    return float(spearman(*((circuit.scores * circuit.kept)[over] for circuit in (a, b))))
