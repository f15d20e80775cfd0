"""How much two circuits of one graph share, compared with random circuits of the same sizes.

Two circuits overlap by chance, and more so the larger they are. So an overlap means something only against a null. Sets
are compared by their Jaccard index, |A ∩ B| / |A ∪ B|, from 0 (nothing shared) to 1 (equal), at three levels:

* edges, out of all edges of the graph;
* nodes: heads and MLPs that write a kept edge. The embedding is in every circuit and is left out;
* heads only.

The weighted Jaccard index compares the magnitudes of the scores over the edges of either circuit.

The null is pairs of random circuits as large as the two, drawn as circuits are (`circuits.finding.null_circuits`): the
strongest edges of random scores, or random paths. Each carries its circuit's scores in random order. Every level has
the p-value and the null of the kind with the largest p-value. Two random sets of edges would share far less (measured
in docs/validity.md).

Circuits that share few edges may still do the same thing, so also evaluate each where the other was found. No model is
run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.null_circuits import NullKind, kinds_of, null_edges, random_edges
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Edge, Graph
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.ranks import rank_p, spearman
from interp_emerge.stats.sets import jaccard, jaccard_of_weights

DRAWS = 200
"""Pairs of random circuits of each kind by default: the smallest p-value is 1/201."""
SIZES = 20
"""Most random circuits that `random_jaccard` draws of each kind."""
FEWEST_TO_RANK = 3
"""The smallest number of edges for which a rank correlation is computed."""


@dataclass(frozen=True, kw_only=True)
class LevelOverlap:
    """What two circuits share at one level, and what random circuits of their sizes share."""

    n_a: int
    n_b: int
    shared: int
    jaccard: float
    """NaN if both circuits are empty, or for weighted edges if a circuit has no scores."""
    random: Interval
    """Mean and central 95% of the index of random circuits; undefined where the index is."""
    p_value: float
    """Probability that random circuits are at least as alike."""
    random_kind: NullKind | None
    """The kind of random circuits with the largest p-value, which `random` and `p_value` are of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap(Record):
    """What two circuits of one graph share, with the null of random circuits of the same sizes.

    `weighted_edges` compares the edges by the magnitudes of their scores. `rank_correlation` is Spearman's correlation
    of the scores over the edges of either circuit. An edge outside a circuit counts 0, so the correlation is negative
    if little is shared. `rank_correlation_shared` is over the shared edges only. All three are NaN if a circuit has no
    scores.
    """

    edges: LevelOverlap
    nodes: LevelOverlap
    heads: LevelOverlap
    weighted_edges: LevelOverlap
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
    def weighted(self) -> float:
        """Jaccard index of the edges weighted by the magnitudes of the scores."""
        return self.weighted_edges.jaccard

    @property
    def sentence(self) -> str:
        """The overlap of the edges as a predicate of the two circuits."""
        edges = self.edges
        if not edges.n_a + edges.n_b:
            return "share nothing: both circuits are empty"
        return (
            f"share {edges.shared} of {edges.n_a} and {edges.n_b} edges (Jaccard index {edges.jaccard:.2f}; random "
            f"circuits of the same sizes, {edges.random_kind}: {edges.random})"
        )

    def __repr__(self) -> str:
        return f"Overlap({self.sentence})"

    def to_frame(self) -> pd.DataFrame:
        """One row a level: edges, nodes, heads, and edges weighted by score.

        Columns `level`, `n_a`, `n_b`, `shared`, `jaccard`, `random` (mean over random circuits) with its central 95%
        `random_low`, `random_high`, `p_value`, and `random_kind` (how the random circuits were drawn).
        """
        levels = {"edges": self.edges, "nodes": self.nodes, "heads": self.heads, "weighted edges": self.weighted_edges}
        rows = []
        for level, found in levels.items():
            counted = {"level": level, "n_a": found.n_a, "n_b": found.n_b, "shared": found.shared}
            null = {**found.random.columns("random"), "p_value": found.p_value, "random_kind": found.random_kind}
            rows.append({**counted, "jaccard": found.jaccard, **null})
        return pd.DataFrame(rows)


