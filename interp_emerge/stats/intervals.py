"""Values with their 95% intervals, and undefined values.

1. The interval of a **mean** over prompts has the ends at which Student's test, corrected for skewness, would just
   reject (Hall, 1992, https://doi.org/10.1111/j.2517-6161.1992.tb01876.x). With T = √n (mean − μ) / s, skewness γ of
   the values and a = γ / √n, the number T + a T² / 3 + a² T³ / 27 + a / 6 is compared with Student's quantiles
   (`corrected_for_skewness`). It increases with T, so the ends have a closed form (`before_correction`).
2. Values that are 0 or 1 have the exact interval of a share (Clopper and Pearson, 1934). Whether values that are all 0,
   or all 1, are shares cannot be seen from them: `share=True` says so. Other values that are all equal have an interval
   of no width.
3. Fewer than `FEWEST_VALUES` other values have none: no interval of so few contains the mean of skewed or bimodal
   values as often as it says.
4. The interval of a **ratio** of means contains the ratios R for which the mean of above − R · below may be zero, by
   the same test (Fieller, 1954, https://doi.org/10.1111/j.2517-6161.1954.tb00159.x). If the mean below may itself be
   zero, the prompts do not bound the ratio, and the ends are undefined.

Strongly skewed values are covered less often than 95% says: the mean of log-normal values lies in the interval in 90%
of cases with 8 values, 91% with 16 and 94% with 64, that of exponential ones in 92% with 8. The rates of other values
are in docs/validity.md. No interval of few values can know of rare prompts that were not drawn. Other
statistics have intervals from a bootstrap over prompts, the central 95% of resamples (`percentile_interval`).
"""

from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record

LEVEL = 0.95
"""Probability with which an interval contains the true value."""
TAIL, SURE = (1 - LEVEL) / 2, (1 + LEVEL) / 2
"""Shares of a distribution below the lower and below the upper end of an interval: 2.5% and 97.5%."""
FEWEST_VALUES = 5
"""The smallest number of values that have an interval, unless they are 0 or 1."""
SURE_OF_GAP = 0.995
"""Level of the interval that has to lie above zero for a mean, such as a clean-corrupt gap, to be certain."""
WITHIN_NOISE, NEGATIVE = "is within noise", "is negative"
UNDEFINED = "undefined"
"""The word for an undefined value in text and in tables."""
ROUNDING = 1e-12
"""Spread of values, as a fraction of the largest, below which they are equal."""
FLAT = 1e-6
"""Skewness per root of n below which there is nothing to correct."""
FARTHEST = 1e6
"""Distance from the ratio, in ratios, beyond which its ends are not looked for."""


@dataclass(frozen=True)
class Interval(Record):
    """A value with the ends of its 95% interval.

    As text it reads `0.84 [0.79, 0.88]`, `0.84 [undefined]` without ends, or `undefined` if the value is NaN. A format
    applies to all three numbers: `f"{interval:.0%}"` reads `84% [79%, 88%]`.
    """

    value: float
    low: float
    high: float

    @classmethod
    def undefined(cls) -> "Interval":
        """The interval of an undefined quantity: NaN with NaN ends."""
        return cls(np.nan, np.nan, np.nan)

    @classmethod
    def of(cls, row: Any, name: str, prefix: str | None = None) -> "Interval":
        """The interval in a row of a table (a mapping or a pandas row), from the columns that `columns` writes."""
        return cls(*(row[column] for column in interval_columns(name, prefix)))

    def columns(self, name: str, prefix: str | None = None) -> dict[str, float]:
        """The three numbers by column: `name`, `{prefix}_low` and `{prefix}_high`; `prefix` is `name` if left out."""
        return dict(zip(interval_columns(name, prefix), (self.value, self.low, self.high), strict=True))

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        if np.isnan(self.value):
            return UNDEFINED
        spec = spec or ".2f"
        if np.isnan([self.low, self.high]).any():
            return f"{self.value:{spec}} [{UNDEFINED}]"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def interval_columns(name: str, prefix: str | None = None) -> tuple[str, str, str]:
    """Names of a table's columns for a value and the ends of its interval."""
    prefix = name if prefix is None else prefix
    return name, f"{prefix}_low", f"{prefix}_high"


def mean_interval(values: np.ndarray, *, share: bool = False) -> Interval:
    """Mean of per-prompt values, shape [prompt], with its interval; `share` says that they are 0 or 1 by definition.

    With 8 strongly skewed values (log-normal) the true mean lies inside in 90% of cases instead of 95%.

    Example:
        >>> ie.stats.mean_interval(result.metric)
    """
    mean, low, high = mean_intervals(values[:, None], share=share)
    return Interval(float(mean[0]), float(low[0]), float(high[0]))


