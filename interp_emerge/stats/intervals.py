"""Bootstrap intervals over prompts.

Prompts are resampled with replacement and the statistic is taken again: the percentile interval of Efron (1979,
https://doi.org/10.1214/aos/1176344552). The seed is fixed, so the same values give the same interval.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
COLUMNS_AT_ONCE = 1024
"""Columns resampled in one piece of work: 8 MB of means."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95% interval."""

    value: float
    low: float
    high: float


@cache
def resample_rows(n: int, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Indices of bootstrap samples of `n` prompts, shape [resample, prompt]."""
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def mean_interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Mean of per-prompt values, shape [prompt], with its interval."""
    means = values[resample_rows(len(values), seed=seed)].mean(1)
    return percentile_interval(float(values.mean()), means)


def mean_intervals(values: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of columns of per-prompt values, shape [prompt, column], with lower and upper ends, shape [column] each."""
    weights = np.zeros((RESAMPLES, len(values)))
    rows = resample_rows(len(values), seed=seed)
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], rows), 1 / len(values))
    ends = np.empty((2, values.shape[1]))
    for start in range(0, values.shape[1], COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        ends[:, columns] = np.quantile(weights @ values[:, columns], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
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
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
