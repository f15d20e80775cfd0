"""Whether a mean over prompt pairs differs from zero: the sign-flip test, and corrections for many tests.

Under the null hypothesis a pair's value is as likely to be −x as x. The two-sided p-value is the share of all 2^n
choices of signs, counting the observed one, whose sum is at least as far from zero as the observed sum (Fisher, 1935,
The Design of Experiments, section 21). Let h be the total of the magnitudes on the lighter side of the observed values.
The choices counted are those with a total of at most h on one side of zero. So p is twice the share of subsets of the
magnitudes whose total is at most h. `_share` computes this share:

1. A magnitude above h is in no such subset, and a zero changes no total. Both are removed exactly. If all values have
   one sign nothing else is left, and p = 2 / 2^n.
2. If at most 24 magnitudes are left, the subsets are counted. Up to 12 magnitudes `_share_by_counting` lists all
   subsets. Beyond, `_share_by_halves` lists those of either half of the magnitudes, and counts the pairs of them
   (Horowitz and Sahni, 1974, https://doi.org/10.1145/321812.321823).
3. If one magnitude dominates, subsets with it and without it are treated separately, at most four times.
4. Otherwise `_share_by_saddlepoint` uses the formula of Lugannani and Rice (1980, https://doi.org/10.2307/1426607) for
   the sign-flip distribution, as in Robinson (1982, Saddlepoint approximations for permutation tests and confidence
   intervals, Journal of the Royal Statistical Society B 44). The formula assumes that the sums fill the line evenly.
5. Sums of equal or nearly equal magnitudes do not: those of accuracies are whole numbers, and those of probabilities
   near 1 lie close to whole numbers. `_unevenness` estimates the relative error that this causes. Where it exceeds 3%,
   `_share_by_sampling` draws signs that favour sums near the observed one, and weights each draw by its probability
   under the null (importance sampling). The seed is fixed, and the standard error is about 1% of p.

P-values can be as small as 2 / 2^n. The pairs must be independent of each other. Measured errors and rates of
rejection: docs/calibration.md.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from interp_emerge.core.errors import InputError

SIGNIFICANT = 0.05
"""The largest p-value at which a null hypothesis is rejected."""
MOST_LISTED, MOST_COUNTED, MOST_SPLITS = 12, 24, 4
"""Magnitudes whose subsets are listed together, or by halves, and times that a dominant magnitude is treated alone."""
DOMINANT = 0.1
"""Share of the sum of squares above which a magnitude dominates."""
COLUMNS_PER_BLOCK = 256
"""Columns handled together: 8 MB where subsets are counted, otherwise 0.1 MB for each array of 64 pairs."""
EQUAL_TOTALS = 1e-12
"""Relative difference up to which totals are equal: sums in two orders differ by up to n · 1e-16."""
MOST_UNEVEN = 0.03
"""Relative error of the saddlepoint formula above which signs are drawn instead."""
FIRST_PEAK = 4
"""Distance from 0, in widths, beyond which a peak of the characteristic function is a second one."""
SCREENED = 24
"""Magnitudes that decide first whether the sums of a column can be uneven at all."""
SIGNS_DRAWN = 16384
"""Choices of signs drawn: the standard error is 1.0% of p for p = 0.05, and 1.3% for p = 1e-6."""
NEAR_CENTRE = 1e-3
"""Distance from the centre, in standard deviations, within which the limit replaces a difference of large terms."""
FLAT = 40.0
"""Tilted magnitude beyond which a sign is certain, to rounding; cosh of it is still finite in single precision."""
MOST_STEPS = 100
"""Newton steps. At most 23 were needed, for log-normal magnitudes with a spread of e^5."""


def sign_flip_p_values(values: np.ndarray) -> np.ndarray:
    """Two-sided p-values, shape [column], of the sign-flip test that the mean of values, shape [pair, column], is zero.

    A column of zeros has p = 1. Exact for up to 24 pairs, else within a few percent of the exact value.

    Example:
        >>> ie.stats.sign_flip_p_values(heads.per_pair)

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

    Example:
        >>> ie.stats.false_discovery(np.array([0.01, 0.04, 0.5]))
        array([0.03, 0.06, 0.5 ])
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

    Example:
        >>> ie.stats.holm(np.array([0.01, 0.04, 0.5]))
        array([0.03, 0.08, 0.5 ])
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
    open_ = movable.sum(0) > limit
    listed, counted = n_movable <= MOST_LISTED, open_ & (n_movable > MOST_LISTED) & (n_movable <= MOST_COUNTED)
    many = open_ & (n_movable > MOST_COUNTED)
    dominated = many & (movable.max(0) ** 2 > DOMINANT * (movable**2).sum(0)) & (splits > 0)

    share = np.ones(len(limit))
    if listed.any():
        share[listed] = _share_by_counting(movable[:, listed], limit[listed])
    if counted.any():
        share[counted] = _share_by_halves(movable[:, counted], limit[counted])
    if dominated.any():
        share[dominated] = _share_by_splitting(movable[:, dominated], limit[dominated], splits=splits - 1)
    if (smooth := many & ~dominated).any():
        share[smooth] = _share_of_many(movable[:, smooth], limit[smooth])
    return share * 0.5 ** (np.count_nonzero(sizes, axis=0) - n_movable)


