"""Where along an axis of scale a quantity first appears.

1. A quantity is there at a point if its mean over prompts and seeds lies above a threshold. Nothing assumes that the
   curve is monotone: it may dip below chance first, and an ability that was there may be lost again.
2. The onset is the interval between the last point without the quantity and the first with it.
3. The **true onset** is the first point of the grid whose expected value, over prompts and, where there are several
   training runs, over these, lies above the threshold. `_range` gives a 95% interval of it from one-sided tests at each
   point (`_one_sided`), 2.5% for either end:

   * The low end is the first point that is not significantly below the threshold. It comes too late only if the true
     onset itself tests below, which is one test.
   * The high end: that none of the first j points has the quantity is rejected if one of them lies above at
     2.5% / j. These hypotheses are nested, so they are tested from all points on downwards, each at the whole level,
     until one is not rejected (fixed sequence: Maurer, Hothorn and Lehmacher, 1995).

   Prompts may be the same at all points: the bound holds however the tests depend on each other. So it is wide: 99% of
   the intervals hold the true onset in simulated curves that pass near the threshold. A percentile bootstrap of the
   first crossing is about one point narrower there (48 prompts), and holds it in 40 to 99%.
4. The verdict is in words: a quantity is *emergent* (Wei et al., 2022, https://arxiv.org/abs/2206.07682) if it ends
   above the threshold and some point before the onset is near chance.

A quantity that is no mean of prompts, such as a ratio, has an interval at each point and no values:
`find_onset_of_intervals` reads these as normal ones, each side by its own standard error, and does the rest alike.

The test is the exact binomial one where one run's values are all 0 or 1, else Student's, with the variance over prompts
plus that over runs and Satterthwaite's degrees of freedom (1946, https://doi.org/10.2307/3002019). One run says nothing
about others, a single value nothing about its spread (its interval is the whole axis), and runs that agree exactly
count as certain: of a population in which two runs of five have an ability, three runs all have it in 6% of draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.stats.intervals import TAIL, Interval

Point = TypeVar("Point")
NEAR_CHANCE = 0.2
"""Near chance: at most this fraction of the way from chance to the ceiling."""


@dataclass(frozen=True)
class Scale:
    """What a quantity's values mean: chance or baseline, ceiling, and the threshold between absent and present."""

    chance: float
    ceiling: float

    @property
    def threshold(self) -> float:
        """Half-way from chance to the ceiling."""
        return (self.chance + self.ceiling) / 2

    @property
    def near_chance(self) -> float:
        return self.chance + NEAR_CHANCE * (self.ceiling - self.chance)


@dataclass(frozen=True)
class Onset(Generic[Point]):
    """The last point without a quantity and the first with it; None where there is no such point.

    `ci_low` and `ci_high` are the ends of the 95% interval of the first point with it, None where that may be never.
    """

    last_without: Point | None
    first_with: Point | None
    ci_low: Point | None
    ci_high: Point | None
    verdict: str


@checked
def find_onset(values: Mapping[Point, Sequence[np.ndarray]], scale: Scale) -> Onset[Point]:
    """The onset of a quantity along an axis, which may have holes: points that were not measured are left out.

    Args:
        values: for each point of the axis, in ascending order, the per-prompt values of each training run.
        scale: chance, ceiling and threshold of the quantity.

    Raises:
        InputError: no point, a point without values, or a value that is not finite.
    """
    points = list(values)
    if not points:
        raise InputError("an onset needs values at one point of the axis or more; none was given")
    for point in points:
        if not len(values[point]) or not all(len(run) and np.isfinite(run).all() for run in values[point]):
            raise InputError(f"point {point!r} has no values, or some that are not finite; leave it out as a hole")
    means = np.array([np.mean([run.mean() for run in values[point]]) for point in points])
    tests = {
        level: np.array([_one_sided(values[p], level) for p in points]).T
        for level in (scale.threshold, scale.near_chance)
    }
    return _found(points, means > scale.threshold, *tests[scale.threshold], near=tests[scale.near_chance][1])


@checked
def find_onset_of_intervals(values: Mapping[Point, Interval], scale: Scale) -> Onset[Point]:
    """The onset of a quantity that has a value with its 95% interval at each point, and no values of prompts.

    The interval of the onset held the true one in 96 to 100% of simulations of bootstrapped ratios (16 to 128 prompts,
    four curves that pass near the threshold).

    Args:
        values: for each point of the axis, in ascending order. Where it is undefined (not finite), as a share of a gap
            is where there is no gap, it counts as surely absent.
        scale: chance, ceiling and threshold of the quantity.

    Raises:
        InputError: no point.
    """
    points = list(values)
    if not points:
        raise InputError("an onset needs values at one point of the axis or more; none was given")
    present = np.array([values[point].value > scale.threshold for point in points])
    tests = {
        level: np.array([_from_interval(values[p], level) for p in points]).T
        for level in (scale.threshold, scale.near_chance)
    }
    return _found(points, present, *tests[scale.threshold], near=tests[scale.near_chance][1])


