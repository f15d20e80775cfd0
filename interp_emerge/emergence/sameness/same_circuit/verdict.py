"""Whether two models, or one model on two sets of prompts, have the same circuit.

Circuits of one model on other prompts differ, too. So circuits of two models are compared with how alike those of one
model are, and with how alike the architecture alone makes them. There are three answers: they are the *same within a
margin*; they are *different*; or it *cannot be told*, with the reason and, if known, about how many prompts it would
take. Not to see a difference is not enough for "the same".

1. `Splits` divides the pairs of each model into halves, many times. A half of a is compared with the *other* half of b,
   so the two share no prompt even if both models had the same prompts. The two halves of one model share none either.
2. Each half gives a circuit of its strongest edges (`Edges`), or the shares of score mass on classes of edges
   (`Classes`). Edges with a score of zero are in no circuit. The overlap, from 0 to 1, is the fraction of the smaller
   set that is in the larger one, or the cosine of the square roots of shares. Means over splits are taken `across` the
   models, `within` a and `within` b. If a circuit contains all of a smaller one, the overlap is 1. The Jaccard index in
   the table shows a difference in size; the answer does not.
3. The architecture alone makes circuits alike: those of untrained models share many edges. So the overlap is compared
   with that of circuits in which the heads of each layer are exchanged at random (`exchanged`; exact for edges, an
   upper bound for classes).
4. Noise alone makes `across` smaller than `within`, in particular if each edge has noise of its own in each model.
   `same_scores` draws pairs as they would be if both models had the same mean scores up to a factor, or the same order
   of edges, each with its own noise. The test `halves` counts how often such draws are as little alike across halves.
   Its p-value is at least 1 / (1 + resamples). The *corrected similarity* is (across − exchanged) / (same − exchanged),
   where `same` is √(within a · within b) (Spearman, 1904, https://doi.org/10.2307/1412159) times the ratio of across to
   it in the draws. It is 1 if nothing differs and 0 if exchanged heads give as much. Its 95% interval is a jackknife
   over groups of pairs (Shao and Wu, 1989, https://doi.org/10.1214/aos/1176347263). A group is left out of both models
   at the same time, so the interval is also valid for shared prompts.
5. If both scores come from the *same* model on different prompts, the test `permutation` is exact: pairs are reassigned
   at random to two samples of the old sizes. The p-value is the share of these with as low a Jaccard index, counting
   the observed one; the weighted index decides ties. Between two models this test would ask whether all scores have one
   distribution, which is never so.
6. `decide` answers. Halves of one model must share half of their circuits, for either answer. Same: the interval of the
   corrected similarity lies above 1 − `margin`, and `same` goes at least half-way from `exchanged` to 1; a small
   difference may be significant nevertheless. Different: otherwise, if p is at most 0.05 and no other match of heads
   about as good shows no difference.

Two models with the same strongest edges but other magnitudes are rarely called different. How often an answer is wrong:
docs/validity.md.

The table also compares with other seeds of a's size, whose circuits have as many edges as b's, and with random edges.
The random edges need not be connected, since the strongest edges of a half need not be either.

With a match of heads (`emergence.sameness.matching`) edges of two models are compared through it. The match is assumed
to be right, so its errors count as differences. The table gives the share of score mass on edges without an image, the
share on heads whose partner is not identifiable, and the smallest and largest index over this match and others that are
about as good.

Cost: no model is run; 4 · splits · (1 + groups) + 80 · draws selections of edges, for classes 120 · draws.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.record import Record
from interp_emerge.emergence.sameness.matching import Match
from interp_emerge.emergence.sameness.same_circuit.decision import decide
from interp_emerge.emergence.sameness.same_circuit.doubts import match_doubts, rival_matches
from interp_emerge.emergence.sameness.same_circuit.halves import (
    Classes,
    Edges,
    Splits,
    draw_halves,
    layers_of,
    of_halves,
    similarities,
)
from interp_emerge.emergence.sameness.same_circuit.null import permuted_p, same_scores
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS, SameCircuitVerdict
from interp_emerge.emergence.sameness.similarity import class_codes
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.significance import SIGNIFICANT

Test = Literal["auto", "halves", "permutation"] | str
Level = Literal["edges", "classes"] | str
"""One of these names; any other is refused with a suggestion."""
GROUPS, SPLITS = 10, 200
"""Groups of pairs for the jackknife, and splits into halves."""
ALL_ZERO = "all scores of a model are zero"
MARGIN = 0.1
"""Distance from 1 that the corrected similarity of circuits that count as the same may have."""
RANDOM_DRAWS = 500
MUCH = 0.1
"""Share of score mass on heads whose partner is not identifiable above which the sentence mentions it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SameCircuit(Record):
    """Whether two circuits are the same, with the comparisons that the verdict rests on.

    `reason` says why it cannot be told, and is empty otherwise; `pairs_needed` is about how many pairs of each model
    would settle it, or None. `p_value` is the probability of circuits as little alike if nothing differs. `corrected`
    is the similarity beyond exchanged heads as a fraction of what noise allows. `sizes` are the numbers of edges.
    """

    verdict: SameCircuitVerdict
    reason: str
    pairs_needed: int | None
    margin: float
    p_value: float
    corrected: Interval
    test: str
    level: str
    sizes: tuple[int, int]
    rows: pd.DataFrame

    def __getitem__(self, comparison: str) -> pd.Series:
        """The row of one comparison, such as `across` or `halves of a`."""
        return self.rows[self.rows["comparison"] == comparison].iloc[0]

    def __repr__(self) -> str:
        return f"SameCircuit({self.sentence})"

    @property
    def sentence(self) -> str:
        """The verdict and the numbers it rests on, in words."""
        begin = {
            SameCircuitVerdict.SAME: f"the same circuit within a margin of {self.margin:g}",
            SameCircuitVerdict.DIFFERENT: "different circuits, beyond resampling noise",
            SameCircuitVerdict.CANNOT_BE_TOLD: f"whether the circuits are the same cannot be told ({self.reason})",
        }[self.verdict]
        if self.verdict == SameCircuitVerdict.SAME and self.p_value <= SIGNIFICANT:
            begin += ", though not equal"
        if self.sizes[0] != self.sizes[1]:
            begin += f" (besides size, {self.sizes[0]} and {self.sizes[1]} edges)"
        index = "Jaccard index" if self.level == "edges" else "weighted Jaccard index of edge classes"
        names = (
            "across",
            "halves of a",
            "halves of b",
            "same scores",
            "exchanged heads",
            "random circuits",
            "other seeds",
        )
        across, a, b, same, exchanged, random, seeds = (_interval(self[name]) for name in names)
        said = (
            f"{begin}: {index} {across} across halves of the prompts of both models, {a} and {b} within each model, "
            f"{same} if nothing differed, {exchanged} with the heads of each layer exchanged at random (corrected "
            f"similarity {self.corrected}, p = {self.p_value:.2g}); "
        )
        others = self["other seeds"]
        said += (
            f"other seeds {seeds} (n = {others['n']}, p = {others['p_value']:.2g})" if others["n"] else others["note"]
        )
        return f"{said}; random circuits {random}{self._doubts}"

    @property
    def _doubts(self) -> str:
        """The share of score mass that depends on the match, in words; empty if it is at most a tenth."""
        row = self["across"]
        mass = max(row["ambiguous_a"], row["ambiguous_b"])
        if self.level != "edges" or not mass > MUCH:
            return ""
        said = f"; {mass:.0%} of a circuit's score mass lies on heads whose partner is not identifiable"
        if not row["n_rivals"]:
            return said
        matches = "one other match" if row["n_rivals"] == 1 else f"{row['n_rivals']:.0f} other matches"
        span = f"{row['rival_low']:.2f} to {row['rival_high']:.2f}"
        return f"{said}; with this match and {matches} about as good the index is {span}"

    def to_frame(self) -> pd.DataFrame:
        """One row for each comparison, with the columns of `COMPARISONS`; without a match those about it are empty."""
        verdict = {"verdict": self.verdict, "p_value_verdict": self.p_value, "sentence": self.sentence}
        return self.rows.assign(level=self.level, **verdict)


