"""How alike circuits are: at successive checkpoints of one model, and in two models whose heads are matched.

Checkpoints (`turnover`). Tigges et al. (2024, https://arxiv.org/abs/2407.10827) follow the Jaccard index of the node
sets of minimal circuits from checkpoint to checkpoint, smoothed exponentially. Here edges are compared as well, and
both indices are compared with chance.

1. Each circuit is compared with the last earlier one, by `circuits.overlap`. A step without a circuit (one that was not
   measured, or one before the ability is there) has a row that says so.
2. The smoothed index is s_t = α x_t + (1 − α) s_(t−1) over the comparisons that are defined, starting at the first. It
   counts checkpoints, not steps. On an uneven grid equal weights do not mean equal stretches of training.
3. The share of the score mass on shared edges is Σ (|a| + |b|) over shared edges, divided by the same sum over all
   edges.

A low index alone does not show that the circuit changed. Circuits found on other prompts at one checkpoint differ too.
The table gives the null of random circuits of the same sizes, and the index beyond that null, which does not depend on
how large graph and circuits are. To compare two checkpoints with the noise of the prompts, and for a p-value, use
`emergence.sameness.same_circuit`.

Two models (`overlap_by_match`). The match (`emergence.sameness.matching`) takes edges of a to edges of b. An edge
without an image counts as not shared. The score mass of such edges is reported: it shows whether a low index is due to
the circuits or to the match. There are four levels, from the strictest on: edges; nodes (heads and MLPs); classes of
edges, such as `previous_token → induction K`; roles of heads. The last two compare shares of the score mass by their
weighted Jaccard index, so they need no partner for each head.

The null is random circuits of the same sizes, drawn as circuits are (`circuits.finding.null_circuits`), of the kind
that gives the largest p-value. They carry the same scores in random order and go through the same match.
`beyond_chance` is (similarity − random) / (1 − random): 0 for what random circuits share on average and 1 for equal
circuits, as in Cohen's kappa (1960, https://doi.org/10.1177/001316446002000104). This normalises by the sizes of graphs
and circuits. No model is run.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.null_circuits import kinds_of
from interp_emerge.circuits.overlap import hardest, overlap, random_pair, require_one_graph
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record
from interp_emerge.emergence.sameness.matching import HeadFeatures, Match
from interp_emerge.emergence.sameness.same_circuit.doubts import MatchDoubts, match_doubts, rival_matches
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.ranks import spearman
from interp_emerge.stats.sets import jaccard, jaccard_of_weights
from interp_emerge.tables.schema import ABILITY_COLUMN, MODEL_COLUMNS, RUN_COLUMNS, Table

SMOOTHING = 0.5
"""Weight of the newest comparison in the smoothed indices."""
TURNOVER = Table(
    name="turnover",
    row="the circuit of one checkpoint (its strongest edges, as many as the final circuit has) and the one before it",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "step": MODEL_COLUMNS["step"],
        "previous": "the last earlier step with a circuit; empty for the first",
        "n_edges": "number of edges of the circuit",
        "shared": "number of edges that both circuits have",
        "jaccard": "Jaccard index of the edges",
        "random": "mean index of random circuits of the same sizes",
        "random_low": "lower end of their central 95%",
        "random_high": "upper end of their central 95%",
        "beyond_chance": "(jaccard - random) / (1 - random): 0 for random circuits on average, 1 for equal circuits",
        "p_value": "probability that random circuits of the same sizes share at least as many edges",
        "random_kind": "how the random circuits were drawn: of two ways or more, the one with the largest p_value",
        "smoothed": "Jaccard index of the edges, exponentially smoothed over steps",
        "weighted_jaccard": "Jaccard index weighted by the magnitudes of scores; empty without scores",
        "node_jaccard": "Jaccard index of the nodes (heads and MLPs)",
        "node_random": "mean node index of random circuits with the same numbers of edges",
        "node_beyond_chance": "(node_jaccard - node_random) / (1 - node_random)",
        "node_smoothed": "Jaccard index of the nodes, exponentially smoothed over steps",
        "rank_correlation": "Spearman's rank correlation of the scores of all edges of the graph; empty without scores",
        "mass_shared": "share of both circuits' score mass on shared edges",
        "born": "nodes of this circuit that the previous one lacks, separated by spaces",
        "lost": "nodes of the previous circuit that this one lacks, separated by spaces",
        "note": "why nothing is compared; empty otherwise",
    },
)


@checked
def turnover(
    circuits_by_step: Mapping[int, Circuit | None],
    *,
    scores: Mapping[int, EdgeScores] | None = None,
    smoothing: float = SMOOTHING,
    seed: int = 0,
) -> pd.DataFrame:
    """Each checkpoint's circuit compared with the one before it, one row for each step, in ascending order.

    Example:
        >>> ie.emergence.sameness.turnover({3000: other, 5000: circuit})

    Args:
        circuits_by_step: circuits of one graph by training step; None or an empty circuit where none was found.
        scores: scores of all edges by step, for rank correlations; steps may be missing.
        smoothing: weight of the newest comparison in the smoothed indices, above 0 and at most 1.
        seed: of the random circuits.

    Returns:
        The columns that fill `TURNOVER`.

    Raises:
        InputError: no step, circuits of different graphs, or a smoothing outside its range.
    """
    if not circuits_by_step:
        raise InputError("no circuits to follow; give a circuit for each training step")
    if not 0 < smoothing <= 1:
        raise InputError(f"smoothing={smoothing:g} is not a weight; give more than 0 and at most 1 (no smoothing)")
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
    """Share of two circuits' score mass on the edges that both have; NaN if neither has scores."""
    mass = np.abs(a.scores * a.kept) + np.abs(b.scores * b.kept)
    return float(mass[a.kept & b.kept].sum() / mass.sum()) if mass.any() else np.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedOverlap(Record):
    """What two circuits share through a match of heads.

    `levels` has a row for each level. `doubts` are the shares of score mass on edges without a partner and on heads
    whose partner is not identifiable. `rivals` is the smallest and the largest Jaccard index of the edges over the
    match and `n_rivals` other matches that are about as good.
    """

    levels: pd.DataFrame
    doubts: MatchDoubts
    rivals: tuple[float, float]
    n_rivals: int

    @property
    def unmatched_a(self) -> float:
        """Share of the score mass of a's circuit on edges without an image in b's graph; NaN for an empty circuit."""
        return self.doubts.unmatched_a

    @property
    def unmatched_b(self) -> float:
        """Share of the score mass of b's circuit on edges that no edge of a goes to; NaN for an empty circuit."""
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
        """Jaccard index of the edges. Edges without a partner count as not shared."""
        return float(self["edges"]["similarity"])

    def to_frame(self) -> pd.DataFrame:
        """One row for each level.

        Columns `level`; `n_a`, `n_b` and `shared` (missing for shares of mass); `similarity`, a Jaccard index, weighted
        for shares of mass; `random`, its mean over random circuits, with the central 95% `random_low`, `random_high`;
        `beyond_chance`, which is (similarity − random) / (1 − random); `p_value`, the probability that random circuits
        are at least as alike; and `random_kind`, how these random circuits were drawn.
        """
        return self.levels