@checked
def overlap(a: Circuit, b: Circuit, *, n_random: int = DRAWS, seed: int = 0) -> Overlap:
    """What two circuits of one graph share.

    Example:
        >>> shared = ie.circuits.overlap(circuit, other, n_random=50)
        >>> print(shared)

    Args:
        a: the first circuit, called a in the result.
        b: the second circuit, of the same graph, called b.
        n_random: number of pairs of random circuits of each kind.
        seed: of these draws.

    Raises:
        InputError: the circuits belong to graphs of different shapes, or `n_random` is below 1.
    """
    require_one_graph([a, b])
    if n_random < 1:
        raise InputError(f"n_random={n_random} is too few to compare with; give at least 1")
    compare, nulls = _Levels(a, b), {}
    for kind in kinds_of(a, b):
        drawn = random_pair(a, b, kind, n_random, seed=seed)
        _, nulls[kind] = compare(*drawn, np.random.default_rng(seed))
    sizes, found = (values[..., 0] for values in compare([np.flatnonzero(a.kept)], [np.flatnonzero(b.kept)]))
    levels: list[LevelOverlap] = []
    for level, value in enumerate(map(float, found)):
        kind, random, p_value = hardest(value, {kind: null[level] for kind, null in nulls.items()})
        counts = dict(zip(("n_a", "n_b", "shared"), map(int, sizes[level]), strict=True))
        levels.append(LevelOverlap(**counts, jaccard=value, random=random, p_value=p_value, random_kind=kind))
    edges, nodes, heads, weighted = levels
    return Overlap(
        edges=edges,
        nodes=nodes,
        heads=heads,
        weighted_edges=weighted,
        rank_correlation=_rank_correlation(a, b, a.kept | b.kept),
        rank_correlation_shared=_rank_correlation(a, b, a.kept & b.kept),
        only_a=tuple(a.with_kept(a.kept & ~b.kept).edges),
        only_b=tuple(b.with_kept(b.kept & ~a.kept).edges),
    )