def _share_by_counting(sizes: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The share if at most 12 sizes of a column are not zero."""
    largest = np.sort(sizes, axis=0)[-MOST_LISTED:]
    return (_subsets(len(largest)) @ largest <= limit).mean(0)


def _share_by_halves(sizes: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The share if at most 24 sizes of a column are not zero.

    A total is that of a subset of every second size plus that of a subset of the others. For each total of the first
    kind the totals of the second kind that still fit are counted by bisection.
    """
    largest = np.sort(sizes, axis=0)[-MOST_COUNTED:]
    first, second = (_subsets(len(half)) @ half for half in (largest[::2], largest[1::2]))
    second.sort(axis=0)
    fitting = [
        np.searchsorted(totals, most - others, side="right").sum()
        for others, totals, most in zip(first.T, second.T, limit, strict=True)
    ]
    return np.array(fitting) / (len(first) * len(second))


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


@dataclass(frozen=True, kw_only=True)
class _Tail:
    """Sums of sizes with random signs, S, and the least sum that counts, for each column; largest size 1.

    `tilt` is the saddlepoint t, the root of K′(t) = |distance|, where K(t) = Σ log cosh(t · size) is the logarithm of
    the moment-generating function of S. Under the tilted law a size has the sign + with probability 1 / (1 + e^(−2t ·
    size)); then S has the mean |distance| and the standard deviation `spread`. `exponent` is K(t) − t · |distance|.
    """

    sizes: np.ndarray
    distance: np.ndarray
    tilt: np.ndarray
    spread: np.ndarray
    exponent: np.ndarray

    @classmethod
    def of(cls, sizes: np.ndarray, limit: np.ndarray) -> "_Tail":
        unit = sizes.max(0)
        # Columns with the same sizes in another order are the same problem, and get the same signs.
        sizes, limit = np.sort(sizes / unit, axis=0)[::-1], limit / unit
        distance = sizes.sum(0) - 2 * limit
        tilt = _tilt(sizes, np.abs(distance))
        scaled = tilt * sizes
        log_moment = (scaled + np.log1p(np.exp(-2 * scaled)) - np.log(2)).sum(0)
        spread = np.sqrt((sizes**2 * (1 - np.tanh(scaled) ** 2)).sum(0))
        exponent = log_moment - tilt * np.abs(distance)
        return cls(sizes=sizes, distance=distance, tilt=tilt, spread=spread, exponent=exponent)

    def __getitem__(self, columns: np.ndarray) -> "_Tail":
        return _Tail(
            sizes=self.sizes[:, columns],
            distance=self.distance[columns],
            tilt=self.tilt[columns],
            spread=self.spread[columns],
            exponent=self.exponent[columns],
        )


def _share_of_many(sizes: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The approximate share if more than 24 sizes of a column are not zero and their total is above the limit.

    It is P(S ≥ s) for the sum S of the sizes with random signs and s = total − 2 · limit.
    """
    tail = _Tail.of(sizes, limit)
    share = _share_by_saddlepoint(tail)
    if (uneven := _unevenness(tail) > MOST_UNEVEN).any():
        share[uneven] = _share_by_sampling(tail[uneven])
    return share


def _share_by_saddlepoint(tail: _Tail) -> np.ndarray:
    from scipy.special import ndtr

    w = np.where(tail.distance < 0, -1.0, 1.0) * np.sqrt(np.maximum(-2 * tail.exponent, 0))
    u = np.where(tail.distance < 0, -1.0, 1.0) * tail.tilt * tail.spread
    far = np.abs(w) > NEAR_CENTRE
    between = np.where(far, 1 / np.where(far, u, 1) - 1 / np.where(far, w, 1), 0)
    return np.clip(ndtr(-w) + np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi) * between, 0, 1)


def _unevenness(tail: _Tail) -> np.ndarray:
    """About the largest relative error of the saddlepoint formula that comes from uneven sums.

    The tilted sums have the characteristic function φ. The formula assumes that φ is small except for a peak at 0. A
    second peak, at u, changes the probability by about 2 |φ(u)| / (spread · √(2π) · |t + iu|), as a fraction of
    exp(λ²/2) · Φ(−λ) with λ = t · spread. Peaks so far out that they change less than `MOST_UNEVEN` are not looked for.
    """
    from scipy.special import erfcx

    scale = np.sqrt(2 * np.pi) * erfcx(tail.tilt * tail.spread / np.sqrt(2)) / 2
    # In units of 1 / spread, which is the width of a peak.
    points = np.arange(FIRST_PEAK, max(FIRST_PEAK + 1, 2 / (MOST_UNEVEN * scale.min())))[:, None]
    error = 2 / (scale * np.hypot(tail.tilt * tail.spread, points))
    wave = _squared_wave(tail, points, slice(None, None, -(-len(tail.sizes) // SCREENED)))
    found = np.zeros(len(scale))
    suspect = (error * np.sqrt(wave)).max(0) > MOST_UNEVEN
    if suspect.any():
        wave = _squared_wave(tail[suspect], points, slice(None))
        found[suspect] = (error[:, suspect] * np.sqrt(wave)).max(0)
    return found


def _squared_wave(tail: _Tail, points: np.ndarray, rows: slice) -> np.ndarray:
    """|φ(u)|² of the sum of some sizes at u = points / spread, shape [point, column], in single precision.

    It is the product of 1 − sin²(u · size) / cosh²(t · size) over sizes.
    """
    at = (points / tail.spread).astype(np.float32)
    wave, factor = np.ones_like(at), np.empty_like(at)
    damping = (1 / np.cosh(np.minimum(tail.tilt * tail.sizes, FLAT))).astype(np.float32)
    for size, damped in zip(tail.sizes[rows].astype(np.float32), damping[rows], strict=True):
        np.sin(np.multiply(at, size, out=factor), out=factor)
        factor *= damped
        factor *= factor
        wave *= np.subtract(1, factor, out=factor)
    return np.abs(wave)


def _share_by_sampling(tail: _Tail) -> np.ndarray:
    """The share from signs that are drawn under the tilted law: the mean of exp(K(t) − t · S) over draws with S ≥ s.

    The draws favour sums near |distance|. If the distance is negative, the share of sums below it is drawn.
    """
    from scipy.special import expit

    columns = np.concatenate([tail.sizes, tail.distance[None]])
    _, first, same = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    share = np.empty(len(first))
    for at, column in enumerate(first):
        sizes, tilt = tail.sizes[:, column], tail.tilt[column]
        sizes = sizes[sizes > 0]
        positive = _uniform_draws(len(sizes)) < expit(2 * tilt * sizes)
        excess = 2 * (positive @ sizes) - sizes.sum() - np.abs(tail.distance[column])
        counted = excess[excess >= -EQUAL_TOTALS * sizes.sum()]
        share[at] = np.exp(tail.exponent[column] - tilt * counted).sum() / SIGNS_DRAWN
    share = share[same]
    return np.where(tail.distance < 0, 1 - share, share)


@lru_cache(maxsize=4)
def _uniform_draws(n: int) -> np.ndarray:
    """Uniform numbers for the signs of `n` sizes, shape [draw, size]; half of them mirror the other half."""
    drawn = np.random.default_rng(0).random((SIGNS_DRAWN // 2, n))
    return np.concatenate([drawn, 1 - drawn])


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
