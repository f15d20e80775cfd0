"""Means less what noise adds to them.

The mean over prompts of a score with true value zero is not zero, because prompts differ. So the squares of many means
are too large by the variances of the means, on average. Data simulated around such means contain the noise of the
prompts at hand and are given noise again.
"""

import numpy as np


def shrunk(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Means whose squares sum to the squares given less their variances, shape [edge].

    Each square is reduced by its variance times one common factor of 1 or more, but not below zero.
    """
    squares = mean**2
    signal = (squares - variance).sum()
    if signal <= 0:
        return np.zeros(len(mean))
    noisy = variance > 0
    # A square is zero once the factor exceeds its ratio to the variance. Between ratios the sum is linear in it.
    ratios = squares[noisy] / variance[noisy]
    order = np.argsort(-ratios)
    kept, lost = np.cumsum(squares[noisy][order]), np.cumsum(variance[noisy][order])
    fixed = squares[~noisy].sum()
    factors = (kept + fixed - signal) / np.maximum(lost, np.finfo(float).tiny)
    inside = ratios[order] > factors
    factor = factors[np.flatnonzero(inside)[-1]] if inside.any() else 0.0
    return np.sign(mean) * np.sqrt(np.maximum(squares - max(factor, 0.0) * variance, 0))
