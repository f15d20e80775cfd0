"""Whether an ability's jump is due to the model or to the metric: a thresholded metric compared with a continuous one.

A metric with a threshold can make a smooth improvement look like a jump (Schaeffer et al., 2023,
https://arxiv.org/abs/2304.15004). So a thresholded and a continuous metric are computed from the same logits.

1. The thresholded metric *jumps* if it is sharp, steep or late (`rise`): most of its rise lies in one gap between
   neighbouring points or in two, or after a long stretch near chance. Its *window* is these gaps, or what comes after
   the stretch. A share s of its rise within a fraction w of the axis is concentrated by (s − w) / (1 − w): 0 for a rise
   in proportion to scale, 1 for one in the window alone.
2. The concentration of the continuous metric's rise in the same window, as a fraction of that of the thresholded one,
   is how much of the jump is *shared*: 1 if both rise alike, 0 or less if the continuous one improves elsewhere as
   well.
3. The jump is *the model's* if more than half of it is shared in 97.5% of the bootstrap samples of prompts and seeds:
   the model improves where the ability appears. It is *the metric's* if less than half is in 97.5% of them: the model
   improves elsewhere as well, and the thresholded metric does not show it. This must hold in wider windows too: with
   one gap more at either side, as a point may lie inside a jump of the model, and after any point of a long stretch
   near chance, as the model itself may begin to improve late.
4. The verdict is undecided if the shape of the thresholded metric is, if this metric never leaves chance, if the
   continuous one does not rise beyond noise, or if the samples disagree. It is undecided, too, if training runs of one
   point disagree and there are fewer than 5 of them, or if the thresholded metric may have lost half of its rise by
   the last point. A shared jump does not decide in a window that begins at the
   first point, since the continuous metric may have risen before, nor in one of two gaps, within which neither may
   jump.

All of this is *at this resolution*: nothing was measured inside a gap, and every curve that rises within the gap looks
like a jump. `mirage_check` judges two metrics of a ladder, `continuations.several_tokens_check` answers of several
tokens. Error rates are in docs/validity.md.
"""

from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.ladder import RUNGS, Ladder
from interp_emerge.emergence.scale.onset import runs_disagree
from interp_emerge.emergence.scale.rise import (
    SIGNAL,
    SMALL,
    Curve,
    MetricShape,
    RiseShape,
    concentration_within,
    curve_of,
    rise,
    shape_of,
)
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.stats.intervals import SURE, Interval, percentile_interval
from interp_emerge.stats.resampling import RESAMPLES

HALF = 0.5
"""The jump is the model's if the continuous metric shares more of it than this."""
ENOUGH_RUNS = 5
"""From this number of training runs of a point on, runs that disagree still give a verdict on their mean."""