@checked
def same_circuit(
    scores_a: EdgeScores,
    scores_b: EdgeScores,
    n_edges: int | tuple[int, int] | tuple[Circuit, Circuit],
    *,
    match: Match | None = None,
    level: Level = "edges",
    other_seeds: Sequence[tuple[EdgeScores, Match | None]] = (),
    test: Test = "auto",
    resamples: int = SPLITS,
    groups: int = GROUPS,
    margin: float = MARGIN,
    seed: int = 0,
) -> SameCircuit:
    """Whether a and b have the same circuit, as far as the prompts show.

    Example:
        >>> print(ie.emergence.sameness.same_circuit(scores, held_out_scores, 12, resamples=20, groups=4))

    Args:
        scores_a: scores with the values of each pair.
        scores_b: the same for another model or other prompts.
        n_edges: number of strongest edges that make a circuit, one for both or one for each; or two circuits, whose
            numbers of edges are taken.
        match: of a's heads with b's, if these are two models.
        level: whether single edges are compared, or shares of score mass by class of edge, which needs a match.
        other_seeds: scores of models of a's size, each with the match of a's heads with its heads.
        test: `auto` permutes if both come from one model on different prompts, and otherwise compares halves.
        resamples: number of splits, of draws if nothing differed, and of permutations.
        groups: groups of pairs that the jackknife leaves out in turn.
        margin: largest distance from 1 of the corrected similarity of circuits that count as the same, between 0 and 1;
            the whole interval has to lie within it.
        seed: of splits, permutations and random circuits.

    Raises:
        InputError: graphs of different shapes without a match, scores without values of each pair, too few pairs, or a
            margin that is not between 0 and 1.
        UnknownNameError: no test or level has the name.
    """
    for what, name, known in (
        ("test", test, ("auto", "halves", "permutation")),
        ("level", level, ("edges", "classes")),
    ):
        if name not in known:
            raise UnknownNameError(what, name, known)
    counts = _counts(n_edges)
    _require_counts(scores_a, scores_b, counts)
    values = [_values(scores, groups) for scores in (scores_a, scores_b)]
    scored = [int(np.count_nonzero(one.mean(0))) for one in values]
    counts = min(counts[0], max(1, scored[0])), min(counts[1], max(1, scored[1]))
    space = _space(scores_a, scores_b, counts, match, level)
    if not 0 < margin < 1:
        raise InputError(f"margin={margin:g} is not a distance from 1; give a number between 0 and 1, such as {MARGIN}")
    if resamples < 2:
        raise InputError(f"resamples={resamples} gives no spread; give at least 2")
    if not all(scored):
        return _of_zeros(level, counts, margin)
    doubts, rivals = _doubts_of(space, match, values)
    found = Splits(space, values, resamples, groups, seed, rivals=[Edges(counts, one.edges) for one in rivals])
    by_permutation = test == "permutation" or (test == "auto" and match is None and _one_model(scores_a, scores_b))
    if by_permutation and (match is not None or level != "edges" or scores_a.graph != scores_b.graph):
        raise InputError("pairs can only be permuted within one model; leave out the match, or take test='halves'")
    null = same_scores(space, values, resamples, seed, one_size=counts[0] == counts[1])
    p_value = permuted_p(space, values, resamples, seed) if by_permutation else null.p_value
    of_all_pairs = space.index(*(space.of(side, one.mean(0)[None]) for side, one in enumerate(values)))
    over_matches = np.array([found.across.mean(), *found.across_rivals.mean(1)])
    if match is not None and isinstance(space, Edges):
        doubts |= {"n_rivals": len(rivals), "rival_low": over_matches.min(), "rival_high": over_matches.max()}
    rows = [
        _row("across", found.across, p_value, "an index as low if nothing differs") | doubts,
        _row("whole samples", of_all_pairs),
        _row("halves of a", found.within[0]),
        _row("halves of b", found.within[1]),
        _row("same scores", null.indices),
        _row("exchanged heads", found.exchanged),
    ]
    if other_seeds:
        seeds = _seeds(scores_a, counts, other_seeds, level, resamples, groups, seed)
        lower = rank_p(found.across.mean(), seeds, side="less")
        spread = Interval(float(seeds.mean()), float(seeds.min()), float(seeds.max()))
        rows.append(_row("other seeds", spread, lower, "a rank as low if b were another seed", n=len(seeds)))
    else:
        none = _row("other seeds", Interval.undefined(), n=0)
        rows.append(none | {"note": "no other seed to compare with"})
    random = _random(space, values, seed)
    higher = rank_p(found.across.mean(), random)
    rows.append(_row("random circuits", random, higher, "an index as high for random circuits"))
    frame = pd.DataFrame([{"note": ""} | row for row in rows]).reindex(columns=[*COMPARISONS.filled])
    chance = float(random.mean())
    frame["beyond_chance"] = (frame["index"] - chance) / (1 - chance) if chance < 1 else np.nan
    corrected = found.corrected(null.ratio)
    decision = decide(space, values, found, null, p_value, corrected, random, margin)
    return SameCircuit(
        verdict=decision.verdict,
        reason=decision.reason,
        pairs_needed=decision.pairs_needed,
        margin=margin,
        p_value=p_value,
        corrected=corrected,
        test="permutation" if by_permutation else "halves",
        level=level,
        sizes=counts,
        rows=frame,
    )