@checked
def overlap_by_match(a: Circuit, b: Circuit, match: Match, *, n_random: int = 200, seed: int = 0) -> MatchedOverlap:
    """What two circuits share once the heads of their models are matched.

    Example:
        >>> roles = ["induction", "previous_token"]  # of which `smaller_table` is the role_table
        >>> heads = ie.emergence.sameness.head_features(smaller, roles=roles, table=smaller_table)
        >>> match = ie.emergence.sameness.match_heads(features, heads)
        >>> ie.emergence.sameness.overlap_by_match(circuit, smaller_circuit, match, n_random=20)

    Args:
        a: a circuit of the first model of the match.
        b: a circuit of the second.
        match: from `match_heads`.
        n_random: pairs of random circuits of each kind to compare with.
        seed: of the random circuits.

    Raises:
        InputError: a circuit that belongs to another graph than its side of the match, `n_random` below 1, or a number
            of edges that no connected circuit can have.
    """
    if a.graph != match.a.graph or b.graph != match.b.graph:
        raise InputError(
            "a circuit belongs to a graph of another shape than its side of the match; match the heads of its model"
        )
    if n_random < 1:
        raise InputError(f"n_random={n_random}: give at least one random circuit to compare with")
    mass_a, mass_b = (_masses(circuit) for circuit in (a, b))
    compare = _Levels(match)
    counts, found = compare(mass_a, mass_b)
    nulls = {}
    for kind in kinds_of(a, b):
        rng, edges = np.random.default_rng(seed), random_pair(a, b, kind, n_random, seed=seed)
        masses = [_dealt(circuit, drawn, rng) for circuit, drawn in zip((a, b), edges, strict=True)]
        nulls[kind] = np.array([compare(*both)[1] for both in zip(*masses, strict=True)])
    rows = []
    for level, (name, similarity) in enumerate(zip(LEVELS, found, strict=True)):
        kind, random, p_value = hardest(similarity, {kind: null[:, level] for kind, null in nulls.items()})
        compared = random.value, random.low, random.high, _beyond(similarity, random.value)
        rows.append((name, *counts.get(name, (pd.NA,) * 3), similarity, *compared, p_value, kind))
    columns = ["level", "n_a", "n_b", "shared", "similarity", "random", "random_low", "random_high", "beyond_chance",
               "p_value", "random_kind"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=pd.Index(columns)).astype(dict.fromkeys(["n_a", "n_b", "shared"], "Int64"))
    rivals = rival_matches(match, mass_a, mass_b)
    indices = [found[0], *(_Levels(rival)(mass_a, mass_b)[1][0] for rival in rivals)]
    return MatchedOverlap(
        levels=frame,
        doubts=match_doubts(match, mass_a, mass_b),
        rivals=(float(np.min(indices)), float(np.max(indices))),
        n_rivals=len(rivals),
    )


