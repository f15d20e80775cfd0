"""How one metric rises along an axis of scale: in one gap, late, evenly, or not at all.

1. The *rise* is the largest increase from an earlier point to a later one. A gap between neighbouring points contains a
   *share* s of the rise and covers a fraction w of the axis. Its *concentration* is (s − w) / (1 − w): 0 for a curve
   that rises in proportion to scale, 1 for one that rises in this gap alone. Points need not be evenly spaced.
2. A curve is *sharp* if the concentration of its steepest gap is certainly above 0.5, and *steep* if this holds for its
   steepest two neighbouring gaps together: a point that happens to lie inside a jump divides it between two gaps. It is
   *late* if it is certainly near chance from the start over at least three tenths of the axis, and the concentration of
   what comes after is certainly above 0.5. It is *spread* if it is none of these. It is *small* if no step covers a
   fifth of the way from chance to the ceiling, and *flat* if in addition the rise is within noise.
3. Where a curve may be two of these, it is *undecided*. So it is with fewer than 5 points or 20 prompts. A jump in the
   first gap is undecided unless the curve starts at a floor, because the curve may have risen before. A jump in the
   last gap that does not reach the ceiling may go on after it; then the curve is late, or undecided.

Near chance is at most a fifth of the way from chance to the ceiling, as in `onset`, by the tests of `stats.one_sided`
at 2.5%. Concentrations and steps are compared in the central 95% of bootstrap samples of prompts and seeds.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.record import Record
from interp_emerge.emergence.scale.axes import Axis
from interp_emerge.emergence.scale.ladder import RUNGS, Ladder
from interp_emerge.emergence.scale.onset import NEAR_CHANCE
from interp_emerge.stats.intervals import TAIL, Interval, percentile_interval
from interp_emerge.stats.one_sided import one_sided
from interp_emerge.stats.resampling import RESAMPLES

CONCENTRATED = 0.5
"""A rise counts as a jump if its concentration is above this."""
LATE_FROM = 0.3
"""A rise counts as late if the curve is near chance from the start over at least this fraction of the axis."""
SMALL = NEAR_CHANCE
"""A step of at most this fraction of the way from chance to the ceiling is not a jump."""
SIGNAL = 4.0
"""A smaller rise, in standard errors, is within noise. If 12 points have equal means, the rise exceeds 3 in 6% of cases
and 4 in 0.2%."""
FEWEST_POINTS, FEWEST_PROMPTS = 5, 20
AT_BOUND = 0.1
"""A point is at chance, or at the ceiling, if it is within this fraction of the way from chance to the ceiling."""


class RiseShape(StrEnum):
    """How one metric rises along an axis of scale."""

    SHARP = "sharp"
    """Most of the rise lies in one gap between neighbouring points."""
    LATE = "late"
    """It stays near chance over the first three tenths of the axis or more, and most of its rise comes after."""
    STEEP = "steep"
    """Most of the rise lies in two neighbouring gaps."""
    SPREAD = "spread"
    """Neither one gap nor two neighbouring ones contain most of the rise."""
    SMALL = "small"
    """No step covers a fifth of the way from chance to the ceiling."""
    FLAT = "flat"
    """The rise is within noise, and no step covers a fifth of the way from chance to the ceiling."""
    UNDECIDED = "undecided"
    """The shape cannot be determined; `MetricShape.reason` says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One metric over an axis of scale, with its bootstrap samples."""

    metric: str
    kind: str
    axis: Axis
    points: tuple[str, ...]
    places: np.ndarray
    """Where the points lie, in the axis's unit, shape [point]."""
    runs: tuple[tuple[np.ndarray, ...], ...]
    """The metric for each prompt, shape [prompt], of each training run of each point."""
    means: np.ndarray
    """The metric at each point, shape [point]."""
    drawn: np.ndarray
    """The metric at each point in bootstrap samples of prompts and seeds, shape [resample, point]."""
    chance: float
    ceiling: float
    floored: bool = False
    """Whether chance is the metric's floor, so that a curve that starts there did not rise before."""

    @property
    def widths(self) -> np.ndarray:
        """The fraction of the axis that each gap covers, shape [gap]."""
        gaps = np.diff(self.axis.coordinate(self.places))
        return gaps / gaps.sum() if len(gaps) else gaps

    @property
    def n_pairs(self) -> int:
        """The smallest number of prompts of any training run."""
        return min(len(run) for runs in self.runs for run in runs)

    @property
    def resolution(self) -> float:
        """The smallest possible change of the metric: 1/N for N prompts if it has a threshold, else 0."""
        return 1 / self.n_pairs if self.kind == "thresholded" else 0.0

    @property
    def way(self) -> float:
        """The distance from chance to the ceiling; NaN if one of them is infinite."""
        way = self.ceiling - self.chance
        return way if np.isfinite(way) else np.nan


