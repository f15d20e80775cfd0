"""The rules that were corrected, as they were, in a few lines each: only to compare their power with today's."""

import numpy as np
from scipy.special import ndtr, stdtr
from scipy.stats import binom, norm

from interp_emerge.stats.intervals import SURE, TAIL


def saddlepoint(values: np.ndarray) -> np.ndarray:
    """P-values of the sign-flip test, shape [column], by the formula of Lugannani and Rice at any number of pairs."""
    sizes, total = np.abs(values), np.abs(values.sum(0))
    total = np.minimum(total, sizes.sum(0) * (1 - 1e-9))
    tilt = np.zeros(len(total))
    for _ in range(200):
        tanh = np.tanh(tilt * sizes)
        tilt = tilt + (total - (sizes * tanh).sum(0)) / (sizes**2 * (1 - tanh**2)).sum(0)
    moment = np.log(np.cosh(tilt * sizes)).sum(0)
    w = np.sqrt(np.maximum(2 * (tilt * total - moment), 1e-12))
    u = tilt * np.sqrt((sizes**2 / np.cosh(tilt * sizes) ** 2).sum(0))
    tail = ndtr(-w) + norm.pdf(w) * (1 / np.maximum(u, 1e-9) - 1 / w)
    return np.clip(2 * np.where(w > 1e-3, tail, 0.5), 2.0 ** (1 - len(values)), 1)


def bootstrap_means(values: np.ndarray, resamples: int = 1000) -> np.ndarray:
    """Ends of the central 95% of means of bootstrap samples, shape [2, column]."""
    n = len(values)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), resamples) / n
    return np.quantile(weights @ values, [TAIL, SURE], axis=0)


def onset_verdict(values: list[np.ndarray], chance: float, ceiling: float) -> str:
    """The word for an onset from the first and the last point, and from any point that is surely near chance."""
    threshold, near = (chance + ceiling) / 2, chance + 0.2 * (ceiling - chance)
    present = [column.mean() > threshold for column in values]
    if not any(present):
        return "not reached"
    last, first = values[-1], present.index(True)
    if binom.cdf(last.sum(), len(last), threshold) < TAIL:
        return "lost again"
    if binom.sf(last.sum() - 1, len(last), threshold) >= TAIL:
        return "undecided"
    if first == 0:
        return "from the start"
    surely = [binom.cdf(column.sum(), len(column), near) < TAIL for column in values[:first]]
    return "emergent" if any(surely) else "gradual"


def single_size(values: list[np.ndarray], threshold: float) -> bool:
    """Whether the interval of an onset is one size, by Student's tests at 2.5%, divided at the upper end."""
    distances = [(column.mean() - threshold) / (column.std(ddof=1) / len(column) ** 0.5) for column in values]
    above, below = (stdtr(len(values[0]) - 1, side * np.array(distances)) for side in (-1, 1))
    may_have, high = below > TAIL, len(values)
    while high > 0 and above[:high].min() <= TAIL / high:
        high -= 1
    return bool(may_have.any()) and int(may_have.argmax()) == high
