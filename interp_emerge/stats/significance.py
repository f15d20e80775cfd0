"""Whether a mean over prompt pairs differs from zero: the sign-flip test, and corrections for many tests.

Under the null hypothesis a pair's value is as likely to be −x as x. The two-sided p-value is the share of all 2^n
choices of signs, counting the observed one, whose sum is at least as far from zero as the observed sum (Fisher, 1935,
The Design of Experiments, section 21). Let h be the total of the magnitudes on the lighter side of the observed values.
The choices counted are those with a total of at most h on one side of zero. So p is twice the share of subsets of the
magnitudes whose total is at most h. `_share` computes this share:

1. A magnitude above h is in no such subset, and a zero changes no total. Both are removed exactly. If all values have
   one sign nothing else is left, and p = 2 / 2^n.
2. If at most 12 magnitudes are left, `_share_by_counting` counts all their subsets.
3. If one magnitude dominates, subsets with it and without it are treated separately, at most four times.
4. Otherwise `_share_by_saddlepoint` uses the formula of Lugannani and Rice (1980, https://doi.org/10.2307/1426607) for
   the sign-flip distribution, as in Robinson (1982, Saddlepoint approximations for permutation tests and confidence
   intervals, Journal of the Royal Statistical Society B 44). It is corrected where `_lattice` finds that all magnitudes
   are multiples of one step, as they are for accuracy and for logits in half precision.

Nothing is sampled, so p-values can be as small as 2 / 2^n. The pairs must be independent of each other.
"""

from functools import cache

import numpy as np

from interp_emerge.core.errors import InputError

SIGNIFICANT = 0.05
"""The largest p-value at which a null hypothesis is rejected."""
MOST_COUNTED, MOST_SPLITS = 12, 4
"""Magnitudes whose subsets are counted, and times that a dominant magnitude is treated separately."""
DOMINANT = 0.1
"""Share of the sum of squares above which a magnitude dominates."""
COLUMNS_PER_BLOCK = 1024
"""Columns handled together: 34 MB where subsets are counted, otherwise 0.5 MB for each array of 64 pairs."""
EQUAL_TOTALS = 1e-12
"""Relative difference up to which totals are equal: sums in two orders differ by up to n · 1e-16."""
FINEST_STEP, ROUGHNESS = 1e-3, 1e-5
"""Smallest lattice step that matters, and tolerance of a multiple, as fractions of the largest magnitude."""
NEAR_CENTRE = 1e-3
"""Distance from the centre, in standard deviations, within which the limit replaces a difference of large terms."""
MOST_STEPS = 100
"""Newton steps. At most 23 were needed, for log-normal magnitudes with a spread of e^5."""


def sign_flip_p_values(values: np.ndarray) -> np.ndarray:
    """Two-sided p-values, shape [column], of the sign-flip test that the mean of values, shape [pair, column], is zero.

    A column of zeros has p = 1. Exact for up to 12 pairs, else within a few percent of the exact value.

    Raises:
        InputError: there is no pair, or a value is not finite.
    """
    if values.ndim != 2 or not len(values):
        raise InputError(
            f"the sign-flip test needs values of shape [pair, column] with at least one pair, not {values.shape}"
        )
    p_values = np.ones(values.shape[1])
    for start in range(0, len(p_values), COLUMNS_PER_BLOCK):
        columns = slice(start, start + COLUMNS_PER_BLOCK)
        p_values[columns] = _p_values(np.asarray(values[:, columns], dtype=np.float64))
    return p_values


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """For each test the smallest false-discovery rate at which it is a discovery; NaN where p is NaN.

    Source: Benjamini and Hochberg, 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import false_discovery_control

    rates, tested = np.full(p_values.shape, np.nan), ~np.isnan(p_values)
    if tested.any():
        rates[tested] = false_discovery_control(p_values[tested])
    return rates


def holm(p_values: np.ndarray) -> np.ndarray:
    """For each test the smallest family-wise error rate at which it is rejected; NaN where p is NaN.

    The probability of at least one false rejection among all tests is at most that rate, for any dependence between
    them. The k-th smallest of n p-values is multiplied by n - k + 1. Source: Holm, 1979,
    https://www.jstor.org/stable/4615733.
    """
    rates, tested = np.full(p_values.shape, np.nan), np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    rates[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1)
    return rates


def _p_values(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError("the sign-flip test needs finite values; leave out pairs whose value is undefined")
    lighter = np.minimum(np.maximum(values, 0).sum(0), np.maximum(-values, 0).sum(0))
    share = _share(np.abs(values), lighter * (1 + EQUAL_TOTALS), splits=MOST_SPLITS)
    least = np.exp2(1.0 - np.count_nonzero(values, axis=0))
    return np.clip(2 * share, np.clip(least, np.finfo(np.float64).tiny, 1), 1)


def _share(sizes: np.ndarray, limit: np.ndarray, *, splits: int) -> np.ndarray:
    """For each column of sizes the share of all subsets whose total is at most the column's limit."""
    movable = np.where(sizes <= limit, sizes, 0)
    n_movable = np.count_nonzero(movable, axis=0)
    few = n_movable <= MOST_COUNTED
    open_ = ~few & (movable.sum(0) > limit)
    dominated = open_ & (movable.max(0) ** 2 > DOMINANT * (movable**2).sum(0)) & (splits > 0)
    smooth = open_ & ~dominated

    share = np.ones(len(limit))
    if few.any():
        share[few] = _share_by_counting(movable[:, few], limit[few])
    if dominated.any():
        share[dominated] = _share_by_splitting(movable[:, dominated], limit[dominated], splits=splits - 1)
    if smooth.any():
        share[smooth] = _share_by_saddlepoint(movable[:, smooth], limit[smooth])
    return share * 0.5 ** (np.count_nonzero(sizes, axis=0) - n_movable)


