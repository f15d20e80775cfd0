"""Intervals of the means of columns of values, shape [value, simulation]: that of the package, and others."""

from collections.abc import Callable

import numpy as np
from scipy.stats import f as fisher, t as student_t

from interp_emerge.stats import mean_intervals
from interp_emerge.stats.intervals import SURE, TAIL, before_correction

RESAMPLES = 999
Ends = tuple[np.ndarray, np.ndarray]
"""Lower and upper ends, shape [simulation] each."""


def now(values: np.ndarray) -> Ends:
    return mean_intervals(values)[1:]


def student(values: np.ndarray) -> Ends:
    mean, error, reach, _ = parts(values)
    return mean - reach * error, mean + reach * error


def percentile(values: np.ndarray) -> Ends:
    low, high = resampled(values, lambda means, _, __: np.quantile(means, [TAIL, SURE])).T
    return low, high


def bootstrap_t(values: np.ndarray) -> Ends:
    mean, error, _, _ = parts(values)

    def quantiles(means: np.ndarray, errors: np.ndarray, centre: float) -> np.ndarray:
        some = errors > 1e-9 * errors.max()
        return np.quantile((means - centre)[some] / errors[some], [TAIL, SURE])

    low, high = resampled(values, quantiles).T
    return mean - high * error, mean - low * error


def widest_of_both(values: np.ndarray) -> Ends:
    (low, high), (least, most) = student(values), bootstrap_t(values)
    return np.minimum(low, least), np.maximum(high, most)


def likelihood(values: np.ndarray) -> Ends:
    mean, limit = values.mean(0), fisher.ppf(SURE - TAIL, 1, len(values) - 1)

    def ratio(trial: np.ndarray) -> np.ndarray:
        moved = values - trial
        low, high = (1 / len(values) - 1) / moved.max(0), (1 / len(values) - 1) / moved.min(0)
        for _ in range(40):
            middle = (low + high) / 2
            rises = (moved / (1 + middle * moved)).sum(0) > 0
            low, high = np.where(rises, middle, low), np.where(rises, high, middle)
        return 2 * np.log1p((low + high) / 2 * moved).sum(0)

    ends = []
    for outer in (values.min(0), values.max(0)):
        inside = mean
        for _ in range(22):
            middle = (inside + outer) / 2
            kept = ratio(middle) < limit
            inside, outer = np.where(kept, middle, inside), np.where(kept, outer, middle)
        ends.append(inside)
    return ends[0], ends[1]


def capped(values: np.ndarray) -> Ends:
    mean, error, reach, lean = parts(values)
    down, up = (np.clip(side * before_correction(np.full(len(mean), side * reach), lean * (1 + 8 / len(values))),
                        reach, 2.6 * reach) for side in (1, -1))  # fmt: skip
    return mean - down * error, mean + up * error


def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Mean, standard error, Student's quantile, and the skewness over the root of n."""
    n, centred = len(values), values - values.mean(0)
    square = (centred**2).mean(0)
    lean = (centred**3).mean(0) / square**1.5 / n**0.5
    return values.mean(0), np.sqrt(square / (n - 1)), float(student_t.ppf(SURE, n - 1)), lean


def resampled(values: np.ndarray, of: Callable[..., np.ndarray]) -> np.ndarray:
    """A function of the means and standard errors of bootstrap samples, and the mean, of each column."""
    rng, n = np.random.default_rng(0), len(values)
    samples = (column[rng.integers(0, n, (RESAMPLES, n))] for column in values.T)
    return np.array([of(one.mean(1), one.std(1, ddof=1) / n**0.5, values[:, at].mean()) for at, one in
                     enumerate(samples)])  # fmt: skip


METHODS: dict[str, Callable[[np.ndarray], Ends]] = {
    "Student's, corrected for skewness: that of `stats`": now,
    "central 95% of bootstrap means, as before": percentile,
    "Student's": student,
    "bootstrap-t": bootstrap_t,
    "bootstrap-t or Student's, at each end the farther": widest_of_both,
    "empirical likelihood, with the quantile of F": likelihood,
    "skewness times 1 + 8/n, each side 1 to 2.6 times Student's": capped,
}
