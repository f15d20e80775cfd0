"""Where a curve over training bends, and between which checkpoints it changes fastest.

`change_points` cuts the checkpoints into stretches, and fits a straight line over x = ln(1 + step) to each of them. The
lines need not meet.

1. `stats.segments.best_cuts` finds, for each number of cuts k, the cuts with the smallest sum of squared residuals
   (RSS).
2. BIC (Schwarz, 1978, https://doi.org/10.1214/aos/1176344136) compares numbers of cuts: n ln(RSS / n) + 3 (k + 1) ln n.
   The parameters are two coefficients of each line, k places and a variance. RSS / n counts as at least the sampling
   variance of the means, so fitting the noise gains nothing. Taking the lowest BIC would find too many cuts
   (docs/calibration.md). So `_number` starts with no cut, and adds one only if more cuts lower BIC by an amount that at
   most 5% of simulated curves reach. These curves have the cuts found so far, normal noise, and the same checkpoints.
3. `_redrawn` finds the cuts again in bootstrap samples, with the same number of cuts. It resamples the prompts where
   there are several, and otherwise the residuals. The interval does not cover other checkpoints or other training runs.

`fastest_change` needs no fit. It finds the interval between neighbouring checkpoints with the largest change per unit
of x, in the direction of the whole change. In a **phase change** a small share of the axis has a large share of the
change; for a straight line over x these shares are equal. `same_interval` compares two curves: do both change fastest
in the same interval?

Cost: memory and time grow with the square of the number of checkpoints, for each resample. A cut lies somewhere between
two checkpoints; its place is not known more precisely. Cuts closer than `shortest` checkpoints cannot be found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import SURE, TAIL
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.resampling import RESAMPLES, resample_rows
from interp_emerge.stats.segments import best_cuts, bic_of_cuts, fit_lines
from interp_emerge.stats.significance import SIGNIFICANT

MOST, SHORTEST = 3, 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangePoints(Record):
    """Lines over ln(1 + step) and the cuts between them.

    `changes` has one row for each cut: `before`, `after` (the steps between which it lies), `ci_low`, `ci_high` (the
    steps between which it lies in 95% of resamples), `slope_before`, `slope_after` (unit of the curve per
    ln(1 + step)), `jump` (the later line minus the earlier one, half-way between the two steps on the axis
    ln(1 + step)).

    `numbers` has one row for each number of cuts: `n_changes`, `rss`, `bic`, `p_value` (of the null that there are no
    more cuts: the share of simulated curves with this number of cuts whose BIC falls at least as much with more cuts;
    NaN if not tested).

    `fitted` has the values of the lines, shape [step].
    """

    changes: pd.DataFrame
    numbers: pd.DataFrame
    fitted: np.ndarray

    def __repr__(self) -> str:
        cuts = ", ".join(f"{row.before} and {row.after}" for row in self.changes.itertuples())
        return f"ChangePoints({len(self.changes)} changes{': between steps ' + cuts if cuts else ''})"


@dataclass(frozen=True, kw_only=True, eq=False)
class FastestChange(Record):
    """Between which two neighbouring checkpoints a curve changes fastest."""

    before: int
    after: int
    ci_low: int
    ci_high: int
    """The steps between which the fastest change lies in 95% of resamples."""
    rate: float
    """Change per unit of ln(1 + step), in the unit of the curve."""
    share_of_change: float
    """Change in the interval as a fraction of the change from the first checkpoint to the last; can exceed 1."""
    share_of_axis: float
    """Width of the interval as a fraction of the axis ln(1 + step). For a straight line it equals `share_of_change`."""
    agreement: float
    """Fraction of resamples in which the change is fastest in the same interval."""
    drawn: np.ndarray
    """Index of the interval in each resample, shape [resample]."""


class CoincidenceVerdict(StrEnum):
    """Whether two curves change fastest between the same two checkpoints."""

    SAME = "in the same interval"
    """In at least 97.5% of the resamples they do."""
    DIFFERENT = "in different intervals"
    """In at most 2.5% of the resamples they do."""
    CANNOT_BE_TOLD = "cannot be told"
    """The answer changes with the resampled prompts."""


@dataclass(frozen=True, kw_only=True)
class Coincidence(Record):
    """Whether two curves change fastest in the same interval of checkpoints; `str` makes a sentence of it."""

    verdict: CoincidenceVerdict
    together: float
    """Fraction of resamples in which both change fastest in the same interval."""
    by_chance: float
    """The fraction expected if the fastest interval of one curve were chosen at random, each with equal probability."""
    intervals: tuple[tuple[int, int], tuple[int, int]]
    """The steps before and after the fastest change of each curve, the earlier interval first."""

    def __str__(self) -> str:
        first, later = (f"between steps {before:g} and {after:g}" for before, after in self.intervals)
        match self.verdict:
            case CoincidenceVerdict.SAME:
                return f"{self.verdict}, {first}: which is first cannot be told"
            case CoincidenceVerdict.DIFFERENT:
                return f"{self.verdict}: {first} and {later}"
            case _:
                return f"{self.verdict}: it changes with the prompts"


@checked
def change_points(
    steps: Sequence[int],
    values: np.ndarray,
    *,
    most: int = MOST,
    shortest: int = SHORTEST,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ChangePoints:
    """Where a curve over training bends or jumps.

    Example:
        >>> steps = [0, 1, 3, 10, 30, 100, 300, 1000]
        >>> losses = np.array([4.0, 4, 4, 4, 3.1, 2.2, 1.2, 0.3])
        >>> ie.emergence.forming.change_points(steps, losses, resamples=100)

    Args:
        steps: ascending training steps.
        values: shape [step], or [prompt, step] if each step has values of the same prompts or passages.
        most: largest number of cuts to try; fewer are tried if there are too few checkpoints.
        shortest: smallest number of checkpoints on one line; at least 3, since a line fits any two points exactly.
        seed: seed of the resamples.
        resamples: number of bootstrap samples.

    Raises:
        InputError: there are fewer than `shortest` checkpoints, `shortest` is below 3, `most` is negative, the steps do
            not ascend, or a value is not finite.
    """
    x, rows = _axis(steps), _checked(steps, values)
    if shortest < 3 or len(x) < shortest or most < 0:
        raise InputError(f"cannot fit {len(x)} checkpoints with at most {most} changes and {shortest} checkpoints on a "
                         "line; give at least 3 checkpoints on a line")  # fmt: skip
    mean = rows.mean(0)
    counts = range(min(most, len(x) // shortest - 1) + 1)
    cuts, rss = best_cuts(x, mean[None], len(counts) - 1, shortest)
    floor = max(_noise(rows), np.finfo(float).eps * float(mean.var()), np.finfo(float).tiny)
    bic = bic_of_cuts(rss, len(x), floor)[:, 0]
    number, p_values = _number(x, mean, cuts, bic, floor, shortest, seed, resamples)
    chosen = cuts[number][0]
    fitted, lines = fit_lines(x, mean, chosen)
    drawn = _redrawn(x, rows, fitted, number, shortest, seed, resamples)
    return ChangePoints(
        changes=_changes(steps, x, chosen, lines, drawn),
        numbers=pd.DataFrame({"n_changes": list(counts), "rss": rss[:, 0], "bic": bic, "p_value": p_values}),
        fitted=fitted,
    )


@checked
def fastest_change(
    steps: Sequence[int], values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> FastestChange:
    """The interval between neighbouring checkpoints in which a curve changes fastest.

    Example:
        >>> rise = np.tile([0.1, 0.1, 0.9, 1.0], (20, 1))  # 20 prompts at four checkpoints
        >>> change = ie.emergence.forming.fastest_change([0, 10, 100, 1000], rise)
        >>> change.before, change.after
        (10, 100)

    Args:
        steps: ascending training steps.
        values: shape [prompt, step].
        seed: seed of the resamples. For curves on the same prompts use the same seed.
        resamples: number of bootstrap samples.

    Raises:
        InputError: there are fewer than 3 checkpoints or 2 prompts, the steps do not ascend, or a value is not finite.
    """
    x, rows = _axis(steps), _checked(steps, values)
    if len(x) < 3 or len(rows) < 2:
        raise InputError(f"{len(rows)} prompts at {len(x)} checkpoints are too few to find the fastest change; give at "
                         "least 2 prompts and 3 checkpoints")  # fmt: skip
    changes, widths = np.diff(rows.mean(0)), np.diff(x)
    direction = 1 if changes.sum() >= 0 else -1
    rates = changes / widths
    at = int((direction * rates).argmax())
    means = np.stack([rows[chosen].mean(0) for chosen in resample_rows(len(rows), resamples=resamples, seed=seed)])
    drawn = (direction * np.diff(means, axis=1) / widths).argmax(1)
    low, high = np.quantile(drawn, [TAIL, SURE], method="inverted_cdf").astype(int)
    total = changes.sum()
    return FastestChange(
        before=int(steps[at]),
        after=int(steps[at + 1]),
        ci_low=int(steps[low]),
        ci_high=int(steps[high + 1]),
        rate=float(rates[at]),
        share_of_change=float(changes[at] / total) if total else np.nan,
        share_of_axis=float(widths[at] / widths.sum()),
        agreement=float((drawn == at).mean()),
        drawn=drawn,
    )


@checked
def same_interval(a: FastestChange, b: FastestChange, *, n_intervals: int) -> Coincidence:
    """Whether two curves on the same checkpoints change fastest in the same interval.

    Example:
        >>> rise = np.tile([0.1, 0.1, 0.9, 1.0], (20, 1))
        >>> change = ie.emergence.forming.fastest_change([0, 10, 100, 1000], rise)
        >>> print(ie.emergence.forming.same_interval(change, change, n_intervals=3))

    Args:
        a: fastest change of one curve.
        b: fastest change of the other curve, from the same number of resamples. If the curves have the same prompts,
            both changes have to be found with the same seed, otherwise with different seeds.
        n_intervals: number of intervals between neighbouring checkpoints.

    Raises:
        InputError: the numbers of resamples differ.
    """
    if a.drawn.shape != b.drawn.shape:
        raise InputError(f"{len(a.drawn)} and {len(b.drawn)} resamples cannot be compared; draw equal numbers")
    together = float((a.drawn == b.drawn).mean())
    verdict = CoincidenceVerdict.CANNOT_BE_TOLD
    if together >= SURE:
        verdict = CoincidenceVerdict.SAME
    elif together <= TAIL:
        verdict = CoincidenceVerdict.DIFFERENT
    first, later = sorted([(a.before, a.after), (b.before, b.after)])
    return Coincidence(verdict=verdict, together=together, by_chance=1 / n_intervals, intervals=(first, later))


def _axis(steps: Sequence[int]) -> np.ndarray:
    given = np.asarray(steps, dtype=float)
    if not (given >= 0).all() or not (np.diff(given) > 0).all():
        raise InputError(
            f"training steps have to be at least 0 and ascend without repeats, unlike {given.tolist()}; sort the "
            "checkpoints"
        )
    return np.log1p(given)


def _checked(steps: Sequence[int], values: np.ndarray) -> np.ndarray:
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != len(steps) or not len(rows) or not np.isfinite(rows).all():
        raise InputError(f"{len(steps)} steps need finite values of shape [step] or [prompt, step], not "
                         f"{list(np.shape(values))}; leave out checkpoints where the curve is undefined")  # fmt: skip
    return rows


def _noise(rows: np.ndarray) -> float:
    """Sampling variance of the means over prompts, without the part that is common to all steps; 0 for one prompt."""
    n, n_steps = rows.shape
    if n == 1:
        return 0.0
    left = rows - rows.mean(1, keepdims=True) - rows.mean(0) + rows.mean()
    return float((left**2).sum() / ((n - 1) * (n_steps - 1)) / n)


def _number(
    x: np.ndarray,
    mean: np.ndarray,
    cuts: list[np.ndarray],
    bic: np.ndarray,
    floor: float,
    shortest: int,
    seed: int,
    resamples: int,
) -> tuple[int, np.ndarray]:
    """The number of cuts, and p-values of each number against larger ones, shape [number], NaN if not tested."""
    rng, n, p_values = np.random.default_rng(seed), len(x), np.full(len(bic), np.nan)
    for number in range(len(bic) - 1):
        fall = bic[number] - bic[number + 1 :].min()
        fitted, _ = fit_lines(x, mean, cuts[number][0])
        left = ((mean - fitted) ** 2).sum() / max(1, n - 2 * (number + 1))
        curves = fitted + np.sqrt(max(left, floor)) * rng.normal(size=(resamples, n))
        _, rss = best_cuts(x, curves, len(bic) - 1, shortest)
        simulated = bic_of_cuts(rss, n, floor)
        falls = simulated[number] - simulated[number + 1 :].min(0)
        p_values[number] = rank_p(fall, falls)
        if fall <= 0 or p_values[number] > SIGNIFICANT:
            return number, p_values
    return len(bic) - 1, p_values


def _redrawn(
    x: np.ndarray, rows: np.ndarray, fitted: np.ndarray, number: int, shortest: int, seed: int, resamples: int
) -> np.ndarray:
    """The best cuts of resampled curves, shape [resample, cut]."""
    if number == 0:
        return np.empty((resamples, 0), dtype=int)
    if len(rows) > 1:
        chosen = resample_rows(len(rows), resamples=resamples, seed=seed)
        curves = np.stack([rows[sample].mean(0) for sample in chosen])
    else:
        residuals = (rows[0] - fitted) * np.sqrt(len(x) / max(1, len(x) - 2 * (number + 1)))
        curves = fitted + residuals[resample_rows(len(x), resamples=resamples, seed=seed)]
    return best_cuts(x, curves, number, shortest)[0][number]


def _changes(
    steps: Sequence[int], x: np.ndarray, cuts: np.ndarray, lines: list[np.ndarray], drawn: np.ndarray
) -> pd.DataFrame:
    rows = []
    for place, cut in enumerate(cuts):
        low, high = np.quantile(drawn[:, place], [TAIL, SURE], method="inverted_cdf").astype(int)
        middle = (x[cut - 1] + x[cut]) / 2
        before, after = lines[place], lines[place + 1]
        jump = float(np.polyval(after, middle) - np.polyval(before, middle))
        rows.append((steps[cut - 1], steps[cut], steps[low - 1], steps[high], float(before[0]), float(after[0]), jump))
    columns = ["before", "after", "ci_low", "ci_high", "slope_before", "slope_after", "jump"]
    return pd.DataFrame(rows, columns=columns)