def _share_by_counting(sizes: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The share if at most 12 sizes of a column are not zero."""
    largest = np.sort(sizes, axis=0)[-MOST_COUNTED:]
    return (_subsets(len(largest)) @ largest <= limit).mean(0)


@cache
def _subsets(n: int) -> np.ndarray:
    """All subsets of `n` items as rows of zeros and ones, shape [subset, item]."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)


def _share_by_splitting(sizes: np.ndarray, limit: np.ndarray, *, splits: int) -> np.ndarray:
    """The mean of the shares with the largest size and without it. This size is at most the limit."""
    at = sizes.argmax(0)[None]
    largest, others = np.take_along_axis(sizes, at, 0)[0], sizes.copy()
    np.put_along_axis(others, at, 0, 0)
    return (_share(others, limit - largest, splits=splits) + _share(others, limit, splits=splits)) / 2


def _share_by_saddlepoint(sizes: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The approximate share if more than 12 sizes of a column are not zero and their total is above the limit.

    It is P(S ≥ s) for the sum S of the sizes with random signs and s = total − 2 · limit. The logarithm of the
    moment-generating function of S is K(t) = Σ log cosh(t · size).
    """
    from scipy.special import ndtr

    unit = sizes.max(0)
    sizes, limit = sizes / unit, limit / unit
    step = _lattice(sizes)
    limit = np.where(step > 0, np.floor(limit / np.where(step > 0, step, 1) + ROUGHNESS) * step, limit)
    excess = sizes.sum(0) - 2 * limit
    distance = np.abs(excess)
    tilt = _tilt(sizes, distance)
    scaled = tilt * sizes
    log_moment = (scaled + np.log1p(np.exp(-2 * scaled)) - np.log(2)).sum(0)
    side, spread = np.where(excess < 0, -1.0, 1.0), np.sqrt((sizes**2 * (1 - np.tanh(scaled) ** 2)).sum(0))
    w = side * np.sqrt(2 * np.maximum(tilt * distance - log_moment, 0))
    span = np.maximum(2 * step, 1e-9)
    u = -np.expm1(-span * side * tilt) / span * spread
    far = np.abs(w) > NEAR_CENTRE
    between = np.where(far, 1 / np.where(far, u, 1) - 1 / np.where(far, w, 1), span / (2 * spread))
    return np.clip(ndtr(-w) + np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi) * between, 0, 1)


def _tilt(sizes: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The root t of K′(t) = distance. K′ is concave for t > 0, so Newton steps from 0 increase towards it."""
    tilt = np.zeros(len(distance))
    for _ in range(MOST_STEPS):
        tanh = np.tanh(tilt * sizes)
        rise = (distance - (sizes * tanh).sum(0)) / (sizes**2 * (1 - tanh**2)).sum(0)
        tilt = tilt + rise
        if (np.abs(rise) <= 1e-9 * (1 + tilt)).all():
            break
    return tilt


def _lattice(sizes: np.ndarray) -> np.ndarray:
    """The largest step such that all sizes of a column are multiples of it; 0 if it is too small to matter.

    This is Euclid's algorithm. All sizes are at most 1.
    """
    step, left = np.ones(sizes.shape[1]), np.arange(sizes.shape[1])
    for row in sizes:
        larger, smaller = step[left], row[left]
        while (going := smaller > ROUGHNESS).any():
            divisor = np.where(going, smaller, 1)
            rest = np.abs(larger - divisor * np.round(larger / divisor))
            larger, smaller = np.where(going, smaller, larger), np.where(going, rest, 0)
        step[left] = np.where(larger < FINEST_STEP, 0, larger)
        left = left[larger >= FINEST_STEP]
    return step