@dataclass(frozen=True, kw_only=True)
class MetricShape(Record):
    """How one metric rises along an axis of scale."""

    metric: str
    kind: str
    shape: RiseShape
    reason: str
    """Why the shape is undecided; empty otherwise."""
    rise: Interval
    """The rise in the metric's unit."""
    signal: float
    """The rise in standard errors."""
    share: Interval
    """The fraction of the rise that lies in the steepest gap."""
    concentration: Interval
    """The concentration of the rise in the steepest gap."""
    pair_concentration: Interval
    """The concentration of the rise in the steepest two neighbouring gaps."""
    largest: Interval
    """The largest step between neighbours as a fraction of the way from chance to ceiling; NaN without a ceiling."""
    width: float
    """The fraction of the axis that the steepest gap covers."""
    before: str
    after: str
    """The points before and after the steepest gap."""
    apart: str
    """The distance between these points, in words."""
    near_chance: float
    """The fraction of the axis, from the first point on, over which the metric is certainly near chance."""
    gap: int
    """Number of the steepest gap, from 0."""
    pair: int
    """Number of the first of the steepest two neighbouring gaps."""
    late: tuple[int, ...]
    """Numbers of the points near chance after which most of the rise certainly comes, from the last one on."""


@checked
def jump_shape(ladder: Ladder, metric: str, *, seed: int = 0, resamples: int = RESAMPLES) -> MetricShape:
    """How one metric of a ladder rises.

    Example:
        >>> ie.emergence.scale.jump_shape(ladder, "accuracy", resamples=100)

    Raises:
        UnknownNameError: the ladder lacks the metric.
    """
    return shape_of(curve_of(ladder, metric, ladder.resample(seed=seed, resamples=resamples)))


def curve_of(ladder: Ladder, metric: str, drawn: np.ndarray) -> Curve:
    """The curve of one metric. `drawn` has the bootstrap samples of all metrics, shape [resample, point, metric]."""
    column, rung = ladder.column(metric), RUNGS[metric]
    return Curve(
        metric=metric,
        kind=rung.kind,
        axis=ladder.axis,
        points=ladder.points,
        places=ladder.places,
        runs=tuple(tuple(run[:, column] for run in runs) for runs in ladder.values),
        means=ladder.means()[:, column],
        drawn=drawn[:, :, column],
        chance=rung.chance(ladder.chance),
        ceiling=rung.ceiling(ladder.ceiling),
        floored=rung.floored,
    )


def shape_of(curve: Curve) -> MetricShape:
    """How the metric of a curve rises."""
    means, drawn, width = curve.means, curve.drawn, curve.widths
    if len(means) < 2:
        undefined = Interval.undefined()
        return MetricShape(
            metric=curve.metric, kind=curve.kind, shape=RiseShape.UNDECIDED, reason="one point has no neighbour",
            rise=undefined, signal=np.nan, share=undefined, concentration=undefined, pair_concentration=undefined,
            largest=undefined, width=np.nan, before="", after="", apart="", near_chance=np.nan, gap=0, pair=0, late=(),
        )  # fmt: skip
    gap, share, concentration = _steepest(means[None], width)
    _, drawn_share, drawn_concentration = _steepest(drawn, width)
    pair, _, pair_concentration = _steepest(means[None], width, together=2)
    _, _, drawn_pair_concentration = _steepest(drawn, width, together=2)
    at, n_near = int(gap[0]), _leading(_near_chance(curve)[1] <= TAIL)
    found = MetricShape(
        metric=curve.metric,
        kind=curve.kind,
        shape=RiseShape.UNDECIDED,
        reason="",
        rise=percentile_interval(float(rise(means[None])[0]), rise(drawn)),
        signal=_signal(curve),
        share=percentile_interval(float(share[0]), drawn_share),
        concentration=percentile_interval(float(concentration[0]), drawn_concentration),
        pair_concentration=percentile_interval(float(pair_concentration[0]), drawn_pair_concentration),
        largest=percentile_interval(float(np.diff(means).max() / curve.way), np.diff(drawn, axis=1).max(1) / curve.way),
        width=float(width[at]),
        before=curve.points[at],
        after=curve.points[at + 1],
        apart=curve.axis.between(curve.places[at], curve.places[at + 1]),
        near_chance=float(width[: max(n_near - 1, 0)].sum()),
        gap=at,
        pair=int(pair[0]),
        late=_late(curve)[0],
    )
    shape, reason = _decide(found, curve)
    return replace(found, shape=shape, reason=reason)


def rise(means: np.ndarray) -> np.ndarray:
    """The largest increase from an earlier point to a later one in each row, shape [row]."""
    return (means - np.minimum.accumulate(means, axis=1)).max(1)


