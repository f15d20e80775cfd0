"""Pairs of two models as they would be if both had the same mean scores and each its own noise: a null hypothesis.

The parts of `emergence.sameness.same_circuit` that say how little alike circuits of two models come out when nothing
differs but noise. A parametric correction does not tell: if each edge has a noise of its own in each model, loud edges
get into one circuit and not into the other, whatever the similarities within each model are.

1. `_pooled` gives each pair of matched edges one mean: that of both models, each in units of the root of its squared
   signal, weighted by their precisions. An edge without an image is zero in the other model for sure, so zero here too;
   its magnitude goes to the matched edges, the larger to the stronger ones, so that as many strong edges are left.
   How many times as large the scores of one model are is uncertain where noise is loud, and is drawn anew each time
   with the standard error of a jackknife: taken as known, 0.13 of tests on 20 pairs rejected at 0.05.
   For classes they go to matched edges in proportion (`_spread`): where one model had a second head of a class, its
   magnitudes went to weak edges of other classes, and the index was 0.56 if nothing differed, 0.81 as observed.
2. `_shrunk` takes from the squares of means what noise adds to them, in all exactly, and lets none fall below zero:
   means that hold the noise of a sample and are sampled again would be too far apart, and circuits too stable.
3. `SameScores` adds each pair's deviations from the mean of its own model, with a random sign for each pair (the wild
   bootstrap; Liu, 1988, https://doi.org/10.1214/aos/1176351062). It keeps the noise of every edge and how edges
   fluctuate together, and uses each pair once: a bootstrap sample has pairs twice, some of them in both halves.
4. Models can have the same strongest edges without having the same scores. So `_SameOrder` does it a second time with
   edges in the order of the pooled means, but with each model's own magnitudes, from the largest to the smallest.
5. Classes of edges can have the same shares of score mass where edges differ. So `_SameShares` does it a third time for
   them: each model keeps its own means, less noise as in step 2, and the square roots of its shares are moved from
   where they are without noise to half-way between both models. For classes step 4 is left out where circuits have
   unequal sizes, as with so many strong edges each the shares of one order differ by design. Other magnitudes in the
   same order are then a difference: roots of them were in 0 to 20 of 30 cases, 0 to 15 with that step.

The p-value is the share of draws with as low an index across halves as that observed, the observed one included, and
the largest over these hypotheses. The draws shown are those of the first that is not rejected at 0.05, for classes the
shares, or of that with the largest p-value. The splits are the same in all. Cost: 4 · splits · draws selections of
edges a hypothesis.
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
from interp_emerge.stats.intervals import Interval
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.significance import SIGNIFICANT

SPLITS = 10
"""Splits into halves of each draw."""
TINY = 1e-12
"""Of the largest squared mean: the least variance of a mean, so that scores without noise are weighted alike."""

SURE = 4
"""Standard errors beyond which an edge without an image counts as strong, rather than loud."""
STEPS, GROUPS, MOST_SPREAD = 10, 10, 3.0
"""Of the search for the units of two models; groups of pairs that tell how sure these are; standard errors drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SameScores:
    """How alike circuits of halves are across two models if nothing differs.

    `indices` are those across of each draw of the hypothesis shown, shape [draw]; `ratio` is the mean overlap across
    over √(within a · within b) of the draws of the first, below 1 where the noise of two models favours different
    edges; `p_value` the share of draws with as low an index as that observed, the largest over hypotheses.
    """

    indices: np.ndarray
    ratio: float
    p_value: float

    def corrected(self, ratio: Interval) -> Interval:
        """A ratio as observed over that of the draws."""
        return Interval(*(end / self.ratio if self.ratio else np.nan for end in (ratio.value, ratio.low, ratio.high)))


def same_scores(
    space: Edges | Classes, values: Sequence[np.ndarray], draws: int, seed: int, *, one_size: bool = True
) -> SameScores:
    """What values of the pairs of two models, shape [pair, edge], would give if nothing differed.

    Of the hypotheses that say so the one with the largest p-value counts; the ratio is that of the first, which for
    edges is that of the same means and for classes that of the same shares. Classes of circuits that are not of
    `one_size` are not held against the same order.
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


def _drawn(
    null: "_SameMeans | _SameOrder | _SameShares", values: Sequence[np.ndarray], first: list[np.ndarray],
    observed: float, draws: int, rng: np.random.Generator,
) -> SameScores:  # fmt: skip
    noise = [(one - one.mean(0)) * np.sqrt(len(one) / (len(one) - 1)) for one in values]
    found = np.empty((draws, 4))
    for draw in tqdm(range(draws), desc="draws if nothing differs", delay=2, leave=False):
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
    """Both models with the same mean scores on edges that match, and with the same classes of these edges."""

    def __init__(self, space: Edges | Classes, values: Sequence[np.ndarray]) -> None:
        edges = space if isinstance(space, Edges) else space.edges
        self.space = space
        self.pooled, self.spread = _pooled(edges, values, by_class=isinstance(space, Classes))
        if isinstance(space, Classes):
            theirs = space.codes[1].copy()
            theirs[edges.to] = space.codes[0][edges.at]
            self.space = Classes(edges, (space.codes[0], theirs))

    def means(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Mean scores of each model, in units that are drawn as far as they are uncertain."""
        drawn = np.clip(rng.normal(), -MOST_SPREAD, MOST_SPREAD)
        return [mean * np.exp(drawn * spread) for mean, spread in zip(self.pooled, self.spread, strict=True)]

    def moved(self, chosen: Chosen) -> Chosen:
        return chosen


