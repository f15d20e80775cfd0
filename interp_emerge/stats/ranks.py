"""Ranks: how a value lies among draws of its null, and how two orders agree.

The p-value of a rank is (1 + draws at least as extreme) / (1 + draws). Under the null the value is one more draw, so it
is counted among them: then p ≤ α happens with probability at most α, for every α and every number of draws (Phipson and
Smyth, 2010, https://doi.org/10.2202/1544-6115.1585). With n draws no p-value is below 1 / (1 + n).

One rule for ties. A draw ties with the value where they differ by at most 1e-5 of the largest magnitude: of the value,
of its draws, and of the terms that they are differences of, where that is given. A tie counts as at least as extreme,
so against the claim. Without a tolerance a draw that is the value itself would win or lose by rounding: the metric of
one circuit differs between two batches by up to 3e-6 on metrics up to 5 (float32), a fraction of 6e-7, and sums of n
numbers in two orders differ by about n · 1e-16. A value near zero is often a difference of large terms and holds their
rounding, hence the largest magnitude and not the value's own. A tie too many makes p larger, never smaller.

A value that is NaN has p = NaN. Draws that are NaN are left out, as if they had not been drawn; without
any draw left p is NaN. Infinite values are compared as numbers and leave the tolerance alone.
"""

from typing import Literal

import numpy as np

from interp_emerge.core.errors import InputError

Side = Literal["greater", "less"]
BEYOND = {"greater": np.greater, "less": np.less}
TIE = 1e-5
"""Values are equal up to this fraction of the largest magnitude."""
NULL_QUANTILE = 0.95
"""Share of a null's draws that a value exceeds to count as more than chance."""


def rank_p(
    value: float,
    null: np.ndarray,
    *,
    side: Side = "greater",
    magnitude: float = 0.0,
    then: tuple[float, np.ndarray] | None = None,
) -> float:
    """The p-value of a value's rank among draws of its null; the module says what ties and NaN do.

    Args:
        value: what was observed.
        null: what was drawn under the null hypothesis, shape [draw].
        side: whether large values (`greater`) or small ones (`less`) speak against the null.
        magnitude: of what the values are differences or shares of, in their unit; 1 for shares of a gap.
        then: a second observed value and its draws, shape [draw], which decide about draws that tie in the first.

    Raises:
        InputError: draws of more than one dimension, or second draws of another number.
    """
    for draws in (null, *(() if then is None else then[1:])):
        if draws.shape != (len(null),):
            raise InputError(f"draws of shape {list(draws.shape)} cannot be ranked; give one number a draw, and as "
                             "many second ones")  # fmt: skip
    beyond, tied = beyond_and_tied(value, null, side=side, magnitude=magnitude)
    if then is not None:
        tied &= np.logical_or(*beyond_and_tied(*then, side=side))
    n = int((~np.isnan(null)).sum())
    return (1 + int((beyond | tied).sum())) / (1 + n) if n and not np.isnan(value) else np.nan


def beyond_and_tied(
    value: float, null: np.ndarray, *, side: Side = "greater", magnitude: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Which draws are more extreme than the value and which tie with it, shape [draw] each; arguments of `rank_p`."""
    near = tolerance(np.append(null, [value, magnitude]))
    tied = (null >= value - near) & (null <= value + near)
    return BEYOND[side](null, value) & ~tied, tied


def tolerance(values: np.ndarray) -> float:
    """How close some values are equal, in their unit; 0 where none is finite."""
    return TIE * float(np.abs(values[np.isfinite(values)]).max(initial=0))


def least_p(n_draws: int, *, n_tests: int = 1) -> float:
    """The least p-value that a rank among `n_draws` can have, times the number of tests that it is adjusted for."""
    return n_tests / (1 + n_draws)


def null_quantile(null: np.ndarray) -> np.ndarray:
    """What a value has to exceed to count as more than chance: the 95% quantile over draws, shape [draw, ...]."""
    return np.asarray(np.quantile(null, NULL_QUANTILE, axis=0, method="higher"))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis of x and y, which broadcast, shape [...].

    Equal values share the mean of their ranks. NaN for fewer than two values, where one side is constant or a value is
    NaN. Values that rounding alone tells apart have to be rounded before.
    """
    from scipy.stats import rankdata

    x, y = (np.asarray(rankdata(side, axis=-1)) for side in (x, y))
    x, y = (side - side.mean(-1, keepdims=True) for side in (x, y))
    below = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    above = (x * y).sum(-1)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