def _of_zeros(level: Level, counts: tuple[int, int], margin: float) -> SameCircuit:
    """The answer if all scores of a model are zero, with rows of undefined indices."""
    names = ("across", "whole samples", "halves of a", "halves of b", "same scores", "exchanged heads", "other seeds",
             "random circuits")  # fmt: skip
    rows = [_row(name, Interval.undefined(), n=0) | {"note": ALL_ZERO} for name in names]
    return SameCircuit(
        verdict=SameCircuitVerdict.CANNOT_BE_TOLD,
        reason=ALL_ZERO,
        pairs_needed=None,
        margin=margin,
        p_value=np.nan,
        corrected=Interval.undefined(),
        test="none",
        level=level,
        sizes=counts,
        rows=pd.DataFrame(rows).reindex(columns=[*COMPARISONS.filled]),
    )


def _space(a: EdgeScores, b: EdgeScores, counts: tuple[int, int], match: Match | None, level: Level) -> Edges | Classes:
    if match is None and (a.graph != b.graph or level == "classes"):
        raise InputError("circuits of two graphs, and classes of edges, can only be compared through a match of heads; "
                         "give match=match_heads(...)")  # fmt: skip
    if match is not None and (match.a.graph != a.graph or match.b.graph != b.graph):
        raise InputError("the match belongs to other graphs than the scores; match the heads of these two models")
    images = np.arange(a.graph.n_edges) if match is None else match.edges
    edges = Edges(counts, images, (layers_of(a.graph), layers_of(b.graph)))
    return edges if match is None or level == "edges" else Classes(edges, class_codes(match))


