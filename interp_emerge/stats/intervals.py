"""Values with their 95% intervals, which come from a bootstrap over prompts; and undefined values.

Prompts are resampled with replacement, and the statistic is computed again for each sample. The interval is that of
percentiles (Efron, 1979, https://doi.org/10.1214/aos/1176344552). The seed is fixed, so the same values give the same
interval.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.stats.resampling import RESAMPLES, resample_rows, resample_weights

LEVEL = 0.95
"""Share of the resamples inside an interval."""
TAIL, SURE = (1 - LEVEL) / 2, (1 + LEVEL) / 2
"""Shares of the resamples below the lower and below the upper end of an interval: 2.5% and 97.5%."""
UNDEFINED = "undefined"
"""The word for an undefined value in text and in tables."""
COLUMNS_PER_BLOCK = 1024
"""Columns resampled together: 8 MB of means."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95% interval.

    As text it reads `0.84 [0.79, 0.88]`, or `undefined` if the value is NaN. A format applies to all three numbers:
    `f"{interval:.0%}"` reads `84% [79%, 88%]`.
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
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def interval_columns(name: str, prefix: str | None = None) -> tuple[str, str, str]:
    """Names of a table's columns for a value and the ends of its interval."""
    prefix = name if prefix is None else prefix
    return name, f"{prefix}_low", f"{prefix}_high"


def mean_interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Mean of per-prompt values, shape [prompt], with its interval."""
    means = values[resample_rows(len(values), seed=seed)].mean(1)
    return percentile_interval(float(values.mean()), means)


def mean_intervals(values: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of columns of values, shape [prompt, column], and lower and upper ends, shape [column] each."""
    weights = resample_weights(len(values), resamples=RESAMPLES, seed=seed)
    ends = np.empty((2, values.shape[1]))
    for start in range(0, values.shape[1], COLUMNS_PER_BLOCK):
        columns = slice(start, start + COLUMNS_PER_BLOCK)
        ends[:, columns] = np.quantile(weights @ values[:, columns], [TAIL, SURE], axis=0)
    return values.mean(0), ends[0], ends[1]


def ratio_interval(above: np.ndarray, below: np.ndarray, *, seed: int = 0) -> Interval:
    """Ratio of the means of two per-prompt quantities, with both resampled together.

    The ends are NaN if one of the resamples has a denominator of zero: then the prompts do not bound the ratio.
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