def random_pair(
    a: Circuit, b: Circuit, kind: NullKind, n_random: int, *, seed: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Random circuits of the sizes of a and of b, independent of each other, as `null_edges` gives them."""
    at = [*NullKind].index(kind)
    first, second = (null_edges(one, kind, n_random, seed=(seed, at, side)) for side, one in enumerate((a, b)))
    return first, second


def hardest(value: float, nulls: Mapping[NullKind, np.ndarray]) -> tuple[NullKind | None, Interval, float]:
    """The kind of random circuits that a similarity is least beyond, the null's mean with its central 95%, and p.

    This is the kind with the largest p-value; between equal p-values, the one with the largest mean. Draws that are NaN
    are left out. A value that is NaN, or that no draw can be compared with, has neither kind nor p-value.

    Args:
        value: the similarity of two circuits.
        nulls: the similarities of random circuits by kind, shape [draw] each.
    """
    ranked = []
    for kind, drawn in nulls.items():
        defined = drawn[~np.isnan(drawn)]
        if len(defined) and not np.isnan(value):
            mean = float(defined.mean())
            ranked.append((rank_p(value, defined), mean, kind, percentile_interval(mean, defined)))
    if not ranked:
        return None, Interval.undefined(), np.nan
    p_value, _, kind, random = max(ranked, key=lambda one: one[:2])
    return kind, random, p_value


def random_jaccard(circuit: Circuit, sizes: np.ndarray, *, seed: int = 0) -> float:
    """Mean Jaccard index of random circuits over all pairs of some numbers of edges, without pairs of empty circuits.

    It is the largest mean over the kinds that the circuit is compared with. At most 20 of the sizes are drawn, evenly
    from the smallest to the largest. NaN if every circuit is empty.
    """
    chosen, means = np.sort(sizes)[np.unique(np.linspace(0, len(sizes) - 1, SIZES).round().astype(int))], []
    for at, kind in enumerate(kind for kind in kinds_of(circuit) if kind != NullKind.NODES):
        drawn = [random_edges(circuit.graph, kind, int(n), 1, seed=(seed, at, i))[0] for i, n in enumerate(chosen)]
        shared = [(np.intersect1d(a, b, assume_unique=True).size, a.size, b.size) for a, b in combinations(drawn, 2)]
        indices = jaccard(*np.array(shared).T)
        means.append(float(indices[~np.isnan(indices)].mean()) if not np.isnan(indices).all() else np.nan)
    return max(means)


def relative_sizes(a: Circuit, b: Circuit, *, names: tuple[str, str] = ("a", "b")) -> pd.DataFrame:
    """Sizes that can be compared between graphs: each circuit's share of all edges, and of each layer's heads.

    One row a circuit and layer: `circuit`, `n_edges`, `n_graph_edges`, `edge_share`, `layer`, `depth` (middle of the
    layer as a fraction of the number of layers), `n_heads` (the circuit's heads in the layer) and `head_share` (as a
    fraction of the layer's heads).
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


class _Levels:
    """Jaccard indices at every level, of many pairs of circuits of one graph at once."""

    def __init__(self, a: Circuit, b: Circuit) -> None:
        graph = a.graph
        self.n_writers, self.n_readers = graph.exists.shape
        self.counted = [_is_kind(graph, kinds) for kinds in (("head", "mlp"), ("head",))]
        # Without the scores of both circuits there is no weighted index.
        self.weights = [np.abs(one.scores[one.kept]) for one in (a, b)]
        self.weighted = all(weights.any() for weights in self.weights)

    def __call__(
        self, a: Sequence[np.ndarray], b: Sequence[np.ndarray], rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sizes and indices of pairs of circuits, which are given by their edges, shape [edge] each.

        Returns:
            The sizes (of a, of b, shared), shape [level, size, pair], and the indices, shape [level, pair]. Scores are
            those of the circuits in their order, or in random order if there is a generator.
        """
        sides = [_OneSide(edges, self.n_writers, self.n_readers) for edges in (a, b)]
        _, *at = np.intersect1d(*(side.keys for side in sides), assume_unique=True, return_indices=True)
        pair, n = sides[0].pair[at[0]], len(a)
        sizes = [[*(np.bincount(side.pair, minlength=n) for side in sides), np.bincount(pair, minlength=n)]]
        for counted in self.counted:
            one, other = (side.written & counted for side in sides)
            sizes.append([one.sum(1), other.sum(1), (one & other).sum(1)])
        sizes.append(sizes[0])
        found = [jaccard(shared, n_a, n_b) for n_a, n_b, shared in sizes]
        found[-1] = np.full(n, np.nan)
        if self.weighted:
            dealt = [_dealt(of, edges, rng) for of, edges in zip(self.weights, (a, b), strict=True)]
            lower = np.minimum(*(weights[where] for weights, where in zip(dealt, at, strict=True)))
            totals = (np.bincount(side.pair, weights, n) for side, weights in zip(sides, dealt, strict=True))
            found[-1] = jaccard(np.bincount(pair, lower, n), *totals)
        return np.array(sizes), np.array(found)


class _OneSide:
    """The edges of many circuits, one after the other."""

    def __init__(self, circuits: Sequence[np.ndarray], n_writers: int, n_readers: int) -> None:
        edges = np.concatenate(circuits)
        self.pair = np.repeat(np.arange(len(circuits)), [len(one) for one in circuits])
        """Which pair each edge belongs to, shape [edge]."""
        self.keys = self.pair * n_writers * n_readers + edges
        """A number for each edge of each circuit, shape [edge]."""
        self.written = np.zeros((len(circuits), n_writers), dtype=bool)
        """Which writers write an edge of each circuit, shape [circuit, writer]."""
        self.written[self.pair, edges // n_readers] = True


def _dealt(weights: np.ndarray, circuits: Sequence[np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
    """The weights of the edges of circuits, one after the other, shape [edge].

    They are in random order, and drawn with replacement for a circuit of more edges than there are weights. Without a
    generator they are as they are.
    """
    if rng is None:
        return weights
    return np.concatenate([rng.choice(weights, len(one), replace=len(one) > len(weights)) for one in circuits])


def weighted_jaccard(a: Circuit, b: Circuit) -> float:
    """Σ min / Σ max of the magnitudes of two circuits' scores; NaN if one has no scores."""
    strengths = [np.abs(circuit.scores * circuit.kept) for circuit in (a, b)]
    if not all(strength.any() for strength in strengths):
        return np.nan
    return float(jaccard_of_weights(*(strength.ravel() for strength in strengths)))


def require_one_graph(circuits: Sequence[Circuit]) -> None:
    """Raise an `InputError` unless all circuits belong to graphs of one shape."""
    for circuit in circuits[1:]:
        if circuit.graph != circuits[0].graph:
            shapes = " and ".join(_shape(one.graph) for one in (circuits[0], circuit))
            raise InputError(f"circuits of different graphs ({shapes}) cannot share edges; compare their sizes with "
                             "relative_sizes(a, b)")  # fmt: skip


def _shape(graph: Graph) -> str:
    shared = "" if graph.n_kv_heads == graph.n_heads else f", {graph.n_kv_heads} key-value heads"
    kind = "parallel" if graph.parallel else "serial"
    return f"{graph.n_layers} {kind} layers × {graph.n_heads} heads{shared}, {graph.n_edges} edges"


def _is_kind(graph: Graph, kinds: Sequence[str]) -> np.ndarray:
    return np.array([node.kind in kinds for node in graph.writers])


def _rank_correlation(a: Circuit, b: Circuit, over: np.ndarray) -> float:
    """Spearman's correlation of scores over some edges; NaN for fewer than three, or if one side is constant."""
    if over.sum() < FEWEST_TO_RANK:
        return np.nan
    return float(spearman(*((circuit.scores * circuit.kept)[over] for circuit in (a, b))))
