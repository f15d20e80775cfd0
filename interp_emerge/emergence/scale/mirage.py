"""Whether an ability's jump is due to the model or to the metric: a thresholded metric compared with a continuous one.

A metric with a threshold can make a smooth improvement look like a jump (Schaeffer et al., 2023,
https://arxiv.org/abs/2304.15004). So a thresholded and a continuous metric are computed from the same logits. For each
of them the check asks whether its rise is concentrated in one gap between neighbouring points.

1. The *rise* is the largest increase from an earlier point to a later one. A gap contains a *share* s of the rise and
   covers a fraction w of the axis. Its *concentration* is (s − w) / (1 − w): 0 for a curve that rises in proportion to
   scale, 1 for one that rises in this gap alone. Points need not be evenly spaced.
2. `jump_shape` calls a metric *sharp* if the concentration of its steepest gap is above 0.5 in 97.5% of the bootstrap
   samples of prompts and seeds. It is *spread* if the concentration is below 0.5 in 97.5% of them, or if in 97.5% of
   them no gap contains a fifth of the way from chance to the ceiling. In the latter case it is *flat* if the rise is
   within noise.
3. A metric is *undecided* if there are fewer than 5 points or 20 prompts, if the rise is within noise and a jump could
   be hidden in it, or if the bootstrap samples disagree. It is also undecided if the jump lies in the first gap and
   does not start at chance, or in the last gap and does not reach the ceiling: the curve may go on outside the axis.
4. `judge` combines two shapes into a `MirageVerdict`. If the thresholded metric never leaves chance, there is no jump
   to judge, and the verdict is undecided too. `mirage_check` judges two metrics of a ladder, and
   `continuations.several_tokens_check` judges answers of several tokens.

A sharp metric is sharp *at this resolution*: nothing was measured inside the gap, and every curve that rises within the
gap looks like a jump. Exact match over L tokens, p^L, is not a step either: on a fine grid it is spread.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.emergence.scale.axes import Axis
from interp_emerge.emergence.scale.ladder import RUNGS, Ladder
from interp_emerge.stats.intervals import Interval, percentile_interval
from interp_emerge.stats.resampling import RESAMPLES

CONCENTRATED = 0.5
"""A rise counts as a jump if its concentration is above this."""
SMALL = 0.2
"""A step of at most this share of the way from chance to the ceiling is not a jump, as in `onset.NEAR_CHANCE`."""
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
    SPREAD = "spread"
    """No gap contains most of the rise."""
    FLAT = "flat"
    """The rise is within noise, and a jump cannot be hidden in any gap."""
    UNDECIDED = "undecided"
    """The shape cannot be determined; `MetricShape.reason` says why."""


class MirageVerdict(StrEnum):
    """Whether an ability jumps, and in which of its two metrics."""

    SMOOTH = "smooth"
    """Neither metric jumps."""
    THRESHOLDED = "sharp under thresholding only"
    """The thresholded metric jumps, and the continuous one does not."""
    CONTINUOUS = "sharp under the continuous metric only"
    """The continuous metric jumps, and the thresholded one does not."""
    BOTH = "sharp under both"
    """Both metrics jump."""
    UNDECIDED = "undecided at this resolution"
    """A shape is undecided, neither metric rises, or the thresholded metric never leaves chance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One metric over an axis of scale, with its bootstrap samples."""

    metric: str
    kind: str
    axis: Axis
    points: tuple[str, ...]
    places: np.ndarray
    """Where the points lie, in the axis's unit, shape [point]."""
    means: np.ndarray
    """The metric at each point, shape [point]."""
    drawn: np.ndarray
    """The metric at each point in bootstrap samples of prompts and seeds, shape [resample, point]."""
    n_pairs: int
    chance: float
    ceiling: float

    @property
    def widths(self) -> np.ndarray:
        """The fraction of the axis that each gap covers, shape [gap]."""
        gaps = np.diff(self.axis.coordinate(self.places))
        return gaps / gaps.sum() if len(gaps) else gaps

    @property
    def resolution(self) -> float:
        """The smallest possible change of the metric: 1/N for N prompts if it has a threshold, else 0."""
        return 1 / self.n_pairs if self.kind == "thresholded" else 0.0

    @property
    def way(self) -> float:
        """The distance from chance to the ceiling; NaN without a ceiling."""
        return self.ceiling - self.chance if np.isfinite(self.ceiling) else np.nan


