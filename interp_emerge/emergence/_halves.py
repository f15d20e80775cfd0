"""Circuits of halves of the prompts of two models, how alike they are, and how sure that is.

The parts of `emergence.same_circuit`, which says what they are for: a space in which circuits of both are compared, by
edges (`Edges`) or by classes of edges (`Classes`), and the similarities of halves across the models and within each,
with a jackknife over groups of pairs (`Splits`).
"""

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.core.intervals import LEVEL, Interval

Chosen = tuple[int, np.ndarray]
"""Which of two models, and its edges or shares."""


class Edges:
    """Circuits as sets of edges in a space that both models share, as far as a match gives edges an image."""

    def __init__(self, counts: tuple[int, int], images: np.ndarray) -> None:
        self.counts, self.at = counts, np.flatnonzero(images >= 0)
        self.to = images[self.at]

    def of(self, side: int, mean: np.ndarray) -> Chosen:
        """Which edges are the strongest. They are not pruned: dead ends would make a noisy half's circuit empty."""
        kept = np.zeros(len(mean), dtype=bool)
        kept[np.argpartition(-np.abs(mean), self.counts[side] - 1)[: self.counts[side]]] = True
        return side, kept

    def random(self, side: int, mean: np.ndarray, rng: np.random.Generator) -> Chosen:
        """As many random edges."""
        return side, rng.permutation(self.of(side, mean)[1])

    def shared(self, x: Chosen, y: Chosen) -> int:
        if x[0] == y[0]:
            return int((x[1] & y[1]).sum())
        a, b = (x, y) if x[0] == 0 else (y, x)
        return int((a[1][self.at] & b[1][self.to]).sum())

    def overlap(self, x: Chosen, y: Chosen) -> float:
        """The share of the smaller set that the larger one holds."""
        return self.shared(x, y) / min(self.counts[x[0]], self.counts[y[0]])

    def index(self, x: Chosen, y: Chosen) -> float:
        """Jaccard index."""
        both = self.shared(x, y)
        return both / (self.counts[x[0]] + self.counts[y[0]] - both)


class Classes:
    """Circuits as shares of their score mass by class of edge."""

    def __init__(self, edges: Edges, codes: tuple[np.ndarray, np.ndarray]) -> None:
        self.edges, self.codes = edges, codes
        self.n = 1 + max(int(side.max()) for side in codes)

    def of(self, side: int, mean: np.ndarray) -> Chosen:
        return self._shares(side, np.abs(mean) * self.edges.of(side, mean)[1])

    def random(self, side: int, mean: np.ndarray, rng: np.random.Generator) -> Chosen:
        """The same scores on random edges."""
        return self._shares(side, rng.permutation(np.abs(mean) * self.edges.of(side, mean)[1]))

    def _shares(self, side: int, mass: np.ndarray) -> Chosen:
        return side, np.bincount(self.codes[side], mass, self.n) / (mass.sum() or 1.0)

    def overlap(self, x: Chosen, y: Chosen) -> float:
        """Of the square roots of the shares, which have length one (Bhattacharyya's coefficient)."""
        return float(np.sqrt(x[1] * y[1]).sum())

    def index(self, x: Chosen, y: Chosen) -> float:
        most = np.maximum(x[1], y[1]).sum()
        return float(np.minimum(x[1], y[1]).sum() / most) if most else 0.0


class Splits:
    """Similarities of circuits of halves of the pairs, over many splits, with each group of pairs left out in turn."""

    def __init__(self, space: Edges | Classes, values: list[np.ndarray], splits: int, groups: int, seed: int) -> None:
        self.across, self.within = np.empty(splits), np.empty((2, splits))
        overlaps = np.empty((splits, 1 + groups, 3))
        rng = np.random.default_rng(seed)
        equal = len(values[0]) == len(values[1])
        for split in tqdm(range(splits), desc="halves of prompts", delay=2, leave=False):
            order = _order(len(values[0]), groups, rng)
            orders = order, order if equal else _order(len(values[1]), groups, rng)
            halves = [_halves(side, one, *both, groups, space) for side, (one, both) in enumerate(
                zip(values, orders, strict=True))]  # fmt: skip
            for left_out in range(1 + groups):
                (a1, a2), (b1, b2) = ((half[0][left_out], half[1][left_out]) for half in halves)
                crossed = (space.overlap(a1, b2) + space.overlap(a2, b1)) / 2
                overlaps[split, left_out] = crossed, space.overlap(a1, a2), space.overlap(b1, b2)
                if not left_out:
                    self.across[split] = (space.index(a1, b2) + space.index(a2, b1)) / 2
                    self.within[:, split] = space.index(a1, a2), space.index(b1, b2)
        across, a, b = overlaps.mean(0).T
        ceiling = np.sqrt(a * b)
        self.p_value = self._p_value(across - ceiling, splits) if across[0] < min(a[0], b[0]) else 1.0
        ratio = np.divide(across, ceiling, out=np.full(1 + groups, np.nan), where=ceiling > 0)
        self.corrected = self._interval(ratio)

    def _p_value(self, gaps: np.ndarray, splits: int) -> float:
        """One-sided, for the gap on all pairs, which stands first."""
        from scipy.stats import t

        error = _jackknife_error(gaps[1:])
        if error < 1e-12:
            return 1.0 if gaps[0] > -1e-12 else 1 / (1 + splits)
        return float(max(t.cdf(gaps[0] / error, len(gaps) - 2), 1 / (1 + splits)))

    def _interval(self, ratio: np.ndarray) -> Interval:
        from scipy.stats import t

        half = t.ppf((1 + LEVEL) / 2, len(ratio) - 2) * _jackknife_error(ratio[1:])
        return Interval(float(ratio[0]), float(ratio[0] - half), float(ratio[0] + half))


def _jackknife_error(left_out: np.ndarray) -> float:
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def _order(n: int, groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A half (0 or 1) for each pair, drawn so that each group is divided evenly, and the groups of the pairs."""
    group = np.arange(n) * groups // n
    order = np.lexsort((rng.random(n), group))
    half = np.empty(n, dtype=int)
    half[order] = (np.arange(n) + rng.integers(2)) % 2
    return half, group


def _halves(
    side: int, values: np.ndarray, half: np.ndarray, group: np.ndarray, groups: int, space: Edges | Classes
) -> list[list[Chosen]]:
    """For each half its circuits: of all its pairs, then without each group."""
    found = []
    for part in (0, 1):
        use = np.array([(half == part) & (group != left_out) for left_out in range(-1, groups)], dtype=float)
        means = (use / use.sum(1, keepdims=True)) @ values
        found.append([space.of(side, mean) for mean in means])
    return found
