"""Circuits of halves of the prompts of two models, how alike they are, and how sure that is.

The parts of `emergence.sameness.same_circuit`, which says what they are for: a space in which circuits of both are
compared, by edges (`Edges`) or by classes of edges (`Classes`), and the similarities of halves across the models and
within each, with a jackknife over groups of pairs (`Splits`). Circuits come many at a time: rows of an array, one a
sample.
"""

from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.stats.intervals import SURE, Interval
from interp_emerge.stats.sets import jaccard, jaccard_of_weights

Chosen = tuple[int, np.ndarray]
"""Which of two models, and for each sample its edges or shares, shape [sample, edge or class]."""


class Edges:
    """Circuits as sets of edges in a space that both models share, as far as a match gives edges an image."""

    def __init__(self, counts: tuple[int, int], images: np.ndarray) -> None:
        self.counts, self.at = counts, np.flatnonzero(images >= 0)
        self.to = images[self.at]

    def of(self, side: int, means: np.ndarray) -> Chosen:
        """Which edges are the strongest. They are not pruned: dead ends would make a noisy half's circuit empty."""
        kept, n = np.zeros(means.shape, dtype=bool), self.counts[side]
        np.put_along_axis(kept, np.argpartition(-np.abs(means), n - 1, axis=1)[:, :n], values=True, axis=1)
        return side, kept

    def random(self, side: int, means: np.ndarray, rng: np.random.Generator) -> Chosen:
        """As many random edges."""
        return side, rng.permuted(self.of(side, means)[1], axis=1)

    def shared(self, x: Chosen, y: Chosen) -> np.ndarray:
        if x[0] == y[0]:
            return (x[1] & y[1]).sum(1)
        a, b = (x, y) if x[0] == 0 else (y, x)
        return (a[1][:, self.at] & b[1][:, self.to]).sum(1)

    def overlap(self, x: Chosen, y: Chosen) -> np.ndarray:
        """The share of the smaller set that the larger one holds, shape [sample]."""
        return self.shared(x, y) / min(self.counts[x[0]], self.counts[y[0]])

    def index(self, x: Chosen, y: Chosen) -> np.ndarray:
        """Jaccard index, shape [sample]."""
        return jaccard(self.shared(x, y), self.counts[x[0]], self.counts[y[0]])


class Classes:
    """Circuits as shares of their score mass by class of edge."""

    def __init__(self, edges: Edges, codes: tuple[np.ndarray, np.ndarray]) -> None:
        self.edges, self.codes = edges, codes
        self.n = 1 + max(int(side.max()) for side in codes)

    def of(self, side: int, means: np.ndarray) -> Chosen:
        return self._shares(side, np.abs(means) * self.edges.of(side, means)[1])

    def random(self, side: int, means: np.ndarray, rng: np.random.Generator) -> Chosen:
        """The same scores on random edges."""
        return self._shares(side, rng.permuted(np.abs(means) * self.edges.of(side, means)[1], axis=1))

    def _shares(self, side: int, mass: np.ndarray) -> Chosen:
        found = np.stack([np.bincount(self.codes[side], row, self.n) for row in mass])
        return side, found / np.maximum(found.sum(1, keepdims=True), np.finfo(float).tiny)

    def overlap(self, x: Chosen, y: Chosen) -> np.ndarray:
        """Of the square roots of the shares, which have length one (Bhattacharyya's coefficient), shape [sample]."""
        return np.sqrt(x[1] * y[1]).sum(1)

    def index(self, x: Chosen, y: Chosen) -> np.ndarray:
        """Weighted Jaccard index, shape [sample]."""
        return jaccard_of_weights(x[1], y[1], empty=0.0)


