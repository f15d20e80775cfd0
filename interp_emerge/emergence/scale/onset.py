"""Where along an axis of scale a quantity first appears.

1. A quantity is present at a point if its mean over prompts and seeds lies above a threshold. The curve need not be
   monotone: it may dip below chance first, and an ability may be lost again.
2. The onset is the interval between the last point without the quantity and the first point with it.
3. The **true onset** is the first point of the grid whose expected value lies above the threshold. The expectation is
   over prompts and, where there are several training runs, over runs. `_range` computes the 95% interval of the true
   onset from one-sided tests at each point (`_one_sided`), with an error of 2.5% at each end:

   * The low end is the first point that is not significantly below the threshold. The low end is too late only if the
     test at the true onset wrongly rejects. That is a single test, so its level of 2.5% needs no correction.
   * The high end comes from the hypotheses that none of the first j points has the quantity. Such a hypothesis is
     rejected if one of these points lies above the threshold at level 2.5% / j. The hypotheses are nested, so they are
     tested in turn, starting with all points, each at the full level, until one is not rejected (fixed sequence:
     Maurer, Hothorn and Lehmacher, 1995).

   The prompts may be the same at all points, since the error of 2.5% holds however the tests depend on each other. The
   price is a wide interval (measured coverage: docs/calibration.md).
4. `_verdict` returns an `OnsetVerdict`, from the same tests. A quantity is *emergent* (Wei et al., 2022,
   https://arxiv.org/abs/2206.07682) if it is certainly above the threshold at the last point and certainly near chance
   at some point before the onset. It is *gradual* if all points before the onset are certainly above near-chance. Where
   the tests leave both open, the verdict says so, and `reason` says how many more prompts would decide. Every claim of
   a verdict that could rest on any of several points is tested at 2.5% divided by their number.

A quantity that is not a mean over prompts, such as a ratio, has an interval at each point instead of values.
`find_onset_of_intervals` assumes that it is normally distributed, with one standard error below the value and another
one above it. The other steps are the same.

If there is one run and its values are all 0 or 1, the test is the exact binomial test. Otherwise it is Student's t-test
with the variance over prompts plus the variance over runs, and Satterthwaite's degrees of freedom (1946,
https://doi.org/10.2307/3002019). With one run the differences between runs are unknown, and the interval leaves them
out. The spread of a single value is unknown, so a point with one value decides nothing. If all values of several runs
agree exactly, the mean counts as certain. This can mislead: if two of five training runs acquire an ability, three
independent runs all acquire it in 6% of cases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.stats.intervals import TAIL, Interval

Point = TypeVar("Point")
POWER = 0.8
"""Probability with which the number of prompts that is named would decide, if the means stay as they are."""
NEAR_CHANCE = 0.2
"""A value is near chance if it has covered at most this fraction of the way from chance to the ceiling."""


class OnsetVerdict(StrEnum):
    """What the curve of a quantity says about its onset."""

    EMERGENT = "emergent"
    """Certainly present at the last point, and certainly near chance at a point before the onset."""
    GRADUAL = "gradual"
    """Certainly present at the last point, and all points before the onset are certainly above near-chance."""
    EMERGENT_OR_GRADUAL = "emergent or gradual"
    """Certainly present at the last point and absent at an earlier one; whether near chance there is within noise."""
    LEARNED = "learned"
    """One of these three over training steps, where they are not distinguished: every model starts untrained."""
    FROM_THE_START = "from the start"
    """Certainly present at the first point and at the last, and above the threshold in between."""
    COMES_AND_GOES = "comes and goes"
    """Certainly present at some point, certainly absent at a later one, and certainly present at the last."""
    NOT_REACHED = "not reached"
    """Above the threshold at no point."""
    LOST_AGAIN = "lost again"
    """Certainly present at some point, and certainly absent at the last."""
    UNDECIDED = "undecided"
    """Above the threshold at some point, but noise leaves open what happens there or later; the reason says where."""

    @property
    def over_steps(self) -> "OnsetVerdict":
        """The verdict to use over training steps: `learned` replaces `emergent`, `gradual`, and either of the two."""
        learned = (OnsetVerdict.EMERGENT, OnsetVerdict.GRADUAL, OnsetVerdict.EMERGENT_OR_GRADUAL)
        return OnsetVerdict.LEARNED if self in learned else self


@dataclass(frozen=True)
class Criterion:
    """When a quantity counts as present: above a threshold between its chance level (or baseline) and its ceiling."""

    chance: float
    ceiling: float

    @property
    def threshold(self) -> float:
        """Half-way from chance to the ceiling."""
        return (self.chance + self.ceiling) / 2

    @property
    def near_chance(self) -> float:
        """The highest value that counts as near chance."""
        return self.chance + NEAR_CHANCE * (self.ceiling - self.chance)


@dataclass(frozen=True)
class Onset(Generic[Point]):
    """The last point without a quantity and the first point with it; None where there is no such point.

    `ci_low` and `ci_high` are the ends of the 95% interval of the true onset. `ci_high` is None if the quantity is
    certain at no point. `ci_low` is None if it is certainly absent at all points. `reason` says what noise leaves open;
    it is empty otherwise.
    """

    last_without: Point | None
    first_with: Point | None
    ci_low: Point | None
    ci_high: Point | None
    verdict: OnsetVerdict
    reason: str = ""


@checked
def find_onset(values: Mapping[Point, Sequence[np.ndarray]], criterion: Criterion) -> Onset[Point]:
    """The onset of a quantity along an axis.

    Args:
        values: for each point of the axis, in ascending order, the per-prompt values of each training run. Leave out
            points that were not measured.
        criterion: chance level, ceiling and threshold of the quantity.

    Raises:
        InputError: there is no point, a point has no values, or a value is not finite.
    """
    points = list(values)
    if not points:
        raise InputError("an onset needs at least one point with values; none was given")
    for point in points:
        if not len(values[point]) or not all(len(run) and np.isfinite(run).all() for run in values[point]):
            raise InputError(f"point {point!r} has no values, or values that are not finite; leave the point out")
    means = np.array([np.mean([run.mean() for run in values[point]]) for point in points])
    return _found(points, means, criterion, lambda point, level: _one_sided(values[point], level))


@checked
def find_onset_of_intervals(values: Mapping[Point, Interval], criterion: Criterion) -> Onset[Point]:
    """The onset of a quantity that has a value with its 95% interval at each point, but no values of single prompts.

    The coverage of the interval is in docs/calibration.md.

    Args:
        values: the interval at each point of the axis, in ascending order. Where it is undefined (not finite), the
            quantity counts as certainly absent. An example is a fraction of a gap where there is no gap.
        criterion: chance level, ceiling and threshold of the quantity.

    Raises:
        InputError: there is no point.
    """
    points = list(values)
    if not points:
        raise InputError("an onset needs at least one point with values; none was given")
    means = np.array([values[point].value for point in points])
    return _found(points, means, criterion, lambda point, level: _from_interval(values[point], level))


def surely_above(values: np.ndarray, level: float) -> bool:
    """Whether the expected value over prompts lies above a level, by the one-sided test at 2.5%."""
    return _one_sided([values], level)[0] < TAIL


def _found(
    points: list[Point],
    means: np.ndarray,
    criterion: Criterion,
    test: Callable[[Point, float], tuple[float, float]],
) -> Onset[Point]:
    """The onset, from the mean at each point and a test of a point against a level, as `_one_sided` is."""
    tests = _Tests.of(points, criterion, test)
    present = means > criterion.threshold
    first = int(present.argmax()) if present.any() else len(points)
    low, high = (points[index] if index < len(points) else None for index in _range(tests.above, tests.below))
    verdict, reason = _verdict(points, present, tests, criterion)
    return Onset(
        last_without=points[first - 1] if first > 0 else None,
        first_with=points[first] if first < len(points) else None,
        ci_low=low,
        ci_high=high,
        verdict=verdict,
        reason=reason,
    )


@dataclass(frozen=True, kw_only=True)
class _Tests:
    """P-values of one-sided tests at each point, shape [point] each; a small one makes the name of the field certain.

    `above` and `below` compare the expected value with the threshold, `above_near` and `near` with the highest level
    that counts as near chance.
    """

    above: np.ndarray
    below: np.ndarray
    above_near: np.ndarray
    near: np.ndarray

    @classmethod
    def of(cls, points: list, criterion: Criterion, test: Callable[..., tuple[float, float]]) -> "_Tests":
        above, below = np.array([test(point, criterion.threshold) for point in points]).T
        above_near, near = np.array([test(point, criterion.near_chance) for point in points]).T
        return cls(above=above, below=below, above_near=above_near, near=near)


def _from_interval(interval: Interval, threshold: float) -> tuple[float, float]:
    """P-values as in `_one_sided`, for a normal distribution: each side of the interval has 1.96 standard errors."""
    from scipy.special import ndtr, ndtri

    if not np.isfinite([interval.value, interval.low, interval.high]).all():
        return 1.0, 0.0
    sides = interval.value - interval.low, interval.high - interval.value
    distance = interval.value - threshold
    down, up = (max(side, np.finfo(float).tiny) / ndtri(1 - TAIL) for side in sides)
    return float(ndtr(-distance / down)), float(ndtr(distance / up))


def _one_sided(runs: Sequence[np.ndarray], threshold: float) -> tuple[float, float]:
    """Two p-values: of the null that the expected value is at most the threshold, and of the null that it is above."""
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

    If the runs answered the same prompts, both parts contain the residual variance. The sum is then too large rather
    than too small.
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
    """Indices of the ends of the 95% interval of the true onset; an index equal to the number of points means never."""
    may_have = below > TAIL
    low = int(may_have.argmax()) if may_have.any() else len(below)
    high = len(above)
    while high > 0 and above[:high].min() <= TAIL / high:
        high -= 1
    # The first `high` points may all lack the quantity; the next point is the latest possible onset.
    return low, high


def _verdict(points: list, present: np.ndarray, tests: _Tests, criterion: Criterion) -> tuple[OnsetVerdict, str]:
    """The verdict, and what noise leaves open; `present` is whether each mean lies above the threshold."""
    if not present.any():
        return OnsetVerdict.NOT_REACHED, ""
    n, first = len(points), int(present.argmax())
    surely, surely_not = (np.flatnonzero(p <= TAIL / n) for p in (tests.above, tests.below))
    if tests.below[-1] <= TAIL:
        if len(surely):
            return OnsetVerdict.LOST_AGAIN, ""
        return OnsetVerdict.UNDECIDED, f"it is above the threshold at {points[first]}, but within noise"
    if tests.above[-1] > TAIL:
        return OnsetVerdict.UNDECIDED, "at the last point it is within noise of the threshold"
    if len(surely) and (surely_not > surely[0]).any():
        return OnsetVerdict.COMES_AND_GOES, ""
    if not present[first:].all():
        dip = first + int(present[first:].argmin())
        return OnsetVerdict.UNDECIDED, f"at {points[dip]} it is below the threshold again, but within noise"
    if first == 0:
        if tests.above[0] <= TAIL:
            return OnsetVerdict.FROM_THE_START, ""
        return OnsetVerdict.UNDECIDED, "at the first point it is within noise of the threshold"
    if (tests.near[:first] <= TAIL / first).any():
        return OnsetVerdict.EMERGENT, ""
    if (tests.above_near[:first] <= TAIL).all():
        return OnsetVerdict.GRADUAL, ""
    return OnsetVerdict.EMERGENT_OR_GRADUAL, _open_before(points, tests.near[:first], criterion)


def _open_before(points: list, near: np.ndarray, criterion: Criterion) -> str:
    """What is open about the points before the onset, and about how many more prompts would decide it."""
    from scipy.special import ndtri

    at = int(near.argmin())
    said = f"no point before the onset is certainly near chance (at most {criterion.near_chance:.2g})"
    distance = -float(ndtri(near[at]))
    if distance <= 0:
        return said
    needed = -ndtri(TAIL / len(near)) - ndtri(1 - POWER)
    times = max(2.0, np.ceil((needed / distance) ** 2))
    return f"{said}; at {points[at]} about {times:.0f} times as many prompts may show it"