def _decide(found: MetricShape, curve: Curve) -> tuple[RiseShape, str]:
    if len(curve.means) < FEWEST_POINTS:
        return RiseShape.UNDECIDED, f"{len(curve.means)} points are fewer than {FEWEST_POINTS}"
    if curve.n_pairs < FEWEST_PROMPTS:
        return RiseShape.UNDECIDED, f"{curve.n_pairs} prompts are fewer than {FEWEST_PROMPTS}"
    small = found.largest.high < SMALL
    if not found.signal >= SIGNAL:
        return (RiseShape.FLAT, "") if small else (RiseShape.UNDECIDED, f"the rise of {found.metric} is within noise")
    late, may_be_late = _late(curve)
    if found.concentration.low > CONCENTRATED and not small:
        if open_end := _open_end(found, curve):
            return (RiseShape.LATE, "") if late else (RiseShape.UNDECIDED, f"{found.metric} {open_end}")
        return RiseShape.SHARP, ""
    if late:
        return RiseShape.LATE, ""
    if found.pair_concentration.low > CONCENTRATED and not small:
        return RiseShape.STEEP, ""
    if may_be_late:
        return RiseShape.UNDECIDED, f"noise leaves open how long {found.metric} is near chance"
    if small:
        return RiseShape.SMALL, ""
    if (high := max(found.concentration.high, found.pair_concentration.high)) >= CONCENTRATED:
        return RiseShape.UNDECIDED, f"the concentration of {found.metric} may be as high as {high:.2f}"
    return RiseShape.SPREAD, ""


def _near_chance(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """P-values at each point, shape [point] each: small where the metric is certainly above near-chance, or near it."""
    if not curve.floored or not np.isfinite(curve.way):
        return np.zeros(len(curve.means)), np.ones(len(curve.means))
    above, near = np.array([one_sided(runs, curve.chance + NEAR_CHANCE * curve.way) for runs in curve.runs]).T
    return above, near


def _late(curve: Curve) -> tuple[tuple[int, ...], bool]:
    """Points near chance after which most of the rise certainly comes, from the last one on; and if one may be so."""
    above, near = _near_chance(curve)
    certain, possible = _leading(near <= TAIL), _leading(above > TAIL)
    found, may_be = [], False
    for at in range(min(possible, len(curve.means) - 1) - 1, 0, -1):
        if curve.widths[:at].sum() < LATE_FROM:
            break
        low, high = np.quantile(concentration_within(curve, at, len(curve.means) - 1)[1], [TAIL, 1 - TAIL])
        found += [at] if at < certain and low > CONCENTRATED else []
        may_be = may_be or bool(high > CONCENTRATED)
    return tuple(found), may_be


def concentration_within(curve: Curve, begins: int, ends: int) -> tuple[float, np.ndarray]:
    """Concentration of a curve's rise between two points, given by index, and that of its samples, shape [resample]."""
    width = curve.widths[begins:ends].sum()

    def of(means: np.ndarray) -> np.ndarray:
        whole = rise(means)
        share = np.divide(rise(means[:, begins : ends + 1]), whole, out=np.zeros(len(means)), where=whole > 0)
        return (share - width) / (1 - width) if width < 1 else np.zeros(len(means))

    return float(of(curve.means[None])[0]), of(curve.drawn)


def _leading(holds: np.ndarray) -> int:
    """Number of points, from the first on, at which a condition holds without interruption."""
    return int(np.logical_and.accumulate(holds).sum())


def _steepest(means: np.ndarray, width: np.ndarray, *, together: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row the gap with the most concentrated rise, its share and its concentration, shape [row] each.

    Args:
        means: the metric, shape [row, point].
        width: fraction of the axis that each gap covers, shape [gap].
        together: number of neighbouring gaps that count as one.
    """
    together = min(together, len(width))
    whole, width = rise(means), np.convolve(width, np.ones(together), "valid")
    steps = means[:, together:] - means[:, :-together]
    share = np.divide(steps, whole[:, None], out=np.zeros_like(steps), where=whole[:, None] > 0)
    # Gaps that cover the whole axis contain the whole rise, whatever the curve, so the concentration is set to 0.
    concentration = np.divide(share - width, 1 - width, out=np.zeros_like(share), where=width < 1)
    gap = concentration.argmax(1)
    at = np.arange(len(means)), gap
    return gap, share[at], concentration[at]


def _signal(curve: Curve) -> float:
    """The rise in standard errors of the difference between its two ends; the error is at least the resolution."""
    top = int((curve.means - np.minimum.accumulate(curve.means)).argmax())
    foot = int(curve.means[: top + 1].argmin())
    error = max(float((curve.drawn[:, top] - curve.drawn[:, foot]).std()), curve.resolution)
    found = float(curve.means[top] - curve.means[foot])
    return found / error if error > 0 else np.inf if found > 0 else 0.0


def _open_end(found: MetricShape, curve: Curve) -> str:
    """What is unknown about a jump at an end of the axis; empty if the jump is not at an end, or is complete."""
    at_chance = curve.floored and curve.means[0] <= curve.chance + AT_BOUND * curve.way
    if found.gap == 0 and not at_chance:
        return "jumps right after the first point, and what comes before is not known"
    if found.gap == len(curve.means) - 2 and not curve.means[-1] >= curve.ceiling - AT_BOUND * curve.way:
        return "jumps right before the last point, and what comes after is not known"
    return ""
