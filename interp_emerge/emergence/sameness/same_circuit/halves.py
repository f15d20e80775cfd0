"""Circuits of halves of the prompts of two models: how alike they are, with an interval.

The parts of `emergence.sameness.same_circuit`, which says what they are for. Circuits of both models are compared in
one space, of edges (`Edges`) or of classes of edges (`Classes`). `Splits` gives the similarities of halves across the
models and within each, with a jackknife over groups of pairs. Circuits are handled many at a time, as rows of an array
with one row for each sample of the pairs.
"""

from collections.abc import Callable, Sequence

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.stats.intervals import SURE, Interval
from interp_emerge.stats.sets import jaccard, jaccard_of_weights

Chosen = tuple[int, np.ndarray]
"""Index of one of two models, and its edges or shares for each sample, shape [sample, edge or class]."""


class Edges:
    """Circuits as sets of edges. `images`, shape [edge of a], gives each edge's image in b, or -1."""

    def __init__(self, counts: tuple[int, int], images: np.ndarray) -> None:
        self.counts, self.at = counts, np.flatnonzero(images >= 0)
        self.to = images[self.at]

    def of(self, side: int, means: np.ndarray) -> Chosen:
        """The strongest edges. They are not pruned: with dead ends pruned a noisy half's circuit could be empty."""
        kept, n = np.zeros(means.shape, dtype=bool), self.counts[side]
        np.put_along_axis(kept, np.argpartition(-np.abs(means), n - 1, axis=1)[:, :n], values=True, axis=1)
        return side, kept

    def random(self, side: int, means: np.ndarray, rng: np.random.Generator) -> Chosen:
        """Random edges, as many as the circuit has."""
        return side, rng.permuted(self.of(side, means)[1], axis=1)

    def shared(self, x: Chosen, y: Chosen) -> np.ndarray:
        if x[0] == y[0]:
            return (x[1] & y[1]).sum(1)
        a, b = (x, y) if x[0] == 0 else (y, x)
        return (a[1][:, self.at] & b[1][:, self.to]).sum(1)

    def overlap(self, x: Chosen, y: Chosen) -> np.ndarray:
        """Fraction of the smaller set that is in the larger one, shape [sample]."""
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
        """Bhattacharyya's coefficient: the cosine of the square roots of the shares, shape [sample]."""
        return np.sqrt(x[1] * y[1]).sum(1)

    def index(self, x: Chosen, y: Chosen) -> np.ndarray:
        """Weighted Jaccard index, shape [sample]."""
        return jaccard_of_weights(x[1], y[1], empty=0.0)


class Splits:
    """Similarities of circuits of halves of the pairs, over many splits, with each group of pairs left out in turn.

    `across` and `within` are indices, shape [split] and [model, split]. `across_rivals` holds the indices across the
    models through other matches, shape [match, split]. `ratio` is the mean overlap across the models divided by
    √(within a · within b), with its jackknife interval. `least_within` is the smaller mean overlap within a model.
    """

    def __init__(
        self,
        space: Edges | Classes,
        values: Sequence[np.ndarray],
        splits: int,
        groups: int,
        seed: int,
        *,
        rivals: Sequence[Edges] = (),
    ) -> None:
        self.across, self.within = np.empty(splits), np.empty((2, splits))
        self.across_rivals = np.empty((len(rivals), splits))
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
            all_pairs = [[(side, chosen[:1]) for side, chosen in both] for both in halves]
            self.across[split] = _crossed(space.index, *all_pairs)[0]
            self.within[:, split] = [space.index(*both)[0] for both in all_pairs]
            self.across_rivals[:, split] = [_crossed(rival.index, *all_pairs)[0] for rival in rivals]
        across, a, b = overlaps.mean(0).T
        ceiling = np.sqrt(a * b)
        ratio = np.divide(across, ceiling, out=np.full(1 + groups, np.nan), where=ceiling > 0)
        self.ratio, self.least_within = _interval(ratio), float(min(a[0], b[0]))


def draw_halves(values: Sequence[np.ndarray], splits: int, rng: np.random.Generator) -> list[np.ndarray]:
    """For each model 1 for the pairs in the first half of each split, else 0, shape [split, pair] each."""
    drawn = [_orders(values, 2, rng) for _ in range(splits)]
    return [np.array([orders[side][0] == 0 for orders in drawn], dtype=float) for side in range(2)]


def of_halves(space: Edges | Classes, side: int, values: np.ndarray, first: np.ndarray) -> list[Chosen]:
    """Circuits of the first halves and of the second halves of one model's pairs."""
    return [space.of(side, part / part.sum(1, keepdims=True) @ values) for part in (first, 1 - first)]


def similarities(space: Edges | Classes, a: list[Chosen], b: list[Chosen]) -> tuple[float, float, float, float]:
    """Means over splits: the index across the models, and the overlaps across them, within a and within b."""
    index, across = (_crossed(similarity, a, b) for similarity in (space.index, space.overlap))
    return float(index.mean()), float(across.mean()), float(space.overlap(*a).mean()), float(space.overlap(*b).mean())


def _crossed(similarity: Callable[[Chosen, Chosen], np.ndarray], a: list[Chosen], b: list[Chosen]) -> np.ndarray:
    """Similarity of each half of a with the half of b that has no prompt in common with it, the mean of both."""
    return (similarity(a[0], b[1]) + similarity(a[1], b[0])) / 2


def _interval(ratio: np.ndarray) -> Interval:
    """The jackknife interval of `ratio`: the first is that of all pairs, the others are those without each group."""
    from scipy.stats import t

    half = t.ppf(SURE, len(ratio) - 2) * _jackknife_error(ratio[1:])
    return Interval(float(ratio[0]), float(ratio[0] - half), float(ratio[0] + half))


def _jackknife_error(left_out: np.ndarray) -> float:
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def _orders(values: Sequence[np.ndarray], groups: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each model the half and the group of each pair; the same for both models if both have as many pairs."""
    first = _order(len(values[0]), groups, rng)
    return [first, first if len(values[0]) == len(values[1]) else _order(len(values[1]), groups, rng)]


def _order(n: int, groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The half (0 or 1) of each pair, drawn so that it divides each group evenly, and the group of each pair."""
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
