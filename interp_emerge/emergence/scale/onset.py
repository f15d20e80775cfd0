"""Where along an axis of scale a quantity first appears.

1. A quantity is present at a point if its mean over prompts and seeds lies above a threshold. The curve need not be
   monotone: it may dip below chance first, and an ability may be lost again.
2. The onset is the interval between the last point without the quantity and the first point with it.
3. The **true onset** is the first point of the grid whose expected value lies above the threshold. The expectation is
   over prompts and, where there are several training runs, over runs. `_range` computes the 95% interval of the true
   onset from one-sided tests at each point, with an error of 2.5% at each end:

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

The tests are those of `stats.one_sided`. With one run the differences between runs are unknown, and the interval leaves
them out. Where runs of one point disagree, some certainly above the threshold and some certainly below, a few runs that
agree at another point may do so by chance: if half of all runs acquire an ability, three runs all acquire it in 12% of
cases. Then a point must also pass the test of `_shares_of_runs`, and likewise where a point has just two runs. It
counts the runs above the threshold, and assumes that the share of runs which have the quantity does not fall from point
to point. Six runs that agree pass. A point with a single run needs no such test: what is said of it is about this run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import TAIL, Interval
from interp_emerge.stats.one_sided import one_sided
from interp_emerge.stats.ranks import rank_p

Point = TypeVar("Point")
FEW_RUNS = 2
"""Number of training runs that agree too easily by chance to show that all runs would."""
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
class Criterion(Record):
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
class Onset(Record, Generic[Point]):
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

    Example:
        >>> values = {size: [np.full(40, mean)] for size, mean in {1: 0.0, 2: 0.1, 4: 0.9, 8: 1.0}.items()}
        >>> onset = ie.emergence.scale.find_onset(values, ie.emergence.scale.Criterion(chance=0.0, ceiling=1.0))
        >>> onset.first_with, str(onset.verdict)
        (4, 'emergent')

    Args:
        values: for each point of the axis, in ascending order, the per-prompt values of each training run. Leave out
            points that were not measured.
        criterion: chance level, ceiling and threshold of the quantity.

    Raises:
        InputError: there is no point, a point has no values, a value is not finite, or the ceiling is not above chance.
    """
    points = _points_of(values, criterion)
    for point in points:
        if not len(values[point]) or not all(len(run) and np.isfinite(run).all() for run in values[point]):
            raise InputError(f"point {point!r} has no values, or values that are not finite; leave the point out")
    means = np.array([np.mean([run.mean() for run in values[point]]) for point in points])
    tests = _Tests.of(points, criterion, lambda point, level: one_sided(values[point], level))
    apart = [point for point in points if runs_disagree(values[point], criterion.threshold)]
    if apart or any(len(values[point]) == FEW_RUNS for point in points):
        above = [sum(run.mean() > criterion.threshold for run in values[point]) for point in points]
        runs = np.array([len(values[point]) for point in points])
        tests = tests.of_runs(*_shares_of_runs(np.array(above), runs), several=runs > 1, disagree=bool(apart))
    found = _found(points, means, criterion, tests)
    if not apart or found.verdict != OnsetVerdict.UNDECIDED:
        return found
    return replace(found, reason=f"{found.reason}; training runs disagree at {apart[0]}, so it takes more of them")


@checked
def find_onset_of_intervals(values: Mapping[Point, Interval], criterion: Criterion) -> Onset[Point]:
    """The onset of a quantity that has a value with its 95% interval at each point, but no values of single prompts.

    The coverage of the interval is in docs/calibration.md.

    Example:
        >>> small, large = ie.stats.Interval(0.1, 0.0, 0.2), ie.stats.Interval(0.9, 0.8, 1.0)
        >>> present = ie.emergence.scale.Criterion(chance=0.0, ceiling=1.0)
        >>> ie.emergence.scale.find_onset_of_intervals({1: small, 2: large}, present).first_with

    Args:
        values: the interval at each point of the axis, in ascending order. Where its value is undefined
            (not finite), the quantity counts as certainly absent. An example is a fraction of a gap where there is no
            gap. A value whose ends are undefined decides nothing.
        criterion: chance level, ceiling and threshold of the quantity.

    Raises:
        InputError: there is no point, or the ceiling is not above chance.
    """
    points = _points_of(values, criterion)
    means = np.array([values[point].value for point in points])
    tests = _Tests.of(points, criterion, lambda point, level: _from_interval(values[point], level))
    return _found(points, means, criterion, tests)


