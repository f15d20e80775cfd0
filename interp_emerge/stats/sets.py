"""How much two sets share.

The Jaccard index, |A ∩ B| / |A ∪ B|, goes from 0 (nothing shared) to 1 (equal). If items have weights, the index is
Σ min / Σ max (Ioffe, 2010, https://doi.org/10.1109/ICDM.2010.80). An item outside a set has the weight 0. What sets
share by chance depends on how they are chosen, so the null of circuits is in `circuits.finding.null_circuits`.
"""

import numpy as np

Sizes = np.ndarray | np.number | int | float


def jaccard(shared: Sizes, a: Sizes, b: Sizes) -> np.ndarray:
    """The Jaccard index, shape [...], from the sizes or weights of what is shared and of both sets, which broadcast.

    NaN for two empty sets.

    Example:
        >>> float(ie.stats.jaccard(6, 10, 8))  # 6 shared, of 10 and 8
        0.5
    """
    in_either = np.asarray(a + b - shared)
    return np.divide(shared, in_either, out=np.full(in_either.shape, np.nan), where=in_either > 0)


def jaccard_of_weights(a: np.ndarray, b: np.ndarray, *, empty: float = np.nan) -> np.ndarray:
    """The index Σ min / Σ max over the last axis, of weights that are not negative; `empty` if all of both are 0.

    Example:
        >>> float(ie.stats.jaccard_of_weights(np.array([1.0, 3.0]), np.array([3.0, 1.0])))
        0.33...
    """
    lower, upper = np.minimum(a, b).sum(-1), np.asarray(np.maximum(a, b).sum(-1))
    return np.divide(lower, upper, out=np.full(upper.shape, empty), where=upper > 0)
