"""Expected values over prompts and training runs: one-sided tests against a threshold, and intervals.

1. One run whose values are all 0 or 1 has the exact binomial test.
2. Otherwise the test is Student's, corrected for skewness as the interval of a mean is (`stats.intervals`). The
   variance is that over prompts plus that over runs, with Satterthwaite's degrees of freedom (1946,
   https://doi.org/10.2307/3002019). Few runs that happen to agree would give too many of these, so there are at most
   1.5 for each run but one: at 2.5% two runs then err in 3% of cases instead of 6%. With one run the differences
   between runs are unknown and left out. If runs answered other numbers of prompts, the prompts of each run count as
   drawn for it alone.
3. No test of a mean of few values holds its level if they have a long tail. So the p-values of values other than 0 and
   1 are multiplied by `CAUTION`. With a tail as long as that of a log-normal distribution, 16 values then err in 4% of
   cases at a level of 2.5%, and without it in 8%.
4. Fewer than `FEWEST_VALUES` prompts of a run decide nothing, unless it is the only one and its values are 0 or 1. Runs
   that agree exactly on values of 0 or 1 are tested as one of them. If other values agree exactly, the mean counts as
   certain.
"""

from collections.abc import Sequence

import numpy as np

from interp_emerge.stats.intervals import (
    FEWEST_VALUES,
    SURE,
    Interval,
    before_correction,
    corrected_for_skewness,
    mean_interval,
)

MOST_FREEDOM = 1.5
"""Most degrees of freedom for each training run but one."""
CAUTION = 4
"""P-values of values other than 0 and 1 are multiplied by this."""


def one_sided(runs: Sequence[np.ndarray], threshold: float) -> tuple[float, float]:
    """Two p-values: of the null that the expected value is at most the threshold, and of the null that it is above.

    Args:
        runs: per-prompt values of each training run, shape [prompt] each.
        threshold: the level to compare with, in the unit of the values.
    """
    from scipy.special import bdtr, bdtrc, stdtr

    variance, freedom, cube = _moments(runs)
    binary = all(np.isin(run, (0, 1)).all() for run in runs)
    if 0 < threshold < 1 and binary and (len(runs) == 1 or variance == 0):
        fewest = min(runs, key=len)
        right, n = int(fewest.sum()), len(fewest)
        return float(bdtrc(right - 1, n, threshold)), float(bdtr(right, n, threshold))
    if min(map(len, runs)) < FEWEST_VALUES:
        return 1.0, 1.0
    distance = float(np.mean([run.mean() for run in runs])) - threshold
    if variance == 0:
        return (0.0, 1.0) if distance > 0 else (1.0, 0.0)
    statistic = corrected_for_skewness(distance / variance**0.5, cube / variance**1.5)
    times = 1 if binary else CAUTION
    return min(1.0, times * float(stdtr(freedom, -statistic))), min(1.0, times * float(stdtr(freedom, statistic)))


def mean_over_runs(runs: Sequence[np.ndarray], *, share: bool = False) -> Interval:
    """Mean over training runs of their means over prompts, with its 95% interval (Student's, as in `one_sided`).

    One run has the interval of its mean, as have runs that are all right or all wrong. Two runs have a wide one,
    because two hardly show their spread. Runs of fewer than 5 prompts have none.

    Args:
        runs: per-prompt values of each training run, shape [prompt] each.
        share: whether the values are 0 or 1 by definition, so that the interval lies between 0 and 1.
    """
    from scipy.stats import t

    if len(runs) == 1:
        return mean_interval(runs[0], share=share)
    mean = float(np.mean([run.mean() for run in runs]))
    variance, freedom, cube = _moments(runs)
    if variance == 0 and mean in (0, 1):
        return mean_interval(min(runs, key=len), share=share)
    if variance == 0:
        return Interval(mean, mean, mean)
    if min(map(len, runs)) < FEWEST_VALUES:
        return Interval(mean, np.nan, np.nan)
    reach, lean = float(t.ppf(SURE, freedom)), np.array([cube / variance**1.5])
    low, high = (mean - float(before_correction(np.array([side]), lean)[0]) * variance**0.5 for side in (reach, -reach))
    return Interval(mean, max(low, 0.0), min(high, 1.0)) if share else Interval(mean, low, high)


def _moments(runs: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Variance of the mean over runs of their means over prompts, its degrees of freedom, and its third moment.

    If the runs answered the same prompts, both parts of the variance contain what is left over. The sum is then too
    large rather than too small. The third moment is that over prompts.
    """
    means, n = np.array([run.mean() for run in runs]), len(runs[0])
    over_runs = float(means.var(ddof=1)) / len(runs) if len(runs) > 1 else 0.0
    over_prompts = cube = 0.0
    if n > 1 and all(len(run) == n for run in runs):
        values = np.mean(runs, axis=0)
        over_prompts = float(values.var(ddof=1)) / n
        cube = float(((values - values.mean()) ** 3).mean()) / n**2
    elif (n := min(map(len, runs))) > 1:
        over_prompts = sum(float(run.var(ddof=1)) / len(run) for run in runs) / len(runs) ** 2
    total = over_runs + over_prompts
    if total == 0:
        return 0.0, 1.0, 0.0
    freedom = total**2 / (over_runs**2 / max(1, len(runs) - 1) + over_prompts**2 / max(1, n - 1))
    most = MOST_FREEDOM * (len(runs) - 1) if len(runs) > 1 else np.inf
    return total, min(freedom, most), cube
