"""How much two circuits of one graph share, compared with random circuits of the same sizes.

Two circuits overlap by chance, and more so the larger they are. So an overlap means something only against a null. Sets
are compared by their Jaccard index, |A ∩ B| / |A ∪ B|, from 0 (nothing shared) to 1 (equal), at three levels:

* edges, out of all edges of the graph;
* nodes: heads and MLPs that write a kept edge. The embedding is in every circuit and is left out;
* heads only.

The null is random sets of the same two sizes, whose distribution is exact (`stats.sets`). The weighted Jaccard index
compares the magnitudes of the scores over the edges of either circuit. Its null puts both circuits' scores on random
edges, `n_random` times.

Circuits that share few edges may still do the same thing, so also evaluate each where the other was found. No model is
run.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Edge, Graph
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.ranks import rank_p, spearman
from interp_emerge.stats.sets import SetOverlap, jaccard_of_weights, random_jaccards_of_weights

FEWEST_TO_RANK = 3
"""The smallest number of edges for which a rank correlation is computed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap:
    """What two circuits of one graph share, with the null of random circuits of the same sizes.

    `weighted` is the weighted Jaccard index of their scores. `rank_correlation` is Spearman's correlation of the scores
    over the edges of either circuit. An edge outside a circuit counts 0, so the correlation is negative if little is
    shared. `rank_correlation_shared` is over the shared edges only. All three are NaN if a circuit has no scores.
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
        """The overlap of the edges as a predicate of the two circuits."""
        edges = self.edges
        if not edges.n_a + edges.n_b:
            return "share nothing: both circuits are empty"
        null = edges.random
        return (
            f"share {edges.shared} of {edges.n_a} and {edges.n_b} edges (Jaccard index {edges.jaccard:.2f}; random "
            f"circuits of the same sizes {null})"
        )

    def __repr__(self) -> str:
        return f"Overlap({self.sentence})"

    def to_frame(self) -> pd.DataFrame:
        """One row a level: edges, nodes, heads, and edges weighted by score.

        Columns `level`, `n_a`, `n_b`, `shared`, `jaccard`, `random` (mean over random circuits) with its central 95%
        `random_low`, `random_high`, and `p_value`.
        """
        columns = ("level", "n_a", "n_b", "shared", "jaccard", "random", "random_low", "random_high", "p_value")
        rows = []
        for level, sets in (("edges", self.edges), ("nodes", self.nodes), ("heads", self.heads)):
            counted = (level, sets.n_a, sets.n_b, sets.shared, sets.jaccard)
            rows.append((*counted, *astuple(sets.random), sets.p_value))
        sizes = (self.edges.n_a, self.edges.n_b, self.edges.shared)
        rows.append(("weighted edges", *sizes, self.weighted, *astuple(self.weighted_random), self.weighted_p_value))
        return pd.DataFrame(rows, columns=list(columns))


@checked
def overlap(a: Circuit, b: Circuit, *, n_random: int = 1000, seed: int = 0) -> Overlap:
    """What two circuits of one graph share.

    Args:
        a: the first circuit, called a in the result.
        b: the second circuit, of the same graph, called b.
        n_random: number of draws of the null of the weighted index.
        seed: of these draws.

    Raises:
        InputError: the circuits belong to graphs of different shapes, or `n_random` is below 1.
    """
    require_one_graph([a, b])
    if n_random < 1:
        raise InputError(f"n_random={n_random} is too few to compare with; give at least 1")
    weighted = weighted_jaccard(a, b)
    if np.isnan(weighted):
        null, p_value = Interval.undefined(), np.nan
    else:
        weights_a, weights_b = (np.abs(circuit.scores[circuit.kept]) for circuit in (a, b))
        how = {"count": n_random, "rng": np.random.default_rng(seed)}
        drawn = random_jaccards_of_weights(weights_a, weights_b, a.graph.n_edges, **how)
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


def node_overlap(a: Circuit, b: Circuit, *, kinds: Sequence[str] = ("head", "mlp")) -> SetOverlap:
    """The overlap of the nodes, of the given kinds, that write a kept edge in two circuits of one graph."""
    possible = _is_kind(a.graph, kinds)
    return SetOverlap.of(a.kept.any(1) & possible, b.kept.any(1) & possible, int(possible.sum()))


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