def surely_above(values: np.ndarray, level: float) -> bool:
    """Whether the expected value over prompts lies above a level: the one-sided test at 2.5%."""
    return _one_sided([values], level)[0] < TAIL


def _found(
    points: list[Point], present: np.ndarray, above: np.ndarray, below: np.ndarray, *, near: np.ndarray
) -> Onset[Point]:
    """The onset from where the quantity is there, and p-values of lying above and below threshold and near chance."""
    first = int(present.argmax()) if present.any() else len(points)
    low, high = (points[end] if end < len(points) else None for end in _range(above, below))
    return Onset(
        last_without=points[first - 1] if first > 0 else None,
        first_with=points[first] if first < len(points) else None,
        ci_low=low,
        ci_high=high,
        verdict=_verdict(first, len(points), above[-1], below[-1], near_chance=bool((near[:first] < TAIL).any())),
    )


def _from_interval(interval: Interval, threshold: float) -> tuple[float, float]:
    """P-values as of `_one_sided`, each side of the interval being 1.96 standard errors of a normal."""
    from scipy.special import ndtr, ndtri

    if not np.isfinite([interval.value, interval.low, interval.high]).all():
        return 1.0, 0.0
    sides = interval.value - interval.low, interval.high - interval.value
    distance = interval.value - threshold
    down, up = (max(side, np.finfo(float).tiny) / ndtri(1 - TAIL) for side in sides)
    return float(ndtr(-distance / down)), float(ndtr(distance / up))


def _one_sided(runs: Sequence[np.ndarray], threshold: float) -> tuple[float, float]:
    """P-values of the nulls that the expected value is at most the threshold, and that it lies above."""
    from scipy.special import bdtr, bdtrc, stdtr

    if len(runs) == 1 and 0 < threshold < 1 and np.isin(runs[0], (0, 1)).all():
        right, n = runs[0].sum(), len(runs[0])
        return float(bdtrc(right - 1, n, threshold)), float(bdtr(right, n, threshold))
    distance = float(np.mean([run.mean() for run in runs])) - threshold
    variance, freedom = _variance(runs)
    if np.isinf(variance):
        return 1.0, 1.0
    if variance == 0:
        return (0.0, 1.0) if distance > 0 else (1.0, 0.0)
    statistic = distance / np.sqrt(variance)
    return float(stdtr(freedom, -statistic)), float(stdtr(freedom, statistic))


def _variance(runs: Sequence[np.ndarray]) -> tuple[float, float]:
    """Variance of the mean over runs of their means over prompts, and its degrees of freedom.

    Runs may have been asked the same prompts. The two parts count what is left over twice, which errs to the safe side.
    """
    means, n = np.array([run.mean() for run in runs]), len(runs[0])
    if len(runs) == 1 and n == 1:
        return np.inf, 1.0
    over_runs = float(means.var(ddof=1)) / len(runs) if len(runs) > 1 else 0.0
    shared = n > 1 and all(len(run) == n for run in runs)
    over_prompts = float(np.mean(runs, axis=0).var(ddof=1)) / n if shared else 0.0
    total = over_runs + over_prompts
    if total == 0:
        return 0.0, 1.0
    return total, total**2 / (over_runs**2 / max(1, len(runs) - 1) + over_prompts**2 / max(1, n - 1))


def _range(above: np.ndarray, below: np.ndarray) -> tuple[int, int]:
    """Indices of the first point at the ends of its 95% interval; the number of points stands for never."""
    may_have = below > TAIL
    low = int(may_have.argmax()) if may_have.any() else len(below)
    high = len(above)
    while high > 0 and above[:high].min() <= TAIL / high:
        high -= 1
    # The first `high` points may all lack it; the next one is where it is at the latest.
    return low, high


def _verdict(first: int, n_points: int, above: float, below: float, *, near_chance: bool) -> str:
    if first == n_points:
        return "not reached"
    if below < TAIL:
        return "lost again"
    if above >= TAIL:
        return "undecided"
    if first == 0:
        return "from the start"
    return "emergent" if near_chance else "gradual"