def _points_of(values: Mapping[Point, Any], criterion: Criterion) -> list[Point]:
    if not np.isfinite([criterion.chance, criterion.ceiling]).all() or not criterion.ceiling > criterion.chance:
        raise InputError(f"a criterion cannot have chance {criterion.chance:g} and ceiling {criterion.ceiling:g}; give "
                         "two finite numbers, the ceiling above chance")  # fmt: skip
    if not values:
        raise InputError("an onset needs at least one point with values; none was given")
    return list(values)


def surely_above(values: np.ndarray, level: float) -> bool:
    """Whether the expected value over prompts lies above a level, by the one-sided test at 2.5%."""
    return one_sided([values], level)[0] < TAIL


def runs_disagree(runs: Sequence[np.ndarray], threshold: float) -> bool:
    """Whether some training runs of a point certainly lie above a threshold, and others certainly below it."""
    if len(runs) < 2:
        return False
    above, below = np.array([one_sided([run], threshold) for run in runs]).T
    return bool((above <= TAIL).any() and (below <= TAIL).any())


def _found(points: list[Point], means: np.ndarray, criterion: Criterion, tests: "_Tests") -> Onset[Point]:
    """The onset, from the mean at each point and the tests at each point."""
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

    def of_runs(self, above: np.ndarray, below: np.ndarray, *, several: np.ndarray, disagree: bool) -> "_Tests":
        """The tests, without those of points with several runs where the share of runs is not certain too.

        Args:
            above: p-value at each point that at most half of the runs have the quantity, shape [point].
            below: p-value that at least half have it.
            several: whether the point has several runs, shape [point]. What is said of a single run is about that run.
            disagree: whether runs of one point disagree; if so, the mean is near chance only where few runs have it.
        """
        many, few = (above <= TAIL) | ~several, (below <= TAIL) | ~several
        return _Tests(
            above=np.where(many, self.above, 1),
            below=np.where(few, self.below, 1),
            above_near=np.where(many | (not disagree), self.above_near, 1),
            near=np.where(few | (not disagree), self.near, 1),
        )


def _from_interval(interval: Interval, threshold: float) -> tuple[float, float]:
    """P-values as in `one_sided`, for a normal distribution: each side of the interval has 1.96 standard errors."""
    from scipy.special import ndtr, ndtri

    if not np.isfinite(interval.value):
        return 1.0, 0.0
    if not np.isfinite([interval.low, interval.high]).all():
        return 1.0, 1.0
    sides = interval.value - interval.low, interval.high - interval.value
    distance = interval.value - threshold
    down, up = (max(side, np.finfo(float).tiny) / ndtri(1 - TAIL) for side in sides)
    return float(ndtr(-distance / down)), float(ndtr(distance / up))


def _shares_of_runs(above: np.ndarray, runs: np.ndarray, *, draws: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """P-values at each point, shape [point] each: that at most half of the runs have the quantity, and at least half.

    The share of runs that have it is taken not to fall from point to point. So if it is at most half at a point, it is
    so at the points before, and runs are counted over any stretch of points that ends there. The statistic is the
    largest log-likelihood ratio of the counted share to one half over these stretches. Its null distribution is drawn.

    Args:
        above: number of runs above the threshold at each point, shape [point].
        runs: number of runs at each point, shape [point].
        draws: number of draws of the null distribution.
    """
    drawn = np.random.default_rng(0).binomial(runs, 0.5, (draws, len(runs)))
    p_above, p_below = np.ones((2, len(runs)))
    for at in range(len(runs)):
        before, after = slice(at, None, -1), slice(at, None)
        p_above[at] = _rank_of_most(above[before], drawn[:, before], runs[before])
        p_below[at] = _rank_of_most((runs - above)[after], (runs - drawn)[:, after], runs[after])
    return p_above, p_below


def _rank_of_most(counted: np.ndarray, drawn: np.ndarray, runs: np.ndarray) -> float:
    """P-value of the largest log-likelihood ratio of a share above one half, over stretches from the first point on.

    Args:
        counted: number of runs that count at each point, shape [point].
        drawn: the same in draws of the null distribution, shape [draw, point].
        runs: number of runs at each point, shape [point].
    """
    from scipy.special import rel_entr

    of = runs.cumsum()
    share = np.maximum(np.vstack([counted, drawn]).cumsum(1) / of, 0.5)
    most = (of * (rel_entr(share, 0.5) + rel_entr(1 - share, 0.5))).max(1)
    return rank_p(float(most[0]), most[1:])


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
    return f"{said}; at {points[at]} about {times:.0f} times as many prompts, or more training runs, may show it"
