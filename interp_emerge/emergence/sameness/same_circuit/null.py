"""A null hypothesis for two models: the same mean scores in both, and the noise of each.

This says how little alike circuits of two models come out when nothing differs but noise. A correction by the
similarities within each model is not enough. If each edge has noise of its own in each model, noisy edges get into one
circuit and not into the other, whatever those similarities are.

1. `_pooled` gives each pair of matched edges one mean: the mean over both models, each in units of the root of its
   squared signal, weighted by their precisions. An edge without an image certainly has a mean of zero in the other
   model, so it has zero here too. Its magnitude goes to the matched edges, larger ones to stronger edges, so the number
   of strong edges stays the same. For classes it is spread over matched edges in proportion (`_spread`). The ratio of
   the scores of the two models is uncertain where noise is large. So it is drawn anew each time, with the standard
   error of a jackknife.
2. `stats.shrinkage.shrunk` subtracts from the squares of means what noise adds to them. The sum is exact, and no square
   falls below zero. Without this step the means would contain the noise of a sample and be sampled again: circuits
   would be too stable, and those of two models too far apart.
3. `same_scores` adds each pair's deviations from the mean of its own model, with a random sign for each pair (the wild
   bootstrap; Liu, 1988, https://doi.org/10.1214/aos/1176351062). This keeps the noise of every edge and the correlation
   between edges, and it uses each pair once. A bootstrap sample would contain pairs twice, some of them in both halves.
4. Models can have the same strongest edges without the same scores. So `_SameOrder` repeats this with the edges in the
   order of the pooled means, but with each model's own magnitudes, from the largest to the smallest.
5. Classes of edges can have the same shares of score mass although edges differ. So `_SameShares` repeats it for them a
   third time. Each model keeps its own means, less noise as in step 2, and the square roots of its shares are moved
   from their values without noise half-way to those of the other model. For classes step 4 is left out if the circuits
   have unequal sizes, because then the shares of one order differ by design.

Each p-value is the share of draws with an index across halves as low as the one observed, which is counted as a draw.
The largest p-value over the hypotheses counts. The draws shown are those of the first hypothesis that is not rejected
at 0.05 (for classes the shares come first), or else of the one with the largest p-value. All use the same splits.
Measurements behind these choices: docs/calibration.md.

Cost: 4 · splits · draws selections of edges for each hypothesis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.emergence.sameness.same_circuit.halves import (
    Chosen,
    Classes,
    Edges,
    draw_halves,
    of_halves,
    similarities,
)
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.sets import jaccard_of_weights
from interp_emerge.stats.shrinkage import shrunk
from interp_emerge.stats.significance import SIGNIFICANT

SPLITS = 10
"""Splits into halves of each draw."""
TINY = 1e-12
"""Smallest variance of a mean, as a fraction of the largest squared mean: scores without noise get equal weights."""
STRONG = 4
"""Standard errors beyond which an edge without an image counts as strong, not as noisy."""
STEPS, GROUPS, MOST_SPREAD = 10, 10, 3.0
"""Steps of the search for the ratio of two models' scores, groups of its jackknife, most standard errors drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SameScores:
    """How alike circuits of halves are across two models if nothing differs.

    `indices` are the indices across the models of each draw of the hypothesis shown, shape [draw]. `ratio` is the mean
    overlap across the models divided by √(within a · within b), in the draws of the first hypothesis. It is below 1 if
    the noise of two models favours different edges. `p_value` is the largest over hypotheses.
    """

    indices: np.ndarray
    ratio: float
    p_value: float


def same_scores(
    space: Edges | Classes, values: Sequence[np.ndarray], draws: int, seed: int, *, one_size: bool = True
) -> SameScores:
    """How alike circuits would be if nothing differed, from values of the pairs of two models, shape [pair, edge] each.

    The ratio is that of the first hypothesis: the same means for edges, the same shares for classes. `one_size` says
    whether both circuits have as many edges. If not, classes are not compared with the same order.
    """
    rng = np.random.default_rng(seed)
    first = draw_halves(values, SPLITS, rng)
    halves = [of_halves(space, side, *one) for side, one in enumerate(zip(values, first, strict=True))]
    observed, *_ = similarities(space, *halves)
    means = _SameMeans(space, values)
    nulls = [*([] if isinstance(space, Edges) else [_SameShares(space, values)]), means]
    if one_size or isinstance(space, Edges):
        nulls.append(_SameOrder(means, values))
    tried = [_drawn(null, values, first, observed, draws, rng) for null in nulls]
    shown = next((one for one in tried if one.p_value > SIGNIFICANT), max(tried, key=lambda one: one.p_value))
    return replace(shown, p_value=max(one.p_value for one in tried), ratio=tried[0].ratio)