class Splits:
    """Similarities of circuits of halves of the pairs, over many splits, with each group of pairs left out in turn.

    `across` and `within` are indices, shape [split] and [model, split]; `elsewhere` are those across in other spaces,
    shape [space, split]. `ratio` is the mean overlap across over √(within a · within b), with its jackknife interval;
    `stable` is the smaller of the mean overlaps within.
    """

    def __init__(
        self,
        space: Edges | Classes,
        values: Sequence[np.ndarray],
        splits: int,
        groups: int,
        seed: int,
        *,
        others: Sequence[Edges] = (),
    ) -> None:
        self.across, self.within = np.empty(splits), np.empty((2, splits))
        self.elsewhere = np.empty((len(others), splits))
        overlaps = np.empty((splits, 1 + groups, 3))
        rng = np.random.default_rng(seed)
        for split in tqdm(range(splits), desc="halves of prompts", delay=2, leave=False):
            halves = [
                _halves(side, one, *order, groups, space)
                for side, (one, order) in enumerate(zip(values, _orders(values, groups, rng), strict=True))
            ]
            (a1, a2), (b1, b2) = halves
            overlaps[split] = np.stack(
                [_crossed(space.overlap, *halves), space.overlap(a1, a2), space.overlap(b1, b2)], 1
            )
            whole = [[(side, chosen[:1]) for side, chosen in both] for both in halves]
            self.across[split] = _crossed(space.index, *whole)[0]
            self.within[:, split] = [space.index(*both)[0] for both in whole]
            self.elsewhere[:, split] = [_crossed(other.index, *whole)[0] for other in others]
        across, a, b = overlaps.mean(0).T
        ceiling = np.sqrt(a * b)
        ratio = np.divide(across, ceiling, out=np.full(1 + groups, np.nan), where=ceiling > 0)
        self.ratio, self.stable = _interval(ratio), float(min(a[0], b[0]))


def draw_halves(values: Sequence[np.ndarray], splits: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Which pairs of each model are in the first half of each split, shape [split, pair] each."""
    drawn = [_orders(values, 2, rng) for _ in range(splits)]
    return [np.array([orders[side][0] == 0 for orders in drawn], dtype=float) for side in range(2)]


def of_halves(space: Edges | Classes, side: int, values: np.ndarray, first: np.ndarray) -> list[Chosen]:
    """Circuits of the first halves and of the second halves of one model's pairs."""
    return [space.of(side, part / part.sum(1, keepdims=True) @ values) for part in (first, 1 - first)]


def similarities(space: Edges | Classes, a: list[Chosen], b: list[Chosen]) -> tuple[float, float, float, float]:
    """Means over splits: the index across, and overlaps across, within a and within b."""
    index, across = (_crossed(similarity, a, b) for similarity in (space.index, space.overlap))
    return float(index.mean()), float(across.mean()), float(space.overlap(*a).mean()), float(space.overlap(*b).mean())


def _crossed(similarity, a: list[Chosen], b: list[Chosen]) -> np.ndarray:
    """Of a half of a with the half of b that has no prompt in common with it."""
    return (similarity(a[0], b[1]) + similarity(a[1], b[0])) / 2


def _interval(ratio: np.ndarray) -> Interval:
    """Of the ratio of all pairs, which stands first, before those without each group."""
    from scipy.stats import t

    half = t.ppf(SURE, len(ratio) - 2) * _jackknife_error(ratio[1:])
    return Interval(float(ratio[0]), float(ratio[0] - half), float(ratio[0] + half))


def _jackknife_error(left_out: np.ndarray) -> float:
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def _orders(values: Sequence[np.ndarray], groups: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each model a half for each pair, and its group; the same for both where both have as many pairs."""
    first = _order(len(values[0]), groups, rng)
    return [first, first if len(values[0]) == len(values[1]) else _order(len(values[1]), groups, rng)]


def _order(n: int, groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A half (0 or 1) for each pair, drawn so that each group is divided evenly, and the groups of the pairs."""
    group = np.arange(n) * groups // n
    order = np.lexsort((rng.random(n), group))
    half = np.empty(n, dtype=int)
    half[order] = (np.arange(n) + rng.integers(2)) % 2
    return half, group


def _halves(
    side: int, values: np.ndarray, half: np.ndarray, group: np.ndarray, groups: int, space: Edges | Classes
) -> list[Chosen]:
    """For each half its circuits: of all its pairs, then without each group."""
    found = []
    for part in (0, 1):
        use = np.array([(half == part) & (group != left_out) for left_out in range(-1, groups)], dtype=float)
        found.append(space.of(side, (use / use.sum(1, keepdims=True)) @ values))
    return found
