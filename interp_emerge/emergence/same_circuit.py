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
3. Noise alone makes `across` = √(within a · within b) where an edge's chance to be chosen is the same in both, or lower
   in the noisier one in the same proportion: Spearman's correction for attenuation (1904,
   https://doi.org/10.2307/1412159). The *corrected similarity* is across / √(within a · within b): 1 is as alike as
   noise allows. That is not exact: models of equal mean scores, one six times as noisy, gave 0.92.
4. The gap, across − √(within a · within b), gets its standard error from a jackknife over groups of pairs (Shao and
   Wu, 1989, https://doi.org/10.1214/aos/1176347263): a group is left out of both models at once, so that it holds for
   shared prompts too. One-sided p-value from Student's t with one degree of freedom fewer than groups, at least
   1 / (1 + splits); and 1 where halves across are no less alike than those of the noisier model. This test, `halves`,
   is conservative: where nothing differs the first-order term of the gap vanishes, and the jackknife counts it all the
   same. With 64 pairs and circuits of 20 of 110 edges it rejected none of 100 cases at 0.05 where nothing differed, and
   39 of 40 where 6 of the 20 strongest edges were taken out of one model.
5. Where both score the *same* model on different prompts, pairs can be exchanged under the null hypothesis that nothing
   differs, and the test `permutation` is exact: pairs are dealt out again to two samples of the old sizes, and the
   p-value is the share of deals with as low a Jaccard index (ties go by the weighted one), the observed one included.
   Between two models it would ask whether all scores have one distribution, which they never have.

Beside that stand bootstrap samples of each model (`circuits.stability`), other seeds of a's size, and random circuits.
With a match of heads (`emergence.alignment`) edges of two models are compared through it; it is taken as given, so what
it gets wrong counts as a difference.

Cost: no model is run; 4 · splits · (1 + groups) selections of edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from interp_emerge.circuits._telling import between
from interp_emerge.circuits.stability import Select, stability
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.intervals import LEVEL, Interval, percentile_interval
from interp_emerge.emergence._halves import Classes, Edges, Splits
from interp_emerge.emergence.alignment import Match
from interp_emerge.emergence.similarity import class_codes
from interp_emerge.patching.base import EdgeScores

Test = Literal["auto", "halves", "permutation"] | str
Level = Literal["edges", "classes"] | str
"""One of these names; any other is refused with a suggestion."""
GROUPS, SPLITS = 10, 200
SIGNIFICANT, ALIKE = 0.05, 0.9
RANDOM_DRAWS = 500
NO_DIFFERENCE, DIFFERS, LITTLE, CANNOT_TELL = "no difference seen", "differs", "differs little", "cannot be told"


@dataclass(frozen=True, kw_only=True, eq=False)
class SameCircuit:
    """Whether two circuits differ, with the nulls that say so.

    `verdict` is `differs` (p at most 0.05), `differs little` (the same, but the interval of the corrected similarity
    lies above `alike`), `no difference seen` (p above 0.05, and that interval lies above `alike`) or `cannot be told`.
    `corrected` is the similarity over what noise allows; `p_value` the probability of a gap as large if nothing
    differs; `sizes` are numbers of edges.
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
        across, a, b = (_told(self[name]) for name in ("across", "halves of a", "halves of b"))
        said = f"{begin}: {index} {across} across halves of prompts against {a} and {b} within each"
        said += f" (corrected similarity {between(found.value, found.low, found.high)}, p = {self.p_value:.2g})"
        if "other seeds" in set(self.rows["comparison"]):
            seeds = self["other seeds"]
            said += f"; other seeds {_told(seeds)} (n = {seeds['n']}, p = {seeds['p_value']:.2g})"
        return f"{said}; random circuits {_told(self['random circuits'])}"

    def to_frame(self) -> pd.DataFrame:
        """One row a comparison.

        Columns `comparison`, `index` (mean Jaccard index, weighted for classes), `low`, `high` (central 95% over
        splits, samples or draws; of other seeds, the least and largest), `n` (of these), `p_value`, and `asks`, what
        the p-value is the probability of.
        """
        return self.rows


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
        resamples: splits into halves, permutations, and bootstrap samples.
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
    found = Splits(space, values, resamples, groups, seed)
    by_permutation = test == "permutation" or (test == "auto" and match is None and _one_model(scores_a, scores_b))
    if by_permutation and (match is not None or level != "edges" or scores_a.graph != scores_b.graph):
        raise InputError("pairs can only be permuted within one model; leave out the match, or take test='halves'")
    p_value = _permuted(space, values, resamples, seed) if by_permutation else found.p_value
    rows = [
        _row("across", found.across, p_value, "as low an index if nothing differs"),
        _row("whole samples", np.array([space.index(*(space.of(i, v.mean(0)) for i, v in enumerate(values)))])),
        _row("halves of a", found.within[0]),
        _row("halves of b", found.within[1]),
    ]
    if level == "edges":
        for side, (name, scores) in enumerate(zip("ab", (scores_a, scores_b), strict=True)):
            drawn = stability(scores, select=_select(space, side), resamples=min(resamples, 100), seed=seed)
            ends = drawn.jaccard.value, drawn.jaccard.low, drawn.jaccard.high
            rows.append((f"bootstrap of {name}", *ends, len(drawn.n_edges), np.nan, ""))
    if other_seeds:
        seeds = _seeds(scores_a, counts[0], other_seeds, level, resamples, groups, seed)
        lower = (1 + (seeds <= found.across.mean()).sum()) / (1 + len(seeds))
        rows.append(("other seeds", seeds.mean(), seeds.min(), seeds.max(), len(seeds), lower,
                     "a rank as low if b were one more seed"))  # fmt: skip
    random = _random(space, values, seed)
    higher = (1 + (random >= found.across.mean() - 1e-12).sum()) / (1 + len(random))
    rows.append(_row("random circuits", random, higher, "as high an index for random circuits"))
    columns = pd.Index(["comparison", "index", "low", "high", "n", "p_value", "asks"])
    verdict, reason = _verdict(p_value, found, random, alike)
    return SameCircuit(
        verdict=verdict,
        reason=reason,
        p_value=p_value,
        corrected=found.corrected,
        test="permutation" if by_permutation else "halves",
        level=level,
        sizes=counts,
        rows=pd.DataFrame(rows, columns=columns),
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

    def alike(order: np.ndarray) -> float:
        means = [pool[part].mean(0) for part in (order[:n], order[n:])]
        x, y = (space.of(0, mean) for mean in means)
        strengths = [np.abs(mean) * kept for mean, (_, kept) in zip(means, (x, y), strict=True)]
        weighted = np.minimum(*strengths).sum() / max(np.maximum(*strengths).sum(), np.finfo(float).tiny)
        return space.index(x, y) + 1e-9 * float(weighted)

    observed = alike(np.arange(len(pool)))
    drawn = np.array([alike(rng.permutation(len(pool))) for _ in range(resamples)])
    return float((1 + (drawn <= observed + 1e-15).sum()) / (1 + resamples))


def _select(space: Edges | Classes, side: int) -> Select:
    """The same edges of a sample's scores, as a circuit."""

    def strongest(scores: EdgeScores) -> Circuit:
        kept = np.zeros_like(scores.graph.exists)
        kept[scores.graph.exists] = space.of(side, scores.scores[scores.graph.exists])[1] > 0
        return Circuit(graph=scores.graph, kept=kept, scores=scores.scores * kept)

    return strongest


def _seeds(
    a: EdgeScores, n: int, others: Sequence[tuple[EdgeScores, Match | None]], level: Level, splits: int, groups: int,
    seed: int,
) -> np.ndarray:  # fmt: skip
    """The index of a with each other seed across halves, shape [seed]."""
    found = []
    for scores, match in others:
        space = _space(a, scores, (n, n), match, level)
        values = [_values(one, groups) for one in (a, scores)]
        found.append(Splits(space, values, splits, groups, seed).across.mean())
    return np.array(found)


def _random(space: Edges | Classes, values: list[np.ndarray], seed: int) -> np.ndarray:
    """Indices of random circuits of the same sizes, shape [draw]."""
    rng, means = np.random.default_rng(seed), [one.mean(0) for one in values]
    draws = (tuple(space.random(side, mean, rng) for side, mean in enumerate(means)) for _ in range(RANDOM_DRAWS))
    return np.array([space.index(*drawn) for drawn in draws])


def _row(name: str, drawn: np.ndarray, p_value: float = np.nan, asks: str = "") -> tuple[object, ...]:
    ends = percentile_interval(float(drawn.mean()), drawn)
    return name, ends.value, ends.low, ends.high, len(drawn), p_value, asks


def _verdict(p_value: float, found: Splits, random: np.ndarray, alike: float) -> tuple[str, str]:
    upper = float(np.quantile(random, (1 + LEVEL) / 2))
    if min(found.within[0].mean(), found.within[1].mean()) <= upper:
        return CANNOT_TELL, "halves of one model's prompts give circuits no more alike than random ones"
    if p_value <= SIGNIFICANT:
        return (LITTLE if found.corrected.low > alike else DIFFERS), ""
    if found.corrected.low > alike:
        return NO_DIFFERENCE, ""
    return CANNOT_TELL, f"the corrected similarity may lie below {alike:g}"


def _told(row: pd.Series) -> str:
    return between(row["index"], row["low"], row["high"])