def _require_counts(a: EdgeScores, b: EdgeScores, counts: tuple[int, int]) -> None:
    for scores, n in zip((a, b), counts, strict=True):
        if not 1 <= n <= scores.graph.n_edges:
            raise InputError(
                f"n_edges={n}: a circuit of this graph has 1 to {scores.graph.n_edges} edges; give a number of these"
            )


def _counts(n_edges: int | tuple[int, int] | tuple[Circuit, Circuit]) -> tuple[int, int]:
    if isinstance(n_edges, int):
        return n_edges, n_edges
    a, b = n_edges
    return (len(a) if isinstance(a, Circuit) else a), (len(b) if isinstance(b, Circuit) else b)


def _values(scores: EdgeScores, groups: int) -> np.ndarray:
    """Scores of every pair, in their order, shape [pair, edge]."""
    if scores.per_pair is None or scores.positions is not None:
        raise InputError("these scores have no values of each pair, or have them by position; score again by a method "
                         "that keeps them, without positions")  # fmt: skip
    if groups < 3 or len(scores.per_pair) < 2 * groups:
        raise InputError(f"{len(scores.per_pair)} pairs are too few for {groups} groups; give at least 3 groups, and "
                         "twice as many pairs as groups")  # fmt: skip
    if not np.isfinite(scores.per_pair).all():
        raise InputError("scores of some pairs are not finite; leave these pairs out and score again")
    return scores.per_pair.astype(np.float64)


