"""What two sets share, compared with what random sets of the same sizes share.

Two sets of items overlap by chance, the more so the larger they are. The Jaccard index, |A ∩ B| / |A ∪ B|, goes from 0
(nothing shared) to 1 (equal). The number of items that two random sets share is hypergeometric. So the mean of their
index, its central 95% and the p-value (at least as many shared) are exact. If items have weights, the index is
Σ min / Σ max (Ioffe, 2010, https://doi.org/10.1109/ICDM.2010.80). An item outside a set has the weight 0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from interp_emerge.stats.intervals import SURE, TAIL, Interval

Sizes = np.ndarray | np.number | int | float
FARTHEST = 12
"""Standard deviations, plus items, from the mean beyond which a distribution has no probability worth counting."""


@dataclass(frozen=True, kw_only=True)
class SetOverlap:
    """What two sets of items share, and what random sets of their sizes share."""

    n_possible: int
    n_a: int
    n_b: int
    shared: int

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, n_possible: int) -> "SetOverlap":
        """The overlap of two sets, given as bool arrays over the same items. Of these `n_possible` can be in a set."""
        return cls(n_possible=n_possible, n_a=int(a.sum()), n_b=int(b.sum()), shared=int((a & b).sum()))

    @property
    def jaccard(self) -> float:
        """Shared items as a fraction of the items in either set; NaN for two empty sets."""
        return float(jaccard(self.shared, self.n_a, self.n_b))

    @cached_property
    def random(self) -> Interval:
        """Mean and central 95% of the Jaccard index of random sets of these sizes; NaN for two empty sets."""
        from scipy.stats import hypergeom

        if not self.n_a + self.n_b:
            return Interval.undefined()
        shared = self._likely_shared()
        chances, values = (
            hypergeom.pmf(shared, self.n_possible, self.n_a, self.n_b),
            jaccard(shared, self.n_a, self.n_b),
        )
        low, high = values[np.searchsorted(np.cumsum(chances), [TAIL, SURE])]
        return Interval(float(chances @ values), float(low), float(high))

    @property
    def p_value(self) -> float:
        """Probability that random sets of these sizes share at least as many."""
        from scipy.stats import hypergeom

        return float(hypergeom(self.n_possible, self.n_a, self.n_b).sf(self.shared - 1))

    def _likely_shared(self) -> np.ndarray:
        """All numbers of shared items with a probability worth counting."""
        mean = self.n_a * self.n_b / self.n_possible
        variance = mean * (1 - self.n_a / self.n_possible) * (self.n_possible - self.n_b) / max(1, self.n_possible - 1)
        reach = int(FARTHEST * variance**0.5) + FARTHEST
        first, last = max(0, self.n_a + self.n_b - self.n_possible), min(self.n_a, self.n_b)
        return np.arange(max(first, int(mean) - reach), min(last, int(mean) + reach) + 1)


def jaccard(shared: Sizes, a: Sizes, b: Sizes) -> np.ndarray:
    """The Jaccard index, shape [...], from the sizes or weights of what is shared and of both sets, which broadcast.

    NaN for two empty sets.
    """
    in_either = np.asarray(a + b - shared)
    return np.divide(shared, in_either, out=np.full(in_either.shape, np.nan), where=in_either > 0)


def jaccard_of_weights(a: np.ndarray, b: np.ndarray, *, empty: float = np.nan) -> np.ndarray:
    """The index Σ min / Σ max over the last axis, of weights that are not negative; `empty` if all of both are 0."""
    lower, upper = np.minimum(a, b).sum(-1), np.asarray(np.maximum(a, b).sum(-1))
    return np.divide(lower, upper, out=np.full(upper.shape, empty), where=upper > 0)


def random_jaccards_of_weights(
    a: np.ndarray, b: np.ndarray, n_possible: int, *, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Indices of two sets of weights on random items out of `n_possible`, shape [draw]."""
    shared = rng.hypergeometric(len(a), n_possible - len(a), len(b), size=count)
    lower = [
        np.minimum(rng.choice(a, n, replace=False), rng.choice(b, n, replace=False)).sum() if n else 0.0 for n in shared
    ]
    return jaccard(np.array(lower), a.sum(), b.sum())