@dataclass(frozen=True, kw_only=True)
class MetricShape:
    """How one metric rises along an axis of scale, and whether that is a jump."""

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
    largest: Interval
    """The largest step between neighbours as a fraction of the way from chance to ceiling; NaN without a ceiling."""
    width: float
    """The fraction of the axis that the steepest gap covers."""
    before: str
    after: str
    """The points before and after the steepest gap."""
    apart: str
    """The distance between these points, in words."""


@dataclass(frozen=True, kw_only=True)
class Mirage:
    """The verdict on one ability, with the shapes that it is based on; `str` makes a sentence of it."""

    ability: str
    axis: str
    verdict: MirageVerdict
    reason: str
    thresholded: MetricShape
    continuous: MetricShape
    sharper: float
    """Share of bootstrap samples in which the rise is more concentrated in the thresholded metric."""

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.ability}: {self.verdict}{because}. {_described(self.thresholded)}; {_described(self.continuous)}."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each of the two metrics.

        Columns `ability`, `axis`, `verdict`, and the fields of `MetricShape`: `metric`, `kind`, `shape`, `reason`,
        `rise` (in the metric's unit), `signal` (standard errors), `share` (of the rise), `concentration`, `largest`
        (fraction of the way from chance to the ceiling), `width` (fraction of the axis), `before`, `after`, `apart`.
        `rise`, `share`, `concentration` and `largest` have 95% intervals in the columns with `_low` and `_high`.
        """
        rows = []
        for shape in (self.thresholded, self.continuous):
            row = {"ability": self.ability, "axis": self.axis, "verdict": self.verdict}
            for name in ("metric", "kind", "shape", "reason", "signal", "width", "before", "after", "apart"):
                row[name] = getattr(shape, name)
            for name in ("rise", "share", "concentration", "largest"):
                interval: Interval = getattr(shape, name)
                row |= interval.columns(name)
            rows.append(row)
        return pd.DataFrame(rows)


@checked
def mirage_check(
    ladder: Ladder,
    *,
    thresholded: str = "accuracy",
    continuous: str = "log_prob",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Mirage:
    """Whether an ability jumps, and in which of two metrics.

    Args:
        ladder: the ability over an axis of scale.
        thresholded: the metric in which a jump was seen.
        continuous: the metric, from the same logits, that the thresholded one is compared with.
        seed: seed of the bootstrap.
        resamples: number of bootstrap samples.

    Raises:
        UnknownNameError: the ladder lacks a metric.
    """
    drawn = ladder.resample(seed=seed, resamples=resamples)
    return judge(ladder.ability, *(_curve(ladder, name, drawn) for name in (thresholded, continuous)))


@checked
def jump_shape(ladder: Ladder, metric: str, *, seed: int = 0, resamples: int = RESAMPLES) -> MetricShape:
    """How one metric of a ladder rises: sharp, spread, flat, or undecided.

    Raises:
        UnknownNameError: the ladder lacks the metric.
    """
    return _shape(_curve(ladder, metric, ladder.resample(seed=seed, resamples=resamples)))


def judge(ability: str, thresholded: Curve, continuous: Curve) -> Mirage:
    """The verdict on two curves of one ability, over the same points and with the same bootstrap samples.

    Args:
        ability: what the curves measure, in words.
        thresholded: the metric in which a jump was seen.
        continuous: the metric that the thresholded one is compared with.
    """
    one, other = _shape(thresholded), _shape(continuous)
    verdict, reason = _verdict(one, other)
    if hint := _at_chance(thresholded):
        verdict, reason = MirageVerdict.UNDECIDED, hint
    sharper = np.nan
    if len(thresholded.points) > 1:
        concentrated = [_steepest(curve.drawn, curve.widths)[2] for curve in (thresholded, continuous)]
        sharper = float((concentrated[0] > concentrated[1]).mean())
    return Mirage(
        ability=ability,
        axis=thresholded.axis.name,
        verdict=verdict,
        reason=reason,
        thresholded=one,
        continuous=other,
        sharper=sharper,
    )


def _curve(ladder: Ladder, metric: str, drawn: np.ndarray) -> Curve:
    """The curve of one metric. `drawn` has the bootstrap samples of all metrics, shape [resample, point, metric]."""
    column, rung = ladder.column(metric), RUNGS[metric]
    return Curve(
        metric=metric,
        kind=rung.kind,
        axis=ladder.axis,
        points=ladder.points,
        places=ladder.places,
        means=ladder.means()[:, column],
        drawn=drawn[:, :, column],
        n_pairs=ladder.n_pairs,
        chance=rung.chance(ladder.chance),
        ceiling=rung.ceiling(ladder.ceiling),
    )


def _shape(curve: Curve) -> MetricShape:
    means, drawn, width = curve.means, curve.drawn, curve.widths
    about = {"metric": curve.metric, "kind": curve.kind}
    if len(means) < 2:
        undefined = Interval.undefined()
        return MetricShape(
            **about, shape=RiseShape.UNDECIDED, reason="one point has no neighbour", rise=undefined, signal=np.nan,
            share=undefined, concentration=undefined, largest=undefined, width=np.nan, before="", after="", apart="",
        )  # fmt: skip
    gap, share, concentration = _steepest(means[None], width)
    _, drawn_share, drawn_concentration = _steepest(drawn, width)
    at, low, high = int(gap[0]), *_foot_and_top(means)
    found = MetricShape(
        **about,
        shape=RiseShape.UNDECIDED,
        reason="",
        rise=percentile_interval(float(_rise(means[None])[0]), _rise(drawn)),
        signal=_signal(means, drawn, low, high, curve.resolution),
        share=percentile_interval(float(share[0]), drawn_share),
        concentration=percentile_interval(float(concentration[0]), drawn_concentration),
        largest=percentile_interval(float(np.diff(means).max() / curve.way), np.diff(drawn, axis=1).max(1) / curve.way),
        width=float(width[at]),
        before=curve.points[at],
        after=curve.points[at + 1],
        apart=curve.axis.between(curve.places[at], curve.places[at + 1]),
    )
    shape, reason = _decide(found, len(means), curve.n_pairs, _open_end(means, at, curve.chance, curve.ceiling))
    return replace(found, shape=shape, reason=reason)


def _decide(found: MetricShape, n_points: int, n_pairs: int, open_end: str) -> tuple[RiseShape, str]:
    if n_points < FEWEST_POINTS:
        return RiseShape.UNDECIDED, f"{n_points} points are fewer than {FEWEST_POINTS}"
    if n_pairs < FEWEST_PROMPTS:
        return RiseShape.UNDECIDED, f"{n_pairs} prompts are fewer than {FEWEST_PROMPTS}"
    no_jump = found.largest.high < SMALL
    if not found.signal >= SIGNAL:
        return (RiseShape.FLAT, "") if no_jump else (RiseShape.UNDECIDED, f"the rise of {found.metric} is within noise")
    if no_jump or found.concentration.high < CONCENTRATED:
        return RiseShape.SPREAD, ""
    if found.concentration.low <= CONCENTRATED:
        within = f"{found.concentration.low:.2f} to {found.concentration.high:.2f}"
        return (
            RiseShape.UNDECIDED,
            f"the concentration of {found.metric} is {within}, on both sides of {CONCENTRATED:g}",
        )
    return (RiseShape.UNDECIDED, f"{found.metric} {open_end}") if open_end else (RiseShape.SHARP, "")


def _verdict(thresholded: MetricShape, continuous: MetricShape) -> tuple[MirageVerdict, str]:
    """The verdict on two shapes, with the reason if it is undecided."""
    reasons = [shape.reason for shape in (thresholded, continuous) if shape.reason]
    if reasons:
        return MirageVerdict.UNDECIDED, "; ".join(dict.fromkeys(reasons))
    if thresholded.shape == continuous.shape == RiseShape.FLAT:
        return MirageVerdict.UNDECIDED, "neither metric rises beyond noise, so there is nothing to judge"
    match thresholded.shape == RiseShape.SHARP, continuous.shape == RiseShape.SHARP:
        case True, True:
            return MirageVerdict.BOTH, ""
        case True, False:
            return MirageVerdict.THRESHOLDED, ""
        case False, True:
            return MirageVerdict.CONTINUOUS, ""
        case _:
            return MirageVerdict.SMOOTH, ""


def _at_chance(curve: Curve) -> str:
    """Says so if the metric certainly never leaves chance; empty otherwise."""
    highest = percentile_interval(float(curve.means.max()), curve.drawn.max(1))
    if highest.high >= curve.chance + SMALL * (curve.ceiling - curve.chance):
        return ""
    most = f"its highest value is {highest.value:.2f}, a guess scores {curve.chance:.2f}"
    return f"{curve.metric} never leaves chance: {most}"


def _rise(means: np.ndarray) -> np.ndarray:
    """The largest increase from an earlier point to a later one in each row, shape [row]."""
    return (means - np.minimum.accumulate(means, axis=1)).max(1)


def _foot_and_top(means: np.ndarray) -> tuple[int, int]:
    """The indices of the points where the rise begins and ends."""
    top = int((means - np.minimum.accumulate(means)).argmax())
    return int(means[: top + 1].argmin()), top


def _steepest(means: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row the gap with the most concentrated rise, its share and its concentration, shape [row] each."""
    rise = _rise(means)
    share = np.divide(
        np.diff(means, axis=1), rise[:, None], out=np.zeros((len(means), len(width))), where=rise[:, None] > 0
    )
    # With two points the whole rise lies in the only gap, whatever the curve, so the concentration is set to 0.
    concentration = np.divide(share - width, 1 - width, out=np.zeros_like(share), where=width < 1)
    gap = concentration.argmax(1)
    at = np.arange(len(means)), gap
    return gap, share[at], concentration[at]


def _signal(means: np.ndarray, drawn: np.ndarray, low: int, high: int, resolution: float) -> float:
    """The rise in standard errors of the difference between its two ends; the error is at least the resolution."""
    error = max(float((drawn[:, high] - drawn[:, low]).std()), resolution)
    rise = float(means[high] - means[low])
    return rise / error if error > 0 else np.inf if rise > 0 else 0.0


def _open_end(means: np.ndarray, gap: int, chance: float, ceiling: float) -> str:
    """What is unknown about a jump at an end of the axis; empty if the jump is not at an end, or is complete."""
    way = ceiling - chance
    if gap == 0 and not means[0] <= chance + AT_BOUND * way:
        return "jumps right after the first point, and what comes before is not known"
    if gap == len(means) - 2 and not means[-1] >= ceiling - AT_BOUND * way:
        return "jumps right before the last point, and what comes after is not known"
    return ""


def _described(shape: MetricShape) -> str:
    """The shape as a sentence."""
    if not shape.before:
        return f"{shape.metric}: no two points to compare"
    return (
        f"{shape.metric} is {shape.shape}: it rises by {shape.rise}, {shape.share:.0%} of it between {shape.before} "
        f"and {shape.after} ({shape.apart} and {shape.width:.0%} of the axis, where nothing was measured)"
    )
