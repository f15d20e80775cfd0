"""How alike circuits are: at successive checkpoints of one model, and in two models whose heads are matched.

Checkpoints (`successive`). Source: Tigges et al., 2024, https://arxiv.org/abs/2407.10827, who follow the Jaccard index
of successive node sets of minimal circuits through training, smoothed exponentially. Here at the level of edges too,
and beside chance:

1. Each circuit is compared with that of the last checkpoint before it that has one, as `circuits.overlap` does. Steps
   without a circuit (a hole in the grid, or an ability that is not there yet) have a row of their own that says so.
2. The smoothed index is s_t = α x_t + (1 − α) s_(t−1) over the comparisons that are defined, starting at the first. It
   counts checkpoints, not steps: on an uneven grid equal weights do not mean equal stretches of training.
3. The share of the score mass on shared edges is Σ (|a| + |b|) over these, as a fraction of that over all edges.

A low index alone does not say that the circuit changed: circuits of other prompts, at one checkpoint, differ too. The
null of random circuits of these sizes stands in the table, and the index beyond it, which does not depend on how large
graph and circuits are; for that of resampled prompts, and for a p-value, compare the two checkpoints by
`emergence.sameness.same_circuit`.

Two models (`mapped_overlap`). Edges of a go through the match (`emergence.sameness.matching`) to edges of b. An edge
without an image counts as not shared, and the score mass of such edges is reported: of a low index it says whether the
circuits or the matching make it low. Four levels, from the strictest on: edges; nodes (heads and MLPs); classes of
edges, such as `previous_token → induction K`; roles of heads. The last two compare shares of the score mass by their
weighted Jaccard index, so neither asks for a partner of each head. The null are random circuits of as many edges of
each graph, made of whole paths (`circuits.finding.random_paths`) as circuits are, that carry the same scores in random
order, through the same match. `beyond_chance` is normalised by the sizes of graphs and circuits: (similarity − random)
/ (1 − random), 0 for what random circuits share on average and 1 for equal circuits, as in Cohen's kappa (1960,
https://doi.org/10.1177/001316446002000104). No model is run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.overlap import overlap, require_one_graph
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.sameness.matching import HeadFeatures, Match
from interp_emerge.emergence.sameness.same_circuit.doubts import MatchDoubts, match_doubts, rival_matches
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.ranks import rank_p, spearman
from interp_emerge.stats.sets import jaccard, jaccard_of_weights
from interp_emerge.tables.schema import ABILITY_COLUMN, MODEL_COLUMNS, RUN_COLUMNS, Table

SMOOTHING = 0.5
TURNOVER = Table(
    name="turnover",
    row="the circuit of one checkpoint, as many of its strongest edges as the last circuit has, and the one before it",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "step": MODEL_COLUMNS["step"],
        "previous": "last step before it that has a circuit; empty for the first",
        "n_edges": "edges of the circuit",
        "shared": "edges that both hold",
        "jaccard": "Jaccard index of the edges",
        "random": "mean index of random circuits of these sizes",
        "random_low": "lower end of their central 95%",
        "random_high": "upper end of their central 95%",
        "beyond_chance": "(jaccard - random) / (1 - random): 0 as random circuits of these sizes, 1 for equal ones",
        "p_value": "probability that random circuits of these sizes share at least as many edges",
        "smoothed": "Jaccard index of the edges, exponentially smoothed over steps",
        "weighted_jaccard": "Jaccard index weighted by the magnitudes of scores; empty without scores",
        "node_jaccard": "Jaccard index of the nodes (heads and MLPs)",
        "node_random": "mean node index of random sets of as many nodes",
        "node_beyond_chance": "(node_jaccard - node_random) / (1 - node_random)",
        "node_smoothed": "Jaccard index of the nodes, exponentially smoothed over steps",
        "rank_correlation": "Spearman's, of the scores of all edges of the graph; empty where scores are not given",
        "mass_shared": "share of both circuits' score mass that lies on shared edges",
        "born": "nodes of this circuit that the previous one lacks, space between",
        "lost": "nodes of the previous circuit that this one lacks, space between",
        "note": "why there is nothing to compare; empty otherwise",
    },
)


@checked
def successive(
    circuits_by_step: Mapping[int, Circuit | None],
    *,
    scores: Mapping[int, EdgeScores] | None = None,
    smoothing: float = SMOOTHING,
    seed: int = 0,
) -> pd.DataFrame:
    """Each checkpoint's circuit beside the one before it, one row a step, steps ascending.

    Args:
        circuits_by_step: circuits of one graph by training step; None, or an empty one, where none was found.
        scores: scores of all edges by step, for rank correlations; may lack steps.
        smoothing: weight of the newest comparison in the smoothed indices, above 0 and at most 1.
        seed: of the random circuits of the weighted index.

    Returns:
        The columns that fill `TURNOVER`.

    Raises:
        InputError: no step, circuits of different graphs, or a smoothing outside its range.
    """
    if not circuits_by_step:
        raise InputError("no circuits to follow; give a circuit for each training step")
    if not 0 < smoothing <= 1:
        raise InputError(
            f"smoothing={smoothing:g} is not a weight; give more than 0 and at most 1, which does not smooth"
        )
    require_one_graph([circuit for circuit in circuits_by_step.values() if circuit is not None])
    rows, previous = [], None
    for step in sorted(circuits_by_step):
        circuit = circuits_by_step[step]
        if circuit is None or not len(circuit):
            rows.append({"step": step, "n_edges": 0, "note": "no circuit at this step"})
        elif previous is None:
            first = {"born": " ".join(circuit.nodes), "note": "the first circuit"}
            rows.append({"step": step, "n_edges": len(circuit), **first})
            previous = step
        else:
            before = circuits_by_step[previous]
            assert before is not None
            both = (scores or {}).get(previous), (scores or {}).get(step)
            rows.append({"step": step, "previous": previous, **_compared(before, circuit, both, seed)})
            previous = step
    frame = pd.DataFrame(rows).reindex(columns=[*TURNOVER.filled])
    for name in ("jaccard", "node_jaccard"):
        frame[name.replace("jaccard", "smoothed")] = _smoothed(frame[name], smoothing)
    words = frame[["born", "lost", "note"]].astype(object).fillna("")
    return frame.assign(
        born=words["born"], lost=words["lost"], note=words["note"], previous=frame["previous"].astype("Int64")
    )


def mass_shared(a: Circuit, b: Circuit) -> float:
    """Share of two circuits' score mass that lies on edges of both; NaN where neither has scores."""
    mass = np.abs(a.scores * a.kept) + np.abs(b.scores * b.kept)
    return float(mass[a.kept & b.kept].sum() / mass.sum()) if mass.any() else np.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedOverlap:
    """What two circuits share through a match of heads: a table of levels, and score mass that has no partner.

    `doubts` are shares of score mass that lie on edges without a partner, or on heads whose partner is not
    identifiable. `rivals` is the least and largest Jaccard index of the edges over the match and `n_rivals` others that
    are about as good.
    """

    levels: pd.DataFrame
    doubts: MatchDoubts
    rivals: tuple[float, float]
    n_rivals: int

    @property
    def unmatched_a(self) -> float:
        """Share of the score mass of a's circuit on edges without an image in b's graph; NaN if it is empty."""
        return self.doubts.unmatched_a

    @property
    def unmatched_b(self) -> float:
        """Share of the score mass of b's circuit on edges that are no image; NaN if it is empty."""
        return self.doubts.unmatched_b

    @property
    def ambiguous(self) -> float:
        """Share of the score mass of a's circuit on edges of heads whose partner is not identifiable."""
        return self.doubts.ambiguous_a

    def __getitem__(self, level: str) -> pd.Series:
        """The row of a level: `edges`, `nodes`, `edge classes` or `roles`."""
        return self.levels[self.levels["level"] == level].iloc[0]

    @property
    def jaccard(self) -> float:
        """Jaccard index of the edges; what has no partner counts as not shared."""
        return float(self["edges"]["similarity"])

    def to_frame(self) -> pd.DataFrame:
        """One row a level.

        Columns `level`, `n_a`, `n_b`, `shared` (missing for shares of mass), `similarity` (Jaccard index, weighted for
        shares of mass), `random` (mean over random circuits) with its central 95% `random_low`, `random_high`,
        `beyond_chance`, (similarity − random) / (1 − random), and `p_value`, the probability that random circuits are
        at least as alike.
        """
        return self.levels