def mean_intervals(
    values: np.ndarray, *, share: bool = False, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of columns of values, shape [prompt, column], and lower and upper ends, shape [column] each.

    Example:
        >>> mean, low, high = ie.stats.mean_intervals(heads.per_pair)

    Args:
        values: one row a prompt, one column a quantity.
        share: whether the values are 0 or 1 by definition.
        level: probability with which an interval contains the true mean.
    """
    from scipy.stats import beta, t

    tail = (1 - level) / 2
    values = np.asarray(values, dtype=np.float64)
    n, mean = len(values), values.mean(0)
    low, high = np.full((2, len(mean)), np.nan)
    equal = np.ptp(values, axis=0) <= ROUNDING * np.abs(values).max(0, initial=0)
    binary = np.isin(values, (0, 1)).all(0) & (share | ~equal)
    right = values[:, binary].sum(0)
    low[binary] = np.where(right > 0, beta.ppf(tail, np.maximum(right, 1), n - right + 1), 0)
    high[binary] = np.where(right < n, beta.ppf(1 - tail, right + 1, np.maximum(n - right, 1)), 1)
    if n < FEWEST_VALUES:
        return mean, low, high
    centred = values - mean
    square, cube = (centred**2).mean(0), (centred**3).mean(0)
    low[equal & ~binary] = high[equal & ~binary] = mean[equal & ~binary]
    spread = ~binary & ~equal
    lean = cube[spread] / square[spread] ** 1.5 / n**0.5
    error = np.sqrt(square[spread] / (n - 1))
    reach = t.ppf(1 - tail, n - 1)
    low[spread] = mean[spread] - before_correction(np.full(len(lean), reach), lean) * error
    high[spread] = mean[spread] - before_correction(np.full(len(lean), -reach), lean) * error
    return mean, low, high


def not_above_zero(values: np.ndarray) -> str:
    """Why a mean over pairs is not certainly above zero, as a predicate such as `is negative`; empty if it is."""
    if (n := len(values)) < FEWEST_VALUES:
        return f"is that of {n} pair{'s' * (n > 1)}, and fewer than {FEWEST_VALUES} do not show how large the noise is"
    if not np.isfinite(values).all():
        return "is not finite"
    _, low, high = (float(end[0]) for end in mean_intervals(values[:, None], level=SURE_OF_GAP))
    if low > 0:
        return ""
    return NEGATIVE if high < 0 else WITHIN_NOISE


def ratio_interval(above: np.ndarray, below: np.ndarray) -> Interval:
    """Ratio of the means of two per-prompt quantities, shape [prompt] each, with its interval.

    The ends are NaN if the prompts are too few, or do not bound the ratio. If all prompts have one ratio, it is both
    ends.

    Example:
        >>> ie.stats.ratio_interval(result.metric - result.corrupt, result.clean - result.corrupt)
    """
    from scipy.optimize import brentq
    from scipy.stats import t

    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    n = len(above)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(above.mean() / below.mean())
    if n < FEWEST_VALUES or not np.isfinite(ratio):
        return Interval(ratio, np.nan, np.nan)
    if np.abs(above - ratio * below).max() <= ROUNDING * np.abs(above).max():
        return Interval(ratio, ratio, ratio)
    reach, sign = float(t.ppf(SURE, n - 1)), 1.0 if below.mean() > 0 else -1.0

    def pivot(trial: float) -> float:
        """Falls with the trial ratio, from above `reach` to below -`reach` if the prompts bound the ratio."""
        difference = sign * (above - trial * below)
        centred = difference - difference.mean()
        square = (centred**2).mean()
        statistic = difference.mean() / np.sqrt(square / (n - 1))
        return corrected_for_skewness(statistic, (centred**3).mean() / square**1.5 / n**0.5)

    ends = []
    for side in (-1, 1):
        step = np.abs(above - ratio * below).mean() / np.abs(below).mean()
        while side * pivot(ratio + side * step) > -reach and step < FARTHEST * (1 + abs(ratio)):
            step *= 2
        bounded = side * pivot(ratio + side * step) <= -reach
        inner, outer = sorted((ratio, ratio + side * step))
        crossing = side * pivot(ratio) > -reach
        ends.append(brentq(lambda trial, side=side: pivot(trial) + side * reach, inner, outer)
                    if bounded and crossing else np.nan)  # fmt: skip
    return Interval(ratio, *map(float, ends)) if np.isfinite(ends).all() else Interval(ratio, np.nan, np.nan)


def corrected_for_skewness(statistic: float, lean: float) -> float:
    """Student's statistic, corrected for skewness; `lean` is the skewness over the root of the number of values."""
    return statistic + lean * statistic**2 / 3 + lean**2 * statistic**3 / 27 + lean / 6


def before_correction(corrected: np.ndarray, lean: np.ndarray) -> np.ndarray:
    """Student's statistic from the corrected one, shape [column] each."""
    flat = np.abs(lean) < FLAT
    safe = np.where(flat, 1, lean)
    root = np.cbrt(1 + safe * (corrected - safe / 6))
    return np.where(flat, corrected - lean / 6, 3 * (root - 1) / safe)


def percentile_interval(value: float, resampled: np.ndarray) -> Interval:
    """A value with the central 95% of its resamples. An end that differs from it by rounding alone is the value.

    Example:
        >>> ie.stats.percentile_interval(0.5, np.linspace(0, 1, 1001))
    """
    low, high = np.quantile(resampled, [TAIL, SURE])
    return Interval(value, *(value if isclose(end, value, rel_tol=ROUNDING) else float(end) for end in (low, high)))


@checked
def success_interval(n_success: int, n: int) -> Interval:
    """Share of successes with its exact 95% interval (Clopper and Pearson, 1934, https://doi.org/10.2307/2331986).

    Example:
        >>> ie.stats.success_interval(3, 10)

    Raises:
        InputError: `n` is below 1, or `n_success` does not lie between 0 and `n`.
    """
    from scipy.stats import binomtest

    if not 0 <= n_success <= n or n < 1:
        raise InputError(
            f"{n_success} successes out of {n} is not a possible count; give at least one trial, and at "
            "most as many successes"
        )
    found = binomtest(n_success, n).proportion_ci(LEVEL, method="exact")
    return Interval(n_success / n, float(found.low), float(found.high))
