"""Ranks: where a value lies among draws of its null, and how well two orders agree.

The p-value of a rank is (1 + draws at least as extreme) / (1 + draws). Under the null hypothesis the value is one more
draw, so it is counted among them. Then p ≤ α happens with probability at most α, for every α and every number of draws
(Phipson and Smyth, 2010, https://doi.org/10.2202/1544-6115.1585). With n draws no p-value is below 1 / (1 + n).

There is one rule for ties. A draw ties with the value if the two differ by at most 1e-5 of the largest magnitude. That
is the largest magnitude of the value, of its draws and, if given, of the terms whose differences these are. A tie
counts as at least as extreme, so it counts against the claim. Without a tolerance a draw equal to the value would win
or lose by rounding. The metric of one circuit differs between two batches by up to 3e-6 on metrics up to 5 (float32), a
fraction of 6e-7. Sums of n numbers in two orders differ by about n · 1e-16. A value near zero is often a difference of
large terms and contains their rounding errors, hence the largest magnitude and not that of the value. One tie too many
makes p larger, never smaller.

A value that is NaN has p = NaN. Draws that are NaN are left out, as if they had not been drawn. Without any draw left,
p is NaN. Infinite values are compared as numbers and do not change the tolerance.
"""

from typing import Literal

import numpy as np

from interp_emerge.core.errors import InputError

Side = Literal["greater", "less"]
BEYOND = {"greater": np.greater, "less": np.less}
TIE = 1e-5
"""Values that differ by at most this fraction of the largest magnitude are equal."""
NULL_QUANTILE = 0.95
"""Share of a null's draws that a value must exceed to count as more than chance."""


def rank_p(
    value: float,
    null: np.ndarray,
    *,
    side: Side = "greater",
    magnitude: float = 0.0,
    then: tuple[float, np.ndarray] | None = None,
) -> float:
    """The p-value of a value's rank among draws of its null. The module's text explains ties and NaN.

    Example:
        >>> ie.stats.rank_p(5.0, np.arange(19.0))  # larger than 5 of 19 draws

    Args:
        value: the observed value.
        null: values drawn under the null hypothesis, shape [draw].
        side: whether large values (`greater`) or small values (`less`) are evidence against the null.
        magnitude: of the terms that the values are differences of, in the values' unit; 1 for shares of a gap.
        then: a second observed value and its draws, shape [draw], which decide between draws that tie in the first.

    Raises:
        InputError: draws with more than one dimension, or a different number of second draws.
    """
    for draws in (null, *(() if then is None else then[1:])):
        if draws.shape != (len(null),):
            raise InputError(f"draws of shape {list(draws.shape)} cannot be ranked; give one number for each draw, and "
                             "one second number for each draw")  # fmt: skip
    beyond, tied = beyond_and_tied(value, null, side=side, magnitude=magnitude)
    if then is not None:
        tied &= np.logical_or(*beyond_and_tied(*then, side=side))
    n = int((~np.isnan(null)).sum())
    return (1 + int((beyond | tied).sum())) / (1 + n) if n and not np.isnan(value) else np.nan


def beyond_and_tied(
    value: float, null: np.ndarray, *, side: Side = "greater", magnitude: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a draw is beyond the value, and whether it ties, shape [draw] each; arguments as in `rank_p`."""
    near = tolerance(np.append(null, [value, magnitude]))
    tied = (null >= value - near) & (null <= value + near)
    return BEYOND[side](null, value) & ~tied, tied


def tolerance(values: np.ndarray) -> float:
    """Largest difference of two values that counts as a tie, in the values' unit; 0 if none is finite."""
    return TIE * float(np.abs(values[np.isfinite(values)]).max(initial=0))


def least_p(n_draws: int, *, n_tests: int = 1) -> float:
    """Smallest p-value of a rank among `n_draws` draws, times the number of tests that it is adjusted for."""
    return n_tests / (1 + n_draws)


def null_quantile(null: np.ndarray) -> np.ndarray:
    """The 95% quantile over draws, shape [draw, ...]: what a value must exceed to count as more than chance."""
    return np.asarray(np.quantile(null, NULL_QUANTILE, axis=0, method="higher"))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis of x and y, which broadcast, shape [...].

    Equal values share the mean of their ranks. The result is NaN for fewer than two values, for a constant side, and if
    a value is NaN. Values that differ by rounding errors alone must be rounded first.

    Example:
        >>> ie.stats.spearman(np.array([1, 2, 3]), np.array([10, 30, 20]))
    """
    from scipy.stats import rankdata

    x, y = (np.asarray(rankdata(side, axis=-1)) for side in (x, y))
    x, y = (side - side.mean(-1, keepdims=True) for side in (x, y))
    below = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    above = (x * y).sum(-1)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