@checked
def mapped_overlap(a: Circuit, b: Circuit, match: Match, *, n_random: int = 200, seed: int = 0) -> MappedOverlap:
    """What two circuits share once the heads of their models are matched.

    Args:
        a: a circuit of the first model of the match.
        b: a circuit of the second.
        match: from `match_heads`.
        n_random: pairs of random connected circuits.
        seed: of these.

    Raises:
        InputError: a circuit of another graph than its side of the match, no random circuit, or a number of edges that
            no connected circuit has.
    """
    if a.graph != match.a.graph or b.graph != match.b.graph:
        raise InputError("a circuit belongs to a graph of another shape than its side of the match; match its model")
    if n_random < 1:
        raise InputError(f"{n_random} random circuits make no null; give at least 1")
    mass_a, mass_b = (_masses(circuit) for circuit in (a, b))
    compare = _Levels(match)
    counts, found = compare(mass_a, mass_b)
    elsewhere = [_elsewhere(circuit, n_random, [seed, side]) for side, circuit in enumerate((a, b))]
    null = np.array([compare(*both)[1] for both in zip(*elsewhere, strict=True)])
    rows = []
    for level, (name, similarity) in enumerate(zip(LEVELS, found, strict=True)):
        values = null[:, level][~np.isnan(null[:, level])]
        random = percentile_interval(float(values.mean()), values) if len(values) else Interval.undefined()
        p_value = rank_p(similarity, values)
        ends = random.value, random.low, random.high, _beyond(similarity, random.value)
        rows.append((name, *counts.get(name, (pd.NA,) * 3), similarity, *ends, p_value))
    columns = ["level", "n_a", "n_b", "shared", "similarity", "random", "random_low", "random_high", "beyond_chance",
               "p_value"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=pd.Index(columns)).astype(dict.fromkeys(["n_a", "n_b", "shared"], "Int64"))
    rivals = rival_matches(match, mass_a, mass_b)
    indices = [found[0], *(_Levels(rival)(mass_a, mass_b)[1][0] for rival in rivals)]
    return MappedOverlap(
        levels=frame,
        doubts=match_doubts(match, mass_a, mass_b),
        rivals=(float(np.min(indices)), float(np.max(indices))),
        n_rivals=len(rivals),
    )


