"""Whether two models, or one on two sets of prompts, have the same circuit: beyond what other prompts would change.

Circuits of other prompts of the same model differ too, so that two circuits say nothing by themselves. The question is
whether those of two models are less alike than those of one, and that needs a fair measure of the latter. Bootstrap
samples are none: two of them have pairs in common, and with them their noise, while two models' prompts have not.

1. `Splits` divides the pairs of each model into halves, many times. A half of a and the *other* half of b have no
   prompt in common even where both were asked the same; nor have the two halves of one model. All four are of one size.
2. Each half gives a circuit of its strongest edges (`Edges`), or the shares of score mass on classes of edges
   (`Classes`). Their overlap, from 0 to 1, is the share of the smaller set that the larger one holds, or the cosine of
   the square roots of shares; means over splits: `across` the models, `within` a, `within` b. A circuit that holds all
   of a smaller one overlaps wholly: the Jaccard index beside it tells sizes apart, the test does not.
3. Noise alone makes `across` smaller than `within`, the more so where each edge has a noise of its own in each model:
   loud edges get into one circuit only. `_same_scores` draws pairs as they would be if both models had the same mean
   scores up to a factor, or the same order of edges, and each its own noise. The test `halves` asks how often such
   draws are as little alike across halves; its p-value is at least 1 / (1 + resamples). The *corrected similarity* is
   across / √(within a · within b) (Spearman's correction for attenuation, 1904, https://doi.org/10.2307/1412159) over
   what that is in the draws: 1 is as alike as noise allows. Its 95% interval is that of a jackknife over groups of
   pairs (Shao and Wu, 1989, https://doi.org/10.1214/aos/1176347263): a group is left out of both models at once, so
   that it holds for shared prompts too.
4. That test is conservative, as the larger of two p-values counts. On 64 pairs and 110 edges, with noise that is even,
   log-normal over edges, heavy-tailed, skewed, proportional to scores or six times as large in one model, it rejected
   0 to 6 of 100 cases at 0.05 where mean scores were the same. Where a third of the strongest edges were others, it
   rejected 39 of 40 or more for circuits of 25 edges; for circuits of 5, 35 or more where halves share 0.65 of their
   edges, about half where they share half. What it cannot do: the same strongest edges with magnitudes dealt out
   among them at random were called different in 1 to 10 of 100 cases, and in 32 under the loudest log-normal noise.
   Where halves of a model share less than half of their circuits, nothing is called different.
5. Where both score the *same* model on different prompts, pairs can be exchanged under the null hypothesis that nothing
   differs, and the test `permutation` is exact: pairs are dealt out again to two samples of the old sizes, and the
   p-value is the share of deals with as low a Jaccard index (ties go by the weighted one), the observed one included.
   Between two models it would ask whether all scores have one distribution, which they never have.

Beside that stand bootstrap samples of each model (`circuits.finding.stability`); other seeds of a's size, whose
circuits have as many edges as b's; and as many random edges, which need not be connected, as the strongest edges of a
half need not. With a match of heads (`emergence.sameness.matching`) edges of two models are compared through it; it is
taken as given, so what it gets wrong counts as a difference. What it leaves open is said: the score mass of edges
without an image, that on heads whose partner is not identifiable, and the least and largest index over matches that are
about as good. Where one of these gives an index that is usual if nothing differs, a difference cannot be told.

Cost: no model is run; 4 · splits · (1 + groups) + 80 · draws selections of edges, for classes 120 · draws.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.stability import Selector, stability
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.emergence.sameness.matching import Match
from interp_emerge.emergence.sameness.same_circuit.doubts import match_doubts, rival_matches
from interp_emerge.emergence.sameness.same_circuit.halves import (
    Classes,
    Edges,
    Splits,
    draw_halves,
    of_halves,
    similarities,
)
from interp_emerge.emergence.sameness.same_circuit.null import SameScores, same_scores
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.emergence.sameness.similarity import class_codes
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.intervals import SURE, Interval, percentile_interval
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.sets import jaccard_of_weights
from interp_emerge.stats.significance import SIGNIFICANT

Test = Literal["auto", "halves", "permutation"] | str
Level = Literal["edges", "classes"] | str
"""One of these names; any other is refused with a suggestion."""
GROUPS, SPLITS = 10, 200
ALIKE = 0.9
RANDOM_DRAWS = 500
STABLE = 0.5
"""Mean overlap within a model below which noise hides what its strongest edges are, and no difference is claimed."""
MUCH = 0.1
"""Share of score mass on heads whose partner is not identifiable above which the sentence says so."""
NO_DIFFERENCE, DIFFERS, LITTLE, CANNOT_TELL = "no difference seen", "differs", "differs little", "cannot be told"


@dataclass(frozen=True, kw_only=True, eq=False)
class SameCircuit:
    """Whether two circuits differ, with the nulls that say so.

    `verdict` is `differs` (p at most 0.05), `differs little` (the same, but the interval of the corrected similarity
    lies above `alike`), `no difference seen` (p above 0.05, and that interval lies above `alike`) or `cannot be told`.
    `corrected` is the similarity over what noise allows; `p_value` the probability of circuits as little alike if
    nothing differs; `sizes` are numbers of edges.
    """

    verdict: str
    reason: str
    p_value: float
    corrected: Interval
    test: str
    level: str
    sizes: tuple[int, int]
    rows: pd.DataFrame

    def __getitem__(self, comparison: str) -> pd.Series:
        """The row of a comparison, such as `across` or `halves of a`."""
        return self.rows[self.rows["comparison"] == comparison].iloc[0]

    def __repr__(self) -> str:
        return f"SameCircuit({self.sentence})"

    @property
    def sentence(self) -> str:
        """The verdict with the numbers that it rests on."""
        begin = {
            DIFFERS: "differs beyond resampling noise",
            LITTLE: "differs beyond resampling noise, but little",
            NO_DIFFERENCE: "no difference beyond resampling noise",
            CANNOT_TELL: f"cannot be told ({self.reason})",
        }[self.verdict]
        if self.sizes[0] != self.sizes[1]:
            begin += f" (besides size, {self.sizes[0]} and {self.sizes[1]} edges)"
        index = "Jaccard" if self.level == "edges" else "weighted Jaccard of edge classes"
        found = self.corrected
        names = ("across", "halves of a", "halves of b", "same scores")
        across, a, b, same = (_told(self[name]) for name in names)
        said = f"{begin}: {index} {across} across halves of prompts against {a} and {b} within each, and {same} if"
        said += f" nothing differed (corrected similarity {found}, "
        said += f"p = {self.p_value:.2g})"
        seeds = self["other seeds"]
        about = f"n = {seeds['n']}, p = {seeds['p_value']:.2g}"
        said += f"; other seeds {_told(seeds)} ({about})" if seeds["n"] else f"; {seeds['note']}"
        return f"{said}; random circuits {_told(self['random circuits'])}{self._doubts}"

    @property
    def _doubts(self) -> str:
        """What the match leaves open, where that is more than a tenth of the score mass."""
        row = self["across"]
        mass = max(row["ambiguous_a"], row["ambiguous_b"])
        if self.level != "edges" or not mass > MUCH:
            return ""
        said = f"; {mass:.0%} of a circuit's score mass lies on heads whose partner is not identifiable"
        if not row["n_rivals"]:
            return said
        matches = "one other match" if row["n_rivals"] == 1 else f"{row['n_rivals']:.0f} other matches"
        return f"{said}: over {matches} about as good the index is {row['rival_low']:.2f} to {row['rival_high']:.2f}"

    def to_frame(self) -> pd.DataFrame:
        """One row a comparison, with the columns that fill `COMPARISONS`; those of the match are empty without one."""
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
    alike: float = ALIKE,
    seed: int = 0,
) -> SameCircuit:
    """Whether the circuit of b is that of a, as far as the prompts can tell.

    Args:
        scores_a: scores with the values of each pair.
        scores_b: the same, of another model or other prompts.
        n_edges: how many of the strongest edges make a circuit, of both or of each; or circuits that have as many.
        match: of a's heads with b's, where the models are not the same one.
        level: whether single edges are compared, or shares of score mass by class of edge, which needs a match.
        other_seeds: scores of models of a's size, each with the match of a's heads with its heads.
        test: `auto` permutes where both score one model on different prompts, and else compares halves.
        resamples: splits into halves, draws if nothing differed, permutations, and bootstrap samples.
        groups: of pairs that the jackknife leaves out in turn.
        alike: corrected similarity that the interval has to exceed for two circuits to count as alike.
        seed: of splits, permutations and random circuits.

    Raises:
        InputError: graphs of different shapes without a match; scores without values of pairs; too few pairs.
        UnknownNameError: no test or level has the name.
    """
    for what, name, known in (
        ("test", test, ("auto", "halves", "permutation")),
        ("level", level, ("edges", "classes")),
    ):
        if name not in known:
            raise UnknownNameError(what, name, known)
    counts = _counts(n_edges)
    space = _space(scores_a, scores_b, counts, match, level)
    values = [_values(scores, groups) for scores in (scores_a, scores_b)]
    if resamples < 2:
        raise InputError(f"{resamples} splits say nothing about spread; ask for at least 2")
    doubts, rivals = _doubts_of(space, match, values)
    found = Splits(space, values, resamples, groups, seed, others=[Edges(counts, one.edges) for one in rivals])
    by_permutation = test == "permutation" or (test == "auto" and match is None and _one_model(scores_a, scores_b))
    if by_permutation and (match is not None or level != "edges" or scores_a.graph != scores_b.graph):
        raise InputError("pairs can only be permuted within one model; leave out the match, or take test='halves'")
    null = same_scores(space, values, resamples, seed, one_size=counts[0] == counts[1])
    p_value = _permuted(space, values, resamples, seed) if by_permutation else null.p_value
    whole = space.index(*(space.of(side, one.mean(0)[None]) for side, one in enumerate(values)))
    ends = np.array([found.across.mean(), *found.elsewhere.mean(1)])
    if match is not None and isinstance(space, Edges):
        doubts |= {"n_rivals": len(rivals), "rival_low": ends.min(), "rival_high": ends.max()}
    rows = [
        _row("across", found.across, p_value, "as low an index if nothing differs") | doubts,
        _row("whole samples", whole),
        _row("halves of a", found.within[0]),
        _row("halves of b", found.within[1]),
        _row("same scores", null.indices),
    ]
    if level == "edges":
        for side, (name, scores) in enumerate(zip("ab", (scores_a, scores_b), strict=True)):
            drawn = stability(scores, select=_select(space, side), resamples=min(resamples, 100), seed=seed)
            rows.append(_row(f"bootstrap of {name}", drawn.jaccard, n=len(drawn.n_edges)))
    if other_seeds:
        seeds = _seeds(scores_a, counts, other_seeds, level, resamples, groups, seed)
        lower = rank_p(found.across.mean(), seeds, side="less")
        spread = Interval(float(seeds.mean()), float(seeds.min()), float(seeds.max()))
        rows.append(_row("other seeds", spread, lower, "a rank as low if b were one more seed", n=len(seeds)))
    else:
        none = _row("other seeds", Interval.undefined(), n=0)
        rows.append(none | {"note": "no other seed to compare with"})
    random = _random(space, values, seed)
    higher = rank_p(found.across.mean(), random)
    rows.append(_row("random circuits", random, higher, "as high an index for random circuits"))
    frame = pd.DataFrame([{"note": ""} | row for row in rows]).reindex(columns=[*COMPARISONS.filled])
    chance = float(random.mean())
    frame["beyond_chance"] = (frame["index"] - chance) / (1 - chance) if chance < 1 else np.nan
    corrected = null.corrected(found.ratio)
    verdict, reason = _verdict(p_value, found, null, corrected, random, alike)
    return SameCircuit(
        verdict=verdict,
        reason=reason,
        p_value=p_value,
        corrected=corrected,
        test="permutation" if by_permutation else "halves",
        level=level,
        sizes=counts,
        rows=frame,
    )


def _space(a: EdgeScores, b: EdgeScores, counts: tuple[int, int], match: Match | None, level: Level) -> Edges | Classes:
    if match is None and (a.graph != b.graph or level == "classes"):
        raise InputError("circuits of two graphs, or their classes of edges, are compared through a match of heads; "
                         "give match=match_heads(...)")  # fmt: skip
    if match is not None and (match.a.graph != a.graph or match.b.graph != b.graph):
        raise InputError("the match is of heads of other graphs than the scores; match these two models")
    for scores, n in zip((a, b), counts, strict=True):
        if not 1 <= n <= scores.graph.n_edges:
            raise InputError(f"{n} edges make no circuit of a graph of {scores.graph.n_edges}; ask for at least 1")
    images = np.arange(a.graph.n_edges) if match is None else match.edges
    edges = Edges(counts, images)
    return edges if match is None or level == "edges" else Classes(edges, class_codes(match))


def _counts(n_edges: int | tuple[int, int] | tuple[Circuit, Circuit]) -> tuple[int, int]:
    if isinstance(n_edges, int):
        return n_edges, n_edges
    a, b = n_edges
    return (len(a) if isinstance(a, Circuit) else a), (len(b) if isinstance(b, Circuit) else b)


def _values(scores: EdgeScores, groups: int) -> np.ndarray:
    """Scores of every pair, shape [pair, edge], in the order in which they came."""
    if scores.per_pair is None or scores.positions is not None:
        raise InputError("these scores hold no values of single pairs, or hold them by position; score again by a "
                         "method that keeps them, without positions")  # fmt: skip
    if groups < 3 or len(scores.per_pair) < 2 * groups:
        raise InputError(f"{len(scores.per_pair)} pairs do not make {groups} groups of two; give at least 3 groups, "
                         "and twice as many pairs")  # fmt: skip
    return scores.per_pair.astype(np.float64)


def _one_model(a: EdgeScores, b: EdgeScores) -> bool:
    """Whether both say that they score one model, on different prompts."""
    same = a.graph == b.graph and a.origin.get("model") is not None and a.origin["model"] == b.origin.get("model")
    return same and a.origin.get("prompts") != b.origin.get("prompts")


def _permuted(space: Edges | Classes, values: list[np.ndarray], resamples: int, seed: int) -> float:
    """The share of deals of all pairs to two samples whose circuits are no more alike, the observed one included."""
    pool, n = np.concatenate(values), len(values[0])
    rng = np.random.default_rng(seed)

    def alike(order: np.ndarray) -> tuple[float, float]:
        means = [pool[part].mean(0) for part in (order[:n], order[n:])]
        x, y = (space.of(0, mean[None]) for mean in means)
        strengths = [np.abs(mean) * kept[0] for mean, (_, kept) in zip(means, (x, y), strict=True)]
        return float(space.index(x, y)[0]), float(jaccard_of_weights(*strengths, empty=0.0))

    index, weighted = alike(np.arange(len(pool)))
    indices, weights = np.array([alike(rng.permutation(len(pool))) for _ in range(resamples)]).T
    # Few indices are possible, and many deals tie: the weighted index decides between those.
    return rank_p(index, indices, side="less", then=(weighted, weights))


def _select(space: Edges | Classes, side: int) -> Selector:
    """The same edges of a sample's scores, as a circuit."""

    def strongest(scores: EdgeScores) -> Circuit:
        kept = np.zeros_like(scores.graph.exists)
        kept[scores.graph.exists] = space.of(side, scores.scores[scores.graph.exists][None])[1][0] > 0
        return Circuit(graph=scores.graph, kept=kept, scores=scores.scores * kept)

    return strongest