def permuted_p(space: Edges | Classes, values: list[np.ndarray], resamples: int, seed: int) -> float:
    """The share of random divisions of all pairs into two samples with circuits as little alike, observed included."""
    pool, n = np.concatenate(values), len(values[0])
    rng = np.random.default_rng(seed)

    def alike(order: np.ndarray) -> tuple[float, float]:
        means = [pool[part].mean(0) for part in (order[:n], order[n:])]
        x, y = (space.of(0, mean[None]) for mean in means)
        strengths = [np.abs(mean) * kept[0] for mean, (_, kept) in zip(means, (x, y), strict=True)]
        return float(space.index(x, y)[0]), float(jaccard_of_weights(*strengths, empty=0.0))

    index, weighted = alike(np.arange(len(pool)))
    indices, weights = np.array([alike(rng.permutation(len(pool))) for _ in range(resamples)]).T
    # Few values of the index are possible, so many divisions tie. The weighted index decides between them.
    return rank_p(index, indices, side="less", then=(weighted, weights))


def _drawn(
    null: "_SameMeans | _SameOrder | _SameShares", values: Sequence[np.ndarray], first: list[np.ndarray],
    observed: float, draws: int, rng: np.random.Generator,
) -> SameScores:  # fmt: skip
    noise = [(one - one.mean(0)) * np.sqrt(len(one) / (len(one) - 1)) for one in values]
    found = np.empty((draws, 4))
    for draw in tqdm(range(draws), desc="draws under the null", delay=2, leave=False):
        signs = [rng.choice([-1.0, 1.0], size=(len(one), 1)) for one in values]
        if len(values[0]) == len(values[1]):
            signs[1] = signs[0]
        halves = [
            [null.moved(chosen) for chosen in of_halves(null.space, side, mean + sign * own, part)]
            for side, (mean, sign, own, part) in enumerate(zip(null.means(rng), signs, noise, first, strict=True))
        ]
        found[draw] = similarities(null.space, *halves)
    across, a, b = found[:, 1:].mean(0)
    return SameScores(
        indices=found[:, 0],
        ratio=float(across / np.sqrt(a * b)) if a * b > 0 else np.nan,
        p_value=rank_p(observed, found[:, 0], side="less"),
    )