@checked
def edge_classes(circuit: Circuit, features: HeadFeatures) -> pd.DataFrame:
    """A circuit by classes of edges, in descending order of score mass.

    Columns `edge_class` (such as `previous_token → induction K`), `n_edges`, `share` (of the circuit's score mass),
    `graph_share` (of the graph's edges) and `enrichment`, the share divided by the graph share.

    Example:
        >>> ie.emergence.sameness.edge_classes(circuit, features)

    Raises:
        InputError: the features describe the heads of another graph.
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
    """The class of each edge of a and of b, as numbers with the same meaning for both, shape [edge] each."""
    return _coded(_classes(match.a), _classes(match.b))


LEVELS = ("edges", "nodes", "edge classes", "roles")
"""Levels of `MatchedOverlap`, from the strictest on."""


class _Levels:
    """Similarity of two circuits at every level. A circuit is given by the score mass of each edge, shape [edge]."""

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
    """Magnitudes of the scores of kept edges (1 each if the circuit has no scores), 0 for the others, shape [edge].

    A kept edge with a score of zero gets the smallest positive number, so it still counts as an edge.
    """
    kept = circuit.kept[circuit.graph.exists]
    mass = np.abs(circuit.scores[circuit.graph.exists]) if circuit.scores.any() else np.ones(len(kept))
    return np.where(kept, np.maximum(mass, np.finfo(float).tiny), 0)


def _dealt(circuit: Circuit, drawn: Iterable[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A circuit's masses, in random order, on the edges of random circuits, shape [edge] each."""
    mass, graph = _masses(circuit), circuit.graph
    mass = mass[mass > 0]
    for edges in drawn:
        moved = np.zeros(graph.exists.size)
        moved[edges] = rng.choice(mass, len(edges), replace=len(edges) > len(mass))
        yield moved[graph.exists.ravel()]


def _classes(features: HeadFeatures) -> np.ndarray:
    """The class of each edge, shape [edge]."""
    writers, readers = np.nonzero(features.graph.exists)
    pairs = zip(writers, readers, strict=True)
    return np.array([f"{features.writer_classes[w]} → {features.reader_classes[r]}" for w, r in pairs])


def _coded(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names as numbers with the same meaning on both sides."""
    _, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    return codes[: len(a)], codes[len(a) :]


def _alike(a: np.ndarray, b: np.ndarray, codes_a: np.ndarray, codes_b: np.ndarray) -> float:
    """Weighted Jaccard index of the shares of mass by class; NaN if one side has no mass."""
    if not a.any() or not b.any():
        return np.nan
    n = int(max(codes_a.max(), codes_b.max())) + 1
    p, q = np.bincount(codes_a, a, n) / a.sum(), np.bincount(codes_b, b, n) / b.sum()
    return float(jaccard_of_weights(p, q))


def _beyond(similarity: float, random: float) -> float:
    """(similarity − random) / (1 − random); NaN if random circuits are equal."""
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
        "random_kind": found.edges.random_kind,
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
        raise InputError("scores of two steps belong to graphs of different shapes; give scores of one model")
    return float(spearman(*(scores.scores[scores.graph.exists] for scores in (a, b))))


def _smoothed(values: pd.Series, weight: float) -> pd.Series:
    """The values smoothed exponentially, skipping missing ones; missing values stay missing."""
    return values.dropna().ewm(alpha=weight, adjust=False).mean().reindex(values.index)