def _doubts_of(
    space: Edges | Classes, match: Match | None, values: list[np.ndarray]
) -> tuple[dict[str, float], list[Match]]:
    """What the match leaves open of the circuits of all pairs, and matches about as good, which classes do not need."""
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
    """The index of a with each other seed across halves, its circuit of as many edges as b's, shape [seed]."""
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
    """A row from the indices of each split or draw, or from their mean with its ends and `n`."""
    ends = drawn if isinstance(drawn, Interval) else percentile_interval(float(drawn.mean()), drawn)
    n = n if isinstance(drawn, Interval) else len(drawn)
    row = {"comparison": name, "index": ends.value, "low": ends.low, "high": ends.high, "n": n}
    return row | {"p_value": p_value, "asks": asks}


def _verdict(
    p_value: float, found: Splits, null: SameScores, corrected: Interval, random: np.ndarray, alike: float
) -> tuple[str, str]:
    upper = float(np.quantile(random, SURE))
    if min(found.within[0].mean(), found.within[1].mean()) <= upper:
        return CANNOT_TELL, "halves of one model's prompts give circuits no more alike than random ones"
    if p_value <= SIGNIFICANT and found.stable < STABLE:
        return CANNOT_TELL, f"halves of one model's prompts share less than {STABLE:g} of their circuits"
    rivals = found.elsewhere.mean(1)
    if p_value <= SIGNIFICANT and rivals.max(initial=0) > np.quantile(null.indices, SIGNIFICANT) - 1e-12:
        return CANNOT_TELL, "another match of heads about as good shows no difference"
    if p_value <= SIGNIFICANT:
        return (LITTLE if corrected.low > alike else DIFFERS), ""
    if corrected.low > alike:
        return NO_DIFFERENCE, ""
    return CANNOT_TELL, f"the corrected similarity may lie below {alike:g}"


def _told(row: pd.Series) -> str:
    return str(Interval(row["index"], row["low"], row["high"]))