@checked
def edge_classes(circuit: Circuit, features: HeadFeatures) -> pd.DataFrame:
    """A circuit by classes of edges, the heaviest first.

    Columns `edge_class` (such as `previous_token → induction K`), `n_edges`, `share` (of the circuit's score mass),
    `graph_share` (of the graph's edges) and `enrichment`, share over graph share.

    Raises:
        InputError: the features are those of another graph.
    """
    if circuit.graph != features.graph:
        raise InputError("the circuit belongs to a graph of another shape than the heads; describe its model's heads")
    mass = _masses(circuit)
    frame = pd.DataFrame({"edge_class": _classes(features), "n_edges": mass > 0, "share": mass, "graph_share": 1.0})
    frame = frame.groupby("edge_class", sort=False).sum().reset_index()
    frame["share"] /= max(frame["share"].sum(), np.finfo(float).tiny)
    frame["graph_share"] /= circuit.graph.n_edges
    frame = frame[frame["n_edges"] > 0].sort_values(["share", "edge_class"], ascending=[False, True], kind="stable")
    return frame.assign(enrichment=frame["share"] / frame["graph_share"]).reset_index(drop=True)


def class_codes(match: Match) -> tuple[np.ndarray, np.ndarray]:
    """The class of each edge of a and of b as a number that both share, shape [edge] each."""
    return _coded(_classes(match.a), _classes(match.b))


LEVELS = ("edges", "nodes", "edge classes", "roles")


