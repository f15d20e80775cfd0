"""Curves cut into straight lines that need not meet: the best cuts, for each number of cuts.

1. `_costs` is the residual sum of squares of one line on every stretch, from cumulative sums.
2. `_best` is the smallest total over all ways to cut the points, for each number of cuts: exact dynamic programming
   (Bellman and Roth, 1969, https://doi.org/10.1080/01621459.1969.10501038; Bai and Perron, 2003,
   https://doi.org/10.1002/jae.659).
3. `bic_of_cuts` compares the numbers of cuts (Schwarz, 1978, https://doi.org/10.1214/aos/1176344136).

Cost: memory and time grow with the square of the number of points, for each curve. `best_cuts` handles the curves in
blocks.
"""

from itertools import pairwise

import numpy as np

BYTES_PER_BLOCK = 1 << 26
"""Memory for the costs of all stretches, for one block of curves."""


def best_cuts(x: np.ndarray, curves: np.ndarray, most: int, shortest: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The cuts with the smallest residuals for each curve and each number of cuts up to `most`, and these residuals.

    Example:
        >>> x = np.arange(8.0)
        >>> ie.stats.best_cuts(x, np.array([[0, 0, 0, 0, 1, 2, 3, 4.0]]), most=1, shortest=3)

    Args:
        x: ascending places, shape [point].
        curves: values, shape [curve, point].
        most: the largest number of cuts.
        shortest: smallest number of points on one line.

    Returns:
        For each number of cuts the index of the first point after each cut, shape [curve, cut]; and the residual sums
        of squares, shape [number, curve].
    """
    # Besides the costs about six arrays of the same size are in memory while they are computed.
    per_block = max(1, BYTES_PER_BLOCK // (8 * 6 * (len(x) + 1) ** 2))
    pieces = [curves[start : start + per_block] for start in range(0, len(curves), per_block)]
    cuts, rss = zip(*(_best(_costs(x, piece, shortest), most) for piece in pieces), strict=True)
    return [np.concatenate(of) for of in zip(*cuts, strict=True)], np.concatenate(rss, axis=1)


def bic_of_cuts(rss: np.ndarray, n: int, floor: float) -> np.ndarray:
    """BIC from residual sums of squares, shape [number, curve]; the row's index is the number of cuts.

    A cut adds three parameters: its place and two coefficients. `floor` is the smallest value used for RSS / n.

    Example:
        >>> ie.stats.bic_of_cuts(np.array([[4.0], [0.1]]), n=8, floor=1e-6)  # the smaller one is better: a cut
    """
    parameters = 3 * (np.arange(len(rss))[:, None] + 1)
    return n * np.log(np.maximum(rss / n, floor)) + parameters * np.log(n)


def fit_lines(x: np.ndarray, mean: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The fitted values, shape [point], and the slope and intercept of each line.

    Example:
        >>> ie.stats.fit_lines(np.arange(6.0), np.array([0, 0, 0, 1, 2, 3.0]), np.array([3]))
    """
    borders = [0, *cuts.tolist(), len(x)]
    stretches = [slice(start, stop) for start, stop in pairwise(borders)]
    lines = [np.polyfit(x[stretch], mean[stretch], 1) for stretch in stretches]
    return np.concatenate([np.polyval(line, x[s]) for line, s in zip(lines, stretches, strict=True)]), lines


def _costs(x: np.ndarray, curves: np.ndarray, shortest: int) -> np.ndarray:
    """Residual sum of squares of a line on points i to j - 1, shape [curve, i, j]; infinite if these are too few."""
    y = curves - curves.mean(1, keepdims=True)
    x = x - x.mean()

    def sums(terms: np.ndarray) -> np.ndarray:
        total = np.concatenate([np.zeros((len(terms), 1)), terms.cumsum(1)], axis=1)
        return total[:, None, :] - total[:, :, None]

    at = np.arange(len(x) + 1)
    count = at[None, :] - at[:, None]
    usable = count >= shortest
    n = np.where(usable, count, 1)
    sx, sy = sums(x[None]), sums(y)
    sxx = np.where(usable, sums(x[None] ** 2) - sx**2 / n, 1)
    rss = sums(y**2) - sy**2 / n - (sums(x * y) - sx * sy / n) ** 2 / sxx
    return np.where(usable, np.maximum(rss, 0), np.inf)


def _best(costs: np.ndarray, most: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The cheapest cuts for each number of cuts, shape [curve, cut] each, and their costs, shape [number, curve]."""
    cheapest, came_from = [costs[:, 0]], []
    for _ in range(most):
        totals = cheapest[-1][:, :, None] + costs
        came_from.append(totals.argmin(1))
        cheapest.append(totals.min(1))
    end = np.full(len(costs), costs.shape[1] - 1)
    cuts = []
    for number in range(most + 1):
        at, places = end, []
        for step in reversed(came_from[:number]):
            at = np.take_along_axis(step, at[:, None], 1)[:, 0]
            places.append(at)
        cuts.append(np.stack(places[::-1], 1) if places else np.empty((len(costs), 0), dtype=int))
    return cuts, np.stack([total[:, -1] for total in cheapest])
