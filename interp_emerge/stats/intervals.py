"""Values with their intervals: bootstrap over prompts, and what an undefined one is.

Prompts are resampled with replacement and the statistic is taken again: the percentile interval of Efron (1979,
https://doi.org/10.1214/aos/1176344552). The seed is fixed, so the same values give the same interval.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.stats.resampling import RESAMPLES, resample_rows, resample_weights

LEVEL = 0.95
"""Share of the resamples that an interval holds."""
TAIL, SURE = (1 - LEVEL) / 2, (1 + LEVEL) / 2
"""Shares of the resamples below an interval's lower and below its upper end: 2.5% and 97.5%."""
UNDEFINED = "undefined"
"""How a value that is not defined reads in text and in tables."""
COLUMNS_AT_ONCE = 1024
"""Columns resampled in one piece of work: 8 MB of means."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95% interval.

    As text it reads `0.84 [0.79, 0.88]`, and `undefined` where the value is NaN. A format applies to all three numbers:
    `f"{interval:.0%}"` reads `84% [79%, 88%]`.
    """

    value: float
    low: float
    high: float

    @classmethod
    def undefined(cls) -> "Interval":
        """The interval of a quantity that is not defined: NaN with NaN ends."""
        return cls(np.nan, np.nan, np.nan)

    @classmethod
    def of(cls, row: Any, name: str, ends: str | None = None) -> "Interval":
        """The interval in one row of a table, a mapping or a pandas row, from the columns that `columns` names."""
        return cls(*(row[column] for column in interval_columns(name, ends)))

    def columns(self, name: str, ends: str | None = None) -> dict[str, float]:
        """The numbers by column of a table: `name`, `{ends}_low` and `{ends}_high`; `ends` is `name` if left out."""
        return dict(zip(interval_columns(name, ends), (self.value, self.low, self.high), strict=True))

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        if np.isnan(self.value):
            return UNDEFINED
        spec = spec or ".2f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def interval_columns(name: str, ends: str | None = None) -> tuple[str, str, str]:
    """Names of the columns of a table that hold a value and the ends of its interval."""
    ends = name if ends is None else ends
    return name, f"{ends}_low", f"{ends}_high"


def mean_interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Mean of per-prompt values, shape [prompt], with its interval."""
    means = values[resample_rows(len(values), seed=seed)].mean(1)
    return percentile_interval(float(values.mean()), means)


def mean_intervals(values: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of columns of per-prompt values, shape [prompt, column], with lower and upper ends, shape [column] each."""
    weights = resample_weights(len(values), resamples=RESAMPLES, seed=seed)
    ends = np.empty((2, values.shape[1]))
    for start in range(0, values.shape[1], COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        ends[:, columns] = np.quantile(weights @ values[:, columns], [TAIL, SURE], axis=0)
    return values.mean(0), ends[0], ends[1]


def ratio_interval(above: np.ndarray, below: np.ndarray, *, seed: int = 0) -> Interval:
    """Ratio of the means of two per-prompt quantities, resampled together.

    The interval's ends are NaN where a resample has nothing to divide by: then the prompts do not bound the ratio.
    """
    rows = resample_rows(len(above), seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = above[rows].mean(1) / below[rows].mean(1)
        ratios[~np.isfinite(ratios)] = np.nan
    return percentile_interval(float(above.mean() / below.mean()), ratios)


def percentile_interval(value: float, resampled: np.ndarray) -> Interval:
    """A value with the central 95% of its resamples."""
    low, high = np.quantile(resampled, [TAIL, SURE])
    return Interval(value, float(low), float(high))


@checked
def success_interval(n_success: int, n: int) -> Interval:
    """Share of successes with its exact 95% interval (Clopper and Pearson, 1934, https://doi.org/10.2307/2331986).

    Raises:
        InputError: nothing was tried, or more succeeded than were tried.
    """
    from scipy.stats import binomtest

    if not 0 <= n_success <= n or n < 1:
        raise InputError(
            f"{n_success} successes out of {n} is not a possible count; give a number from 0 to the number tried"
        )
    found = binomtest(n_success, n).proportion_ci(LEVEL, method="exact")
    return Interval(n_success / n, float(found.low), float(found.high))
