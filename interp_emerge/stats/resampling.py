"""Bootstrap samples: which items are drawn, and the weight of each item in the mean of a sample.

Items are drawn with replacement, as many as there are (Efron, 1979, https://doi.org/10.1214/aos/1176344552). The matrix
product of weights, [resample, item], and values, [item, column], gives the means of all samples.
"""

from functools import cache

import numpy as np

RESAMPLES = 1000
"""Default number of bootstrap samples."""


@cache
def resample_rows(n: int, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Indices of bootstrap samples of `n` prompts, shape [resample, prompt].

    Example:
        >>> ie.stats.resample_rows(4, resamples=2).shape
        (2, 4)
    """
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def resample_weights(n: int, *, resamples: int = RESAMPLES, seed: int = 0, observed_first: bool = False) -> np.ndarray:
    """Weight of each of `n` prompts in each sample of `resample_rows`, shape [resample, prompt]; rows sum to 1.

    With `observed_first` there is one more row at the beginning with equal weights. It gives the mean of the prompts as
    observed.

    Example:
        >>> ie.stats.resample_weights(4, resamples=2).sum(1)
    """
    weights = np.zeros((resamples + observed_first, n))
    weights[:observed_first] = 1 / n
    rows = resample_rows(n, resamples=resamples, seed=seed)
    np.add.at(weights[observed_first:], (np.arange(resamples)[:, None], rows), 1 / n)
    return weights


def draw_weights(rng: np.random.Generator, n: int, *, resamples: int = RESAMPLES) -> np.ndarray:
    """Weights of `n` items in samples that the generator draws next, shape [resample, item]; rows sum to 1.

    With one generator the samples of several sets, such as prompts and seeds, are independent.
    """
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n


def draw_weights_of_few(rng: np.random.Generator, n: int, *, resamples: int = RESAMPLES) -> np.ndarray:
    """Weights as from `draw_weights`, spread so that means of samples vary as the mean of `n` items does.

    Means of bootstrap samples of n items have (n − 1) / n of the variance of their mean: half of it for two training
    runs, two thirds for three. A weight may be negative; rows sum to 1.
    """
    return 1 / n + (draw_weights(rng, n, resamples=resamples) - 1 / n) * np.sqrt(n / max(n - 1, 1))
