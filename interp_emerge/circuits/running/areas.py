"""Areas of a curve of faithfulness f over the share of edges, with their 95% intervals: CPR and CMD.

Areas are sums over the shares with the weights of the trapezoidal rule (Mueller et al., 2025,
https://arxiv.org/abs/2504.13151).

1. **CPR**, the area under f, is a ratio of means: of what a pair keeps, summed with these weights, over the pair's gap.
   `cpr_interval` is that ratio's interval.
2. **CMD**, the area between f and 1, is such a ratio only where the signs of 1 − f are known. `cmd_interval` takes the
   signs that are sure: together they are wrong in at most 1% of cases (`WRONG_SIGNS`), divided over the shares by
   their weight. The sum over these shares is a ratio of means with an interval. The lower end of CMD is its lower end,
   and at least 0: shares whose sign is not sure may have f = 1. The upper end is its upper end, plus the larger
   distance from 1 to the interval of f at each other share.

The value of CMD is that of the measured curve, which lies inside the interval. Noise adds to it, because a distance
cannot be negative: where f is 1 the value is not 0 but about 0.8 standard errors of f. No estimate of a distance is
without bias for all f. Measured bias and coverage: docs/calibration.md and docs/validity.md.
"""

import numpy as np
from jaxtyping import Float

from interp_emerge.stats.intervals import Interval, mean_intervals, ratio_interval

WRONG_SIGNS = 0.01
"""Largest probability that the sign of 1 − f is wrong at any share that counts as sure."""


def cpr_interval(
    kept: Float[np.ndarray, "share pair"], gap: Float[np.ndarray, " pair"], shares: Float[np.ndarray, " share"]
) -> Interval:
    """Area under the faithfulness.

    Example:
        >>> kept, gap = np.ones((2, 40)) * [[0.5], [1.0]], np.ones(40)  # half of the gap with a tenth of the edges
        >>> ie.circuits.running.cpr_interval(kept, gap, np.array([0.1, 1.0])).value

    Args:
        kept: metric of the circuit at each share minus that with every edge ablated, in the metric's unit.
        gap: the same for the whole model.
        shares: ascending fractions of the graph's edges, at least two.
    """
    return ratio_interval(trapezoid_weights(shares) @ kept, gap)


def cmd_interval(
    kept: Float[np.ndarray, "share pair"], gap: Float[np.ndarray, " pair"], shares: Float[np.ndarray, " share"]
) -> Interval:
    """Area between the faithfulness and 1; the arguments are those of `cpr_interval`.

    Example:
        >>> kept, gap = np.ones((2, 40)) * [[0.5], [1.0]], np.ones(40)
        >>> ie.circuits.running.cmd_interval(kept, gap, np.array([0.1, 1.0])).value
    """
    weights = trapezoid_weights(shares)
    # Weighted differences are never all 0 or 1, so their intervals are not those of shares of successes.
    missing = weights[:, None] * (gap - kept)
    value = float(np.abs(missing.mean(1)).sum() / gap.mean())
    signs = np.array([_sure_sign(*each) for each in zip(missing, WRONG_SIGNS * weights / weights.sum(), strict=True)])
    low = high = 0.0
    if signs.any():
        known = ratio_interval(signs @ missing, gap)
        low, high = np.maximum(known.low, 0), known.high
    for share in np.flatnonzero(signs == 0):
        unknown = ratio_interval(missing[share], gap)
        high += max(abs(unknown.low), abs(unknown.high))
    # Shares whose interval is undefined leave both ends undefined.
    return Interval(value, float(low), float(high)) if np.isfinite(high) else Interval(value, np.nan, np.nan)


def _sure_sign(values: Float[np.ndarray, " pair"], wrong: float) -> int:
    """The sign of the mean if it is wrong with at most this probability, else 0."""
    _, low, high = mean_intervals(values[:, None], level=1 - wrong)
    return int(low[0] > 0) - int(high[0] < 0)


def trapezoid_weights(shares: Float[np.ndarray, " share"]) -> Float[np.ndarray, " share"]:
    """The weights with which values at the shares add up to the area under them."""
    widths = np.diff(shares)
    return (np.append(widths, 0) + np.append(0, widths)) / 2