class _Levels:
    """Similarity at every level of two circuits, given as the score mass of each edge."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.at = np.flatnonzero(match.edges >= 0)
        self.writers = [np.nonzero(side.graph.exists)[0] for side in (match.a, match.b)]
        self.counted = [
            np.array([n.kind in ("head", "mlp") for n in side.graph.writers]) for side in (match.a, match.b)
        ]
        self.classes = class_codes(match)
        self.roles = _coded(*(np.array(side.writer_classes)[writers] for side, writers in zip(
            (match.a, match.b), self.writers, strict=True)))  # fmt: skip
        self.heads = [
            np.array([node.kind == "head" for node in side.graph.writers])[writers]
            for side, writers in zip((match.a, match.b), self.writers, strict=True)
        ]

    def __call__(self, a: np.ndarray, b: np.ndarray) -> tuple[dict[str, tuple[int, ...]], list[float]]:
        kept, written = (a > 0, b > 0), []
        for side, one in enumerate(kept):
            nodes = np.zeros(len(self.counted[side]), dtype=bool)
            nodes[self.writers[side][one]] = True
            written.append(nodes & self.counted[side])
        matched = np.flatnonzero(self.match.writers >= 0)
        shared = int((kept[0][self.at] & kept[1][self.match.edges[self.at]]).sum())
        shared_nodes = int((written[0][matched] & written[1][self.match.writers[matched]]).sum())
        counts = {
            "edges": (int(kept[0].sum()), int(kept[1].sum()), shared),
            "nodes": (int(written[0].sum()), int(written[1].sum()), shared_nodes),
        }
        sets = [float(jaccard(both, n_a, n_b)) for n_a, n_b, both in counts.values()]
        of_heads = [mass * heads for mass, heads in zip((a, b), self.heads, strict=True)]
        return counts, [*sets, _alike(a, b, *self.classes), _alike(of_heads[0], of_heads[1], *self.roles)]


def _masses(circuit: Circuit) -> np.ndarray:
    """Magnitudes of the scores of kept edges, 1 each where there are no scores, 0 elsewhere, shape [edge].

    A kept edge whose score is zero keeps the least there is, so that it counts as an edge.
    """
    kept = circuit.kept[circuit.graph.exists]
    mass = np.abs(circuit.scores[circuit.graph.exists]) if circuit.scores.any() else np.ones(len(kept))
    return np.where(kept, np.maximum(mass, np.finfo(float).tiny), 0)


def _elsewhere(circuit: Circuit, count: int, seed: list[int]) -> Iterator[np.ndarray]:
    """The masses of a circuit in random order on random connected circuits of its size, shape [edge] each."""
    mass, graph = _masses(circuit), circuit.graph
    rng = np.random.default_rng(seed)
    for kept in random_connected_circuits(graph, len(circuit), count, seed=int(rng.integers(2**32))):
        moved = np.zeros(len(mass))
        moved[kept[graph.exists]] = rng.permutation(mass[mass > 0])
        yield moved


def _classes(features: HeadFeatures) -> np.ndarray:
    """The class of each edge, shape [edge]."""
    writers, readers = np.nonzero(features.graph.exists)
    pairs = zip(writers, readers, strict=True)
    return np.array([f"{features.writer_classes[w]} → {features.reader_classes[r]}" for w, r in pairs])


def _coded(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names as numbers that both sides share."""
    _, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    return codes[: len(a)], codes[len(a) :]


def _alike(a: np.ndarray, b: np.ndarray, codes_a: np.ndarray, codes_b: np.ndarray) -> float:
    """Weighted Jaccard index of the shares of mass by class; NaN where one side has no mass."""
    if not a.any() or not b.any():
        return np.nan
    n = int(max(codes_a.max(), codes_b.max())) + 1
    p, q = np.bincount(codes_a, a, n) / a.sum(), np.bincount(codes_b, b, n) / b.sum()
    return float(jaccard_of_weights(p, q))


def _beyond(similarity: float, random: float) -> float:
    """A similarity on the scale on which random circuits have 0 on average and equal ones 1; NaN if those are equal."""
    return (similarity - random) / (1 - random) if random < 1 else np.nan


def _compared(
    before: Circuit, now: Circuit, scores: tuple[EdgeScores | None, EdgeScores | None], seed: int
) -> dict[str, object]:
    found = overlap(before, now, seed=seed)
    null, old, new = found.edges.random, {*before.nodes}, {*now.nodes}
    return {
        "n_edges": len(now),
        "shared": found.edges.shared,
        "jaccard": found.jaccard,
        **null.columns("random"),
        "beyond_chance": _beyond(found.jaccard, null.value),
        "p_value": found.p_value,
        "weighted_jaccard": found.weighted,
        "node_jaccard": found.nodes.jaccard,
        "node_random": found.nodes.random.value,
        "node_beyond_chance": _beyond(found.nodes.jaccard, found.nodes.random.value),
        "rank_correlation": _rank_correlation(*scores),
        "mass_shared": mass_shared(before, now),
        "born": " ".join(node for node in now.nodes if node not in old),
        "lost": " ".join(node for node in before.nodes if node not in new),
    }


def _rank_correlation(a: EdgeScores | None, b: EdgeScores | None) -> float:
    if a is None or b is None:
        return np.nan
    if a.graph != b.graph:
        raise InputError("scores of two steps belong to graphs of different shapes; follow one model")
    return float(spearman(*(scores.scores[scores.graph.exists] for scores in (a, b))))


def _smoothed(values: pd.Series, weight: float) -> pd.Series:
    """Exponentially smoothed over the values that are there; empty where there is none."""
    return values.dropna().ewm(alpha=weight, adjust=False).mean().reindex(values.index)
