"""Where a curve over training bends, and between which checkpoints it changes fastest.

`change_points` fits straight lines over x = ln(1 + step), one to each stretch of checkpoints. The lines need not meet.

1. `stats.segments.best_cuts` gives the least sum of squared residuals (RSS) over all ways to cut the checkpoints, for
   each number of cuts.
2. BIC (Schwarz, 1978, https://doi.org/10.1214/aos/1176344136) compares numbers of cuts: n ln(RSS / n) + 3 (k + 1) ln n,
   for two coefficients of each line, k places and a variance. RSS / n has the sampling variance of the means as its
   lower bound, so following noise gains nothing. The least BIC alone would find too many cuts (docs/calibration.md).
   So `_number` starts with no cut and adds one only if BIC falls by as much as in 5% or fewer of simulated curves.
   These have the cuts so far, normal noise, and the same checkpoints.
3. The place of a cut is drawn again with the number of cuts held fixed: over prompts where there are several, else over
   the residuals. The interval does not cover other checkpoints or other training runs.

`fastest_change` needs no fit. It is the interval between neighbouring checkpoints with the largest change per unit of
x, in the direction of the whole change. In a **phase change** a small share of the axis has a large share of the
change; a straight line over x has equal shares. `same_interval` says whether two curves change fastest in the same
interval.

Cost: memory and time grow with the square of the number of checkpoints, for each resample. A cut is known to lie
between two checkpoints, never more precisely. Cuts closer than `shortest` checkpoints cannot be found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.stats.intervals import SURE, TAIL
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.resampling import RESAMPLES, resample_rows
from interp_emerge.stats.segments import best_cuts, bic_of_cuts, fit_lines
from interp_emerge.stats.significance import SIGNIFICANT

MOST, SHORTEST = 3, 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangePoints:
    """Lines over ln(1 + step) and the cuts between them.

    `changes` has one row for each cut: `before`, `after` (the steps that it lies between), `ci_low`, `ci_high` (steps
    between which it lies in 95% of resamples), `slope_before`, `slope_after` (unit of the curve per ln(1 + step)),
    `jump` (the later line less the earlier one, half-way between the two steps). `numbers` has one row for each number
    of cuts: `n_changes`, `rss`, `bic`, `p_value` (share of simulated curves with this number of cuts whose BIC falls as
    much with more cuts; empty if not tested). `fitted` has the values of the lines, shape [step].
    """

    changes: pd.DataFrame
    numbers: pd.DataFrame
    fitted: np.ndarray

    def __repr__(self) -> str:
        cuts = ", ".join(f"{row.before} and {row.after}" for row in self.changes.itertuples())
        return f"ChangePoints({len(self.changes)} changes{': between steps ' + cuts if cuts else ''})"


@dataclass(frozen=True, kw_only=True, eq=False)
class FastestChange:
    """Between which two neighbouring checkpoints a curve changes fastest."""

    before: int
    after: int
    ci_low: int
    ci_high: int
    """Steps between which the interval lies in 95% of resamples."""
    rate: float
    """Change per unit of ln(1 + step), in the unit of the curve."""
    share_of_change: float
    """Change in the interval as a fraction of the change from the first checkpoint to the last; may exceed 1."""
    share_of_axis: float
    """Width of the interval as a fraction of the axis ln(1 + step): its share of the change of a straight line."""
    agreement: float
    """Fraction of resamples with the same interval."""
    drawn: np.ndarray
    """Index of the interval in each resample, shape [resample]."""


class CoincidenceVerdict(StrEnum):
    """Whether two curves change fastest between the same two checkpoints."""

    SAME = "in the same interval"
    """They do in 97.5% of the resamples or more."""
    DIFFERENT = "in different intervals"
    """They do in 2.5% of the resamples or fewer."""
    CANNOT_BE_TOLD = "cannot be told"
    """It depends on the prompts."""


@dataclass(frozen=True, kw_only=True)
class Coincidence:
    """Whether two curves change fastest in the same interval of checkpoints. As text it is a sentence."""

    verdict: CoincidenceVerdict
    together: float
    """Fraction of resamples in which they do."""
    by_chance: float
    """The fraction expected if the fastest interval of one curve were any interval with equal probability."""
    intervals: tuple[tuple[int, int], tuple[int, int]]
    """The steps between which either curve changes fastest, the earlier interval first."""

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

    Args:
        steps: ascending training steps.
        values: shape [step], or [prompt, step] if each step has values of the same prompts or passages.
        most: the largest number of cuts to try, if there are enough checkpoints for it.
        shortest: fewest checkpoints on one line, at least 3, since a line fits any two points.
        seed: seed of the resamples.
        resamples: number of bootstrap samples.

    Raises:
        InputError: there are fewer than `shortest` checkpoints, the steps do not ascend, or a value is not finite.
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

    Args:
        steps: ascending training steps.
        values: shape [prompt, step].
        seed: seed of the resamples; use the same seed for curves on the same prompts.
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

    Args:
        a: fastest change of one curve.
        b: fastest change of the other, from the same number of resamples. Both need the same seed if the curves have
            the same prompts, and different seeds otherwise.
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
    """Sampling variance of the means relative to each other, for prompts that are the same at every step."""
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
    """The number of cuts, and the p-value of each number against larger ones."""
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
    """Cuts of resampled curves, shape [resample, cut]."""
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