class _SameOrder:
    """Both models with their edges in the same order of strength, each with magnitudes of its own."""

    def __init__(self, same: _SameMeans, values: Sequence[np.ndarray]) -> None:
        self.space, self.own = same.space, []
        for common, known in zip(same.pooled, map(_mean, values), strict=True):
            sizes = np.abs(_shrunk(*known))
            # What is zero for sure takes no part: it has no image, and is loud rather than strong.
            sizes[(common == 0) & (known[0] ** 2 <= SURE**2 * known[1])] = 0
            dealt = np.zeros(len(common))
            dealt[np.argsort(-np.abs(common), kind="stable")] = -np.sort(-sizes)
            self.own.append(np.where(known[0] < 0, -dealt, dealt))

    def means(self, rng: np.random.Generator) -> list[np.ndarray]:
        return self.own

    def moved(self, chosen: Chosen) -> Chosen:
        return chosen


class _SameShares:
    """Each model with its own mean scores, less noise, and shares moved half-way to those of the other."""

    def __init__(self, space: Classes, values: Sequence[np.ndarray]) -> None:
        self.space, self.own = space, [_shrunk(*_mean(one)) for one in values]
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
    """Mean scores of each model if matched edges had the same up to a factor, shape [edge] each, and what is uncertain.

    That is the logarithm of the factor: its standard error, less the part that each model's own scores settle.
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
    common = _shrunk(mean, (weights[0] ** 2 * scaled[0][1] + weights[1] ** 2 * scaled[1][1]) / total**2)
    strength = (common**2).sum()
    share = float((common**2 * weights[0] / total).sum() / strength) if strength else 0.5
    fill = _spread if by_class else _dealt
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
    """How many times as large the scores of b are, from means and their variances, shape [edge] each.

    Squares less what noise adds, weighed the less the louder an edge is in either model: a loud edge says little.
    """
    signals = [mean**2 - variance for mean, variance in (a, b)]
    sums = [one.sum() for one in signals]
    if min(sums) <= 0:
        # Where noise is all there is, its own size is the unit.
        sums = [(mean**2).sum() for mean, _ in (a, b)]
        return float(np.sqrt(sums[1] / sums[0])) if min(sums) > 0 else 1.0
    square = sums[1] / sums[0]
    for _ in range(STEPS):
        weights = 1 / (a[1] + b[1] / square + sums[0] / len(a[0]))
        weighed = [(weights * one).sum() for one in signals]
        if min(weighed) <= 0:
            break
        square = weighed[1] / weighed[0]
    return float(np.sqrt(square))


def _dealt(common: np.ndarray, at: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Means of all edges: the magnitudes of matched ones and of those without an image, the largest on matched ones."""
    found, alone, own = _placed(common, at, mean, variance)
    if not len(alone):
        return found
    sizes = -np.sort(-np.abs(np.concatenate([common, own])))
    order = np.concatenate([at[np.argsort(-np.abs(common), kind="stable")], alone[np.argsort(-np.abs(own))]])
    signs = np.where(found != 0, np.sign(found), np.where(mean < 0, -1.0, 1.0))
    dealt = np.zeros(len(mean))
    dealt[order] = sizes
    return dealt * signs


def _spread(common: np.ndarray, at: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Means of all edges: those of matched ones, larger by what the magnitudes of those without an image add up to."""
    found, _, own = _placed(common, at, mean, variance)
    mass = np.abs(common).sum()
    return found * (1 + np.abs(own).sum() / mass) if mass else _dealt(common, at, mean, variance)


def _placed(
    common: np.ndarray, at: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of matched edges among all, which edges have no image, and the means of these, less noise, where sure."""
    found, alone = np.zeros(len(mean)), np.ones(len(mean), dtype=bool)
    found[at], alone[at] = common, False
    own = np.where(mean**2 > SURE**2 * variance, _shrunk(mean, variance), 0)
    return found, np.flatnonzero(alone), own[alone]


def _shrunk(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Means whose squares add up to those given less their variances, shape [edge].

    Each square loses its variance times one factor, of 1 or more, and is zero where that would take it below.
    """
    squares = mean**2
    signal = (squares - variance).sum()
    if signal <= 0:
        return np.zeros(len(mean))
    noisy = variance > 0
    # Squares are zero from their own ratio of square to variance on: the sum is linear in the factor between ratios.
    ratios = squares[noisy] / variance[noisy]
    order = np.argsort(-ratios)
    kept, lost = np.cumsum(squares[noisy][order]), np.cumsum(variance[noisy][order])
    fixed = squares[~noisy].sum()
    factors = (kept + fixed - signal) / np.maximum(lost, np.finfo(float).tiny)
    inside = ratios[order] > factors
    factor = factors[np.flatnonzero(inside)[-1]] if inside.any() else 0.0
    return np.sign(mean) * np.sqrt(np.maximum(squares - max(factor, 0.0) * variance, 0))