def _one_model(a: EdgeScores, b: EdgeScores) -> bool:
    """Whether both scores name the same model and different prompts."""
    same = a.graph == b.graph and a.origin.get("model") is not None and a.origin["model"] == b.origin.get("model")
    return same and a.origin.get("prompts") != b.origin.get("prompts")


def _doubts_of(
    space: Edges | Classes, match: Match | None, values: list[np.ndarray]
) -> tuple[dict[str, float], list[Match]]:
    """Shares of the circuits of all pairs that depend on the match; and matches about as good, none for classes."""
    if match is None:
        return {}, []
    edges = space if isinstance(space, Edges) else space.edges
    means = [one.mean(0) for one in values]
    masses = [np.abs(mean) * edges.of(side, mean[None])[1][0] for side, mean in enumerate(means)]
    return asdict(match_doubts(match, *masses)), rival_matches(match, *masses) if space is edges else []


def _seeds(
    a: EdgeScores, counts: tuple[int, int], others: Sequence[tuple[EdgeScores, Match | None]], level: Level,
    splits: int, groups: int, seed: int,
) -> np.ndarray:  # fmt: skip
    """The index of a and each other seed across halves, shape [seed]. Their circuits have as many edges as b's."""
    found = []
    for scores, match in others:
        space = _space(a, scores, (counts[0], min(counts[1], scores.graph.n_edges)), match, level)
        values = [_values(one, groups) for one in (a, scores)]
        first = draw_halves(values, splits, np.random.default_rng(seed))
        each = (
            similarities(space, *(of_halves(space, side, values[side], first[side][[split]]) for side in (0, 1)))[0]
            for split in range(splits)
        )
        found.append(np.mean([*each]))
    return np.array(found)


def _random(space: Edges | Classes, values: list[np.ndarray], seed: int) -> np.ndarray:
    """Indices of random circuits of the same sizes, shape [draw]."""
    rng, means = np.random.default_rng(seed), [one.mean(0)[None] for one in values]
    draws = (tuple(space.random(side, mean, rng) for side, mean in enumerate(means)) for _ in range(RANDOM_DRAWS))
    return np.concatenate([space.index(*drawn) for drawn in draws])


def _row(
    name: str, drawn: np.ndarray | Interval, p_value: float = np.nan, asks: str = "", n: int | None = None
) -> dict[str, object]:
    """A row of the table, from the indices of all splits or draws, or from an interval and `n`."""
    interval = drawn if isinstance(drawn, Interval) else percentile_interval(float(drawn.mean()), drawn)
    n = n if isinstance(drawn, Interval) else len(drawn)
    row = {"comparison": name, "index": interval.value, "low": interval.low, "high": interval.high, "n": n}
    return row | {"p_value": p_value, "asks": asks}


def _interval(row: pd.Series) -> str:
    return str(Interval(row["index"], row["low"], row["high"]))