@dataclass(frozen=True, kw_only=True)
class Mirage:
    """The verdict on one ability, with the shapes that it is based on; `str` makes a sentence of it."""

    ability: str
    axis: str
    verdict: MirageVerdict
    reason: str
    thresholded: MetricShape
    continuous: MetricShape
    window: tuple[str, str]
    """The points at which the jump of the thresholded metric begins and ends; empty without a jump."""
    shared: Interval
    """Fraction of the jump that the continuous metric shares; undefined without a jump."""
    earlier: Interval
    """Share of the continuous metric's rise that comes before the window; undefined without a jump."""

    def __repr__(self) -> str:
        return f"Mirage({self})"

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>"

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        said = f"{self.ability}: {self.verdict}{because}. {_described(self.thresholded)}; {_described(self.continuous)}"
        if not self.window[0]:
            return f"{said}."
        where = "between {} and {}".format(*self.window)
        return (
            f"{said}. The jump lies {where}; {self.continuous.metric} makes {self.earlier:.0%} of its rise before, and "
            f"shares {self.shared} of the jump."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each of the two metrics.

        Columns `ability`, `axis`, `verdict`, `window_begins`, `window_ends`, `shared` (fraction of the jump that the
        continuous metric shares), `earlier` (share of its rise before the window), and the fields of `MetricShape`:
        `metric`, `kind`, `shape`, `reason`, `rise` (in the metric's unit), `signal` (standard errors), `share` (of the
        rise), `concentration`, `largest` (fraction of the way from chance to the ceiling), `width` and `near_chance`
        (fractions of the axis), `before`, `after`, `apart`. Quantities with 95% intervals have them in the columns with
        `_low` and `_high`.
        """
        rows = []
        for shape in (self.thresholded, self.continuous):
            row = {"ability": self.ability, "axis": self.axis, "verdict": self.verdict}
            row |= {"window_begins": self.window[0], "window_ends": self.window[1]}
            row |= self.shared.columns("shared") | self.earlier.columns("earlier")
            for name in ("metric", "kind", "shape", "reason", "signal", "width", "before", "after", "apart"):
                row[name] = getattr(shape, name)
            row["near_chance"] = shape.near_chance
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
    """Whether an ability jumps, and whether the model or the metric is the reason.

    Example:
        >>> print(ie.emergence.scale.mirage_check(ladder, resamples=100))

    Args:
        ladder: the ability over an axis of scale.
        thresholded: the metric in which a jump was seen.
        continuous: the metric, from the same logits, that the thresholded one is compared with.
        seed: seed of the bootstrap.
        resamples: number of bootstrap samples.

    Raises:
        UnknownNameError: the ladder lacks a metric.
        InputError: a metric is of the other kind, or there are fewer than 100 bootstrap samples.
    """
    for name, kind in ((thresholded, "thresholded"), (continuous, "continuous")):
        ladder.column(name)
        if RUNGS[name].kind != kind:
            raise InputError(f"{name} is not a {kind} metric; take one of "
                             f"{', '.join(rung.name for rung in RUNGS.values() if rung.kind == kind)}")  # fmt: skip
    drawn = ladder.resample(seed=seed, resamples=resamples)
    return judge(ladder.ability, *(curve_of(ladder, name, drawn) for name in (thresholded, continuous)))


def judge(ability: str, thresholded: Curve, continuous: Curve) -> Mirage:
    """The verdict on two curves of one ability, over the same points and with the same bootstrap samples.

    Args:
        ability: what the curves measure, in words.
        thresholded: the metric in which a jump was seen.
        continuous: the metric that the thresholded one is compared with.
    """
    one, other = shape_of(thresholded), shape_of(continuous)
    shared = earlier = Interval.undefined()
    windows = _windows(one, len(thresholded.points))
    if windows:
        shared, earlier = _shared(thresholded, continuous, *windows[0]), _earlier(continuous, windows[0][0])
    verdict, reason = _verdict(thresholded, one, continuous, other, windows)
    return Mirage(
        ability=ability,
        axis=thresholded.axis.name,
        verdict=verdict,
        reason=reason,
        thresholded=one,
        continuous=other,
        window=(thresholded.points[windows[0][0]], thresholded.points[windows[0][1]]) if windows else ("", ""),
        shared=shared,
        earlier=earlier,
    )


def _windows(shape: MetricShape, n_points: int) -> list[tuple[int, int]]:
    """Points, by index, between which a metric jumps, most specific first; empty if it does not jump."""
    match shape.shape:
        case RiseShape.SHARP:
            return [(shape.gap, shape.gap + 1)]
        case RiseShape.STEEP:
            return [(shape.pair, shape.pair + 2)]
        case RiseShape.LATE:
            return [(at, n_points - 1) for at in shape.late]
        case _:
            return []


def _wider(shape: MetricShape, n_points: int) -> list[tuple[int, int]]:
    """Windows around a jump: one gap more at either side, and what comes after each point of a stretch near chance."""
    windows = [(at, n_points - 1) for at in shape.late]
    if shape.shape != RiseShape.LATE:
        begins, ends = _windows(shape, n_points)[0]
        windows.append((max(begins - 1, 0), min(ends + 1, n_points - 1)))
    return [window for window in windows if window != (0, n_points - 1)]


def _shared(thresholded: Curve, continuous: Curve, begins: int, ends: int) -> Interval:
    """Concentration of the continuous curve's rise in a window, as a fraction of that of the thresholded one.

    Undefined if the thresholded curve's is not above zero in 97.5% of the samples. Others are left out.
    """
    (own, drawn_own), (also, drawn_also) = (
        concentration_within(curve, begins, ends) for curve in (thresholded, continuous)
    )
    jumps = drawn_own > 0
    if not own > 0 or jumps.mean() < SURE:
        return Interval.undefined()
    return percentile_interval(also / own, drawn_also[jumps] / drawn_own[jumps])


def _earlier(curve: Curve, begins: int) -> Interval:
    """Share of a curve's rise that comes before a point."""

    def of(means: np.ndarray) -> np.ndarray:
        whole = rise(means)
        return np.divide(rise(means[:, : begins + 1]), whole, out=np.zeros(len(means)), where=whole > 0)

    return percentile_interval(float(of(curve.means[None])[0]), of(curve.drawn))


def _verdict(
    curve: Curve, jump: MetricShape, continuous: Curve, other: MetricShape, windows: list[tuple[int, int]]
) -> tuple[MirageVerdict, str]:
    """The verdict, with the reason if it is undecided."""
    reason = _at_chance(curve) or jump.reason or _disagreement(curve)
    if reason:
        return MirageVerdict.UNDECIDED, reason
    if not windows:
        return MirageVerdict.NO_JUMP, ""
    if reason := _falls_again(curve):
        return MirageVerdict.UNDECIDED, reason
    if not other.signal >= SIGNAL:
        return MirageVerdict.UNDECIDED, f"the rise of {other.metric} is within noise"
    shared = [_shared(curve, continuous, *window) for window in windows]
    wider = [_shared(curve, continuous, *window) for window in _wider(jump, len(curve.points))]
    if all(one.high < HALF for one in shared + wider):
        return MirageVerdict.METRIC, ""
    if not all(one.low > HALF for one in shared):
        if np.isnan(shared[0].value):
            return MirageVerdict.UNDECIDED, f"noise leaves open where {jump.metric} rises most"
        if shared[0].high < HALF:
            return MirageVerdict.UNDECIDED, f"{other.metric} rises around the jump of {jump.metric}, but not as sharply"
        within = f"{shared[0].low:.2f} to {shared[0].high:.2f}"
        return MirageVerdict.UNDECIDED, f"{other.metric} shares {within} of the jump, on both sides of one half"
    if windows[0][0] == 0:
        reason = f"{jump.metric} jumps after the first point, and {other.metric} may have risen before"
        return MirageVerdict.UNDECIDED, reason
    if jump.shape == RiseShape.STEEP:
        between = f"both rise between {curve.points[jump.pair]} and {curve.points[jump.pair + 2]}, over two gaps"
        return MirageVerdict.UNDECIDED, f"{between}; more points there would show whether they jump"
    return MirageVerdict.MODEL, ""


def _at_chance(curve: Curve) -> str:
    """Says so if the metric certainly never leaves chance; empty otherwise."""
    highest = percentile_interval(float(curve.means.max()), curve.drawn.max(1))
    if highest.high >= curve.chance + SMALL * (curve.ceiling - curve.chance):
        return ""
    most = f"its highest value is {highest.value:.2f}, a guess scores {curve.chance:.2f}"
    return f"{curve.metric} never leaves chance: {most}"


def _falls_again(curve: Curve) -> str:
    """Says so if the metric may have lost half of its rise by the last point; empty otherwise."""

    def kept(means: np.ndarray) -> np.ndarray:
        risen = means - np.minimum.accumulate(means, axis=1)
        whole, lost = risen.max(1), means[np.arange(len(means)), risen.argmax(1)] - means[:, -1]
        return 1 - np.divide(lost, whole, out=np.zeros(len(means)), where=whole > 0)

    share = percentile_interval(float(kept(curve.means[None])[0]), kept(curve.drawn))
    if share.low > HALF:
        return ""
    top = curve.points[int((curve.means - np.minimum.accumulate(curve.means)).argmax())]
    return f"{curve.metric} falls again after {top}; at the last point {share} of its rise is left"


def _disagreement(curve: Curve) -> str:
    """Says so if a few training runs of a point disagree; empty otherwise."""
    half = (curve.chance + curve.ceiling) / 2
    for point, runs in zip(curve.points, curve.runs, strict=True):
        if len(runs) < ENOUGH_RUNS and runs_disagree(runs, half):
            return f"the {len(runs)} training runs of {point} disagree, and {ENOUGH_RUNS} are needed where they do"
    return ""


def _described(shape: MetricShape) -> str:
    """The shape as a sentence."""
    if not shape.before:
        return f"{shape.metric}: no two points to compare"
    return (
        f"{shape.metric} is {shape.shape}: it rises by {shape.rise}, {shape.share:.0%} of it between {shape.before} "
        f"and {shape.after} ({shape.apart} and {shape.width:.0%} of the axis, where nothing was measured)"
    )
