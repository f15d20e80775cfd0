"""Circuits of halves of the prompts of two models: how alike they are, with an interval.

The parts of `emergence.sameness.same_circuit`, which says what they are for. Circuits of both models are compared in
one space, of edges (`Edges`) or of classes of edges (`Classes`). `Splits` gives the similarities of halves across the
models and within each, with a jackknife over groups of pairs. Circuits are handled many at a time, as rows of an array
with one row for each sample of the pairs.
"""

from collections.abc import Callable, Sequence

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.core.graph import Graph
from interp_emerge.stats.intervals import SURE, Interval
from interp_emerge.stats.sets import jaccard, jaccard_of_weights

LEAST_ROOM = 0.05
"""Least distance of two overlaps that is divided by."""
Chosen = tuple[int, np.ndarray]
"""Index of one of two models, and its edges or shares for each sample, shape [sample, edge or class]."""


class Edges:
    """Circuits as sets of edges. `images`, shape [edge of a], gives each edge's image in b, or -1.

    `layers` holds the number of each edge's layers for both models (`layers_of`), shape [edge] each. Without it no edge
    can be exchanged for another.
    """

    def __init__(
        self, counts: tuple[int, int], images: np.ndarray, layers: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        self.counts, self.at = counts, np.flatnonzero(images >= 0)
        self.to, self.layers = images[self.at], layers

    def of(self, side: int, means: np.ndarray) -> Chosen:
        """The strongest edges. They are not pruned: with dead ends pruned a noisy half's circuit could be empty."""
        kept, n = np.zeros(means.shape, dtype=bool), self.counts[side]
        np.put_along_axis(kept, np.argpartition(-np.abs(means), n - 1, axis=1)[:, :n], values=True, axis=1)
        return side, kept

    def exchanged(self, side: int, means: np.ndarray) -> Chosen:
        """How likely each edge is in the circuit once the heads of each layer have been exchanged at random."""
        return side, self.spread(side, self.of(side, means)[1])

    def spread(self, side: int, mass: np.ndarray) -> np.ndarray:
        """Mass of edges, shape [sample, edge], divided evenly among the edges that exchanged heads can turn it into."""
        if self.layers is None:
            return mass
        at = self.layers[side]
        sums = np.stack([np.bincount(at, row, at.max() + 1) for row in mass])
        return (sums / np.bincount(at, minlength=sums.shape[1]))[:, at]

    def random(self, side: int, means: np.ndarray, rng: np.random.Generator) -> Chosen:
        """Random edges, as many as the circuit has."""
        return side, rng.permuted(self.of(side, means)[1], axis=1)

    def shared(self, x: Chosen, y: Chosen) -> np.ndarray:
        if x[0] == y[0]:
            return (x[1] * y[1]).sum(1)
        a, b = (x, y) if x[0] == 0 else (y, x)
        return (a[1][:, self.at] * b[1][:, self.to]).sum(1)

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

    def exchanged(self, side: int, means: np.ndarray) -> Chosen:
        """The shares that are expected once the heads of each layer have been exchanged at random."""
        return self._shares(side, self.edges.spread(side, np.abs(means) * self.edges.of(side, means)[1]))

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
    models through other matches, shape [match, split]. `exchanged` holds the index across the models with the heads of
    each layer of b exchanged at random. `overlaps`, shape [1 + group, 4], are mean overlaps across the models, within
    a, within b, and across the models with heads exchanged: of all pairs, then without each group. `least_within` is
    the smaller mean overlap within a model.
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
        overlaps, self.exchanged = np.empty((splits, 1 + groups, 4)), np.empty(splits)
        rng = np.random.default_rng(seed)
        for split in tqdm(range(splits), desc="halves of prompts", delay=2, leave=False):
            means = [
                _halves(one, *order, groups) for one, order in zip(values, _orders(values, groups, rng), strict=True)
            ]
            halves = [[space.of(side, one) for one in both] for side, both in enumerate(means)]
            moved = [space.exchanged(1, one) for one in means[1]]
            (a1, a2), (b1, b2) = halves
            within = space.overlap(a1, a2), space.overlap(b1, b2)
            overlaps[split] = np.stack(
                [_crossed(space.overlap, *halves), *within, _crossed(space.overlap, halves[0], moved)], 1
            )
            self.exchanged[split] = _crossed(space.index, halves[0], moved)[0]
            all_pairs = [[(side, chosen[:1]) for side, chosen in both] for both in halves]
            self.across[split] = _crossed(space.index, *all_pairs)[0]
            self.within[:, split] = [space.index(*both)[0] for both in all_pairs]
            self.across_rivals[:, split] = [_crossed(rival.index, *all_pairs)[0] for rival in rivals]
        self.overlaps = overlaps.mean(0)
        self.least_within = float(self.overlaps[0, 1:3].min())

    def corrected(self, ratio: float) -> Interval:
        """The similarity corrected for noise and layers: (across − exchanged) / (same − exchanged), with its interval.

        `same` is the overlap across the models if nothing differed, `ratio` · √(within a · within b). NaN if that
        exceeds the overlap with heads exchanged by less than 0.05.
        """
        across, a, b, exchanged = self.overlaps.T
        room = ratio * np.sqrt(a * b) - exchanged
        found = np.divide(across - exchanged, room, out=np.full(len(room), np.nan), where=room > LEAST_ROOM)
        return Interval.undefined() if np.isnan(found).any() else _interval(found)

    def beyond_layers(self, ratio: float) -> float:
        """How much of the overlap that nothing but noise would leave goes beyond that with heads exchanged.

        0 if exchanged heads give as much, 1 if circuits without noise share all edges and exchanged ones share none;
        NaN if exchanged heads share 0.95 or more.
        """
        _, a, b, exchanged = self.overlaps[0]
        room = 1 - exchanged
        return float((ratio * np.sqrt(a * b) - exchanged) / room) if room > LEAST_ROOM else np.nan


def layers_of(graph: Graph) -> np.ndarray:
    """A number for each edge, shape [edge]: equal for edges that exchanges of heads within layers turn into each other.

    These are the edges whose writers are of one kind and layer, and whose readers are as well. Under grouped queries
    heads are exchanged within groups, and groups with each other.
    """
    numbers: dict[tuple[object, ...], int] = {}
    writers, readers = np.nonzero(graph.exists)
    ends = (
        (
            graph.writers[writer].kind,
            graph.writers[writer].layer,
            graph.readers[reader].kind,
            graph.readers[reader].layer,
        )
        for writer, reader in zip(writers, readers, strict=True)
    )
    return np.array([numbers.setdefault(end, len(numbers)) for end in ends])


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
    """The jackknife interval of a ratio: the first is that of all pairs, the others are those without each group."""
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


def _halves(values: np.ndarray, half: np.ndarray, group: np.ndarray, groups: int) -> list[np.ndarray]:
    """For each half its mean scores: of all its pairs, then without each group."""
    found = []
    for part in (0, 1):
        use = np.array([(half == part) & (group != left_out) for left_out in range(-1, groups)], dtype=float)
        found.append((use / use.sum(1, keepdims=True)) @ values)
    return found