class _SameMeans:
    """Both models have the same mean scores on matched edges, and these edges have the same classes."""

    def __init__(self, space: Edges | Classes, values: Sequence[np.ndarray]) -> None:
        edges = space if isinstance(space, Edges) else space.edges
        self.space = space
        self.pooled, self.spread = _pooled(edges, values, by_class=isinstance(space, Classes))
        if isinstance(space, Classes):
            theirs = space.codes[1].copy()
            theirs[edges.to] = space.codes[0][edges.at]
            self.space = Classes(edges, (space.codes[0], theirs))

    def means(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Mean scores of each model, with the ratio between the models drawn from its uncertainty."""
        drawn = np.clip(rng.normal(), -MOST_SPREAD, MOST_SPREAD)
        return [mean * np.exp(drawn * spread) for mean, spread in zip(self.pooled, self.spread, strict=True)]

    def moved(self, chosen: Chosen) -> Chosen:
        return chosen


class _SameOrder:
    """Both models have their edges in the same order of strength, each with its own magnitudes."""

    def __init__(self, same: _SameMeans, values: Sequence[np.ndarray]) -> None:
        self.space, self.own = same.space, []
        for common, known in zip(same.pooled, map(_mean, values), strict=True):
            sizes = np.abs(shrunk(*known))
            # Edges without an image that are noisy, not strong, certainly have a mean of zero.
            sizes[(common == 0) & (known[0] ** 2 <= STRONG**2 * known[1])] = 0
            ordered = np.zeros(len(common))
            ordered[np.argsort(-np.abs(common), kind="stable")] = -np.sort(-sizes)
            self.own.append(np.where(known[0] < 0, -ordered, ordered))

    def means(self, rng: np.random.Generator) -> list[np.ndarray]:
        return self.own

    def moved(self, chosen: Chosen) -> Chosen:
        return chosen


class _SameShares:
    """Each model has its own mean scores, less noise, and shares moved half-way to those of the other model."""

    def __init__(self, space: Classes, values: Sequence[np.ndarray]) -> None:
        self.space, self.own = space, [shrunk(*_mean(one)) for one in values]
        roots = [np.sqrt(space.of(side, mean[None])[1][0]) for side, mean in enumerate(self.own)]
        self.way = [(roots[1] - roots[0]) / 2, (roots[0] - roots[1]) / 2]

    def means(self, rng: np.random.Generator) -> list[np.ndarray]:
        return self.own

    def moved(self, chosen: Chosen) -> Chosen:
        side, shares = chosen
        roots = np.maximum(np.sqrt(shares) + self.way[side], 0)
        return side, roots**2 / np.maximum((roots**2).sum(1, keepdims=True), np.finfo(float).tiny)


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean scores and the variance of each, shape [edge]."""
    return values.mean(0), values.var(0, ddof=1) / len(values)


def _pooled(
    space: Edges, values: Sequence[np.ndarray], *, by_class: bool = False
) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Mean scores of each model if matched edges had the same up to a factor, shape [edge] each, and the uncertainty.

    The uncertainty is the standard error of the factor's logarithm, divided between the models by how much each model's
    own scores contribute to the pooled means.
    """
    known = [_mean(one) for one in values]
    matched = [space.at, space.to]
    both = [(mean[at], variance[at]) for (mean, variance), at in zip(known, matched, strict=True)]
    units = 1.0, _ratio(*both)
    error = _ratio_error([one[:, at] for one, at in zip(values, matched, strict=True)])
    scaled = [(mean / unit, variance / unit**2) for unit, (mean, variance) in zip(units, both, strict=True)]
    least = TINY * max((mean**2).max(initial=0) for mean, _ in scaled) + np.finfo(float).tiny
    weights = [1 / (variance + least) for _, variance in scaled]
    total = weights[0] + weights[1]
    mean = (weights[0] * scaled[0][0] + weights[1] * scaled[1][0]) / total
    common = shrunk(mean, (weights[0] ** 2 * scaled[0][1] + weights[1] ** 2 * scaled[1][1]) / total**2)
    strength = (common**2).sum()
    share = float((common**2 * weights[0] / total).sum() / strength) if strength else 0.5
    fill = _spread if by_class else _reassigned
    means = [fill(common * unit, at, *one) for unit, at, one in zip(units, matched, known, strict=True)]
    return means, (-error * (1 - share), error * share)


def _ratio_error(values: Sequence[np.ndarray]) -> float:
    """Standard error of the logarithm of the ratio of two models' scores, by a jackknife over groups of pairs."""
    n = min(GROUPS, *(len(one) // 2 for one in values))
    if n < 2:
        return 0.0
    parts = [np.arange(len(one)) * n // len(one) for one in values]
    found = [
        np.log(_ratio(*(_mean(one[part != group]) for one, part in zip(values, parts, strict=True))))
        for group in range(n)
    ]
    return float(min(np.sqrt((n - 1) * np.var(found)), 1.0))


def _ratio(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """The scores of b divided by those of a, from means and their variances, shape [edge] each.

    Squared means less what noise adds are summed. Edges with more noise in either model have less weight.
    """
    signals = [mean**2 - variance for mean, variance in (a, b)]
    sums = [one.sum() for one in signals]
    if min(sums) <= 0:
        # Where there is no signal beyond noise, the means themselves give the ratio.
        sums = [(mean**2).sum() for mean, _ in (a, b)]
        return float(np.sqrt(sums[1] / sums[0])) if min(sums) > 0 else 1.0
    square = sums[1] / sums[0]
    for _ in range(STEPS):
        weights = 1 / (a[1] + b[1] / square + sums[0] / len(a[0]))
        weighted = [(weights * one).sum() for one in signals]
        if min(weighted) <= 0:
            break
        square = weighted[1] / weighted[0]
    return float(np.sqrt(square))


def _reassigned(common: np.ndarray, at: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Means of all edges. The magnitudes of edges without an image go to matched ones, the largest to the strongest."""
    found, alone, own = _placed(common, at, mean, variance)
    if not len(alone):
        return found
    sizes = -np.sort(-np.abs(np.concatenate([common, own])))
    order = np.concatenate([at[np.argsort(-np.abs(common), kind="stable")], alone[np.argsort(-np.abs(own))]])
    signs = np.where(found != 0, np.sign(found), np.where(mean < 0, -1.0, 1.0))
    reassigned = np.zeros(len(mean))
    reassigned[order] = sizes
    return reassigned * signs


def _spread(common: np.ndarray, at: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Means of all edges. The magnitudes of edges without an image are spread over matched edges in proportion."""
    found, _, own = _placed(common, at, mean, variance)
    mass = np.abs(common).sum()
    return found * (1 + np.abs(own).sum() / mass) if mass else _reassigned(common, at, mean, variance)


def _placed(
    common: np.ndarray, at: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of matched edges among all edges; the edges without an image; their means less noise, 0 if not strong."""
    found, alone = np.zeros(len(mean)), np.ones(len(mean), dtype=bool)
    found[at], alone[at] = common, False
    own = np.where(mean**2 > STRONG**2 * variance, shrunk(mean, variance), 0)
    return found, np.flatnonzero(alone), own[alone]
