"""What two sets share, next to what random sets of their sizes share.

Two sets of the same things overlap by chance already, the more so the larger they are. The Jaccard index, |A ∩ B| /
|A ∪ B|, goes from 0 (nothing shared) to 1 (equal). What two random sets of given sizes share is hypergeometric, so the
mean of their index, its central 95% and the p-value (at least as many shared) are exact. Where things have weights the
index is Σ min / Σ max (Ioffe, 2010, https://doi.org/10.1109/ICDM.2010.80), and a thing outside a set has the weight 0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from interp_emerge.stats.intervals import SURE, TAIL, Interval

Sizes = np.ndarray | np.number | int | float
FARTHEST = 12
"""Standard deviations around the mean, and things at least, beyond which nothing of a distribution is left to count."""


@dataclass(frozen=True, kw_only=True)
class SetOverlap:
    """What two sets share that are drawn from the same things."""

    n_possible: int
    n_a: int
    n_b: int
    shared: int

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, n_possible: int) -> "SetOverlap":
        """Of two sets given as bool arrays over the same things, of which `n_possible` can be in a set."""
        return cls(n_possible=n_possible, n_a=int(a.sum()), n_b=int(b.sum()), shared=int((a & b).sum()))

    @property
    def jaccard(self) -> float:
        """Shared as a fraction of those in either set; NaN for two empty sets."""
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
        """All numbers of shared things that have a chance worth counting."""
        mean = self.n_a * self.n_b / self.n_possible
        variance = mean * (1 - self.n_a / self.n_possible) * (self.n_possible - self.n_b) / max(1, self.n_possible - 1)
        reach = int(FARTHEST * variance**0.5) + FARTHEST
        first, last = max(0, self.n_a + self.n_b - self.n_possible), min(self.n_a, self.n_b)
        return np.arange(max(first, int(mean) - reach), min(last, int(mean) + reach) + 1)


def jaccard(shared: Sizes, a: Sizes, b: Sizes) -> np.ndarray:
    """The Jaccard index from the sizes, or weights, of what is shared and of both sets, which broadcast, shape [...].

    NaN for two empty sets.
    """
    in_either = np.asarray(a + b - shared)
    return np.divide(shared, in_either, out=np.full(in_either.shape, np.nan), where=in_either > 0)


def jaccard_of_weights(a: np.ndarray, b: np.ndarray, *, empty: float = np.nan) -> np.ndarray:
    """The index Σ min / Σ max over the last axis of weights of at least 0; `empty` where all of both are 0."""
    lower, upper = np.minimum(a, b).sum(-1), np.asarray(np.maximum(a, b).sum(-1))
    return np.divide(lower, upper, out=np.full(upper.shape, empty), where=upper > 0)


def random_jaccards_of_weights(
    a: np.ndarray, b: np.ndarray, n_possible: int, *, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Indices of two sets of weights that are put on random things of `n_possible`, shape [draw]."""
    shared = rng.hypergeometric(len(a), n_possible - len(a), len(b), size=count)
    lower = [
        np.minimum(rng.choice(a, n, replace=False), rng.choice(b, n, replace=False)).sum() if n else 0.0 for n in shared
    ]
    return jaccard(np.array(lower), a.sum(), b.sum())
