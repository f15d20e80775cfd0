"""Bootstrap samples: which things are drawn, and how much each counts in the mean of a sample.

Things are drawn with replacement, as many as there are (Efron, 1979, https://doi.org/10.1214/aos/1176344552). The
product of weights, [resample, thing], and values, [thing, column], gives the means of all samples.
"""

from functools import cache

import numpy as np

RESAMPLES = 1000
"""Bootstrap samples unless asked for another number."""


@cache
def resample_rows(n: int, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Indices of bootstrap samples of `n` prompts, shape [resample, prompt]."""
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def resample_weights(n: int, *, resamples: int = RESAMPLES, seed: int = 0, whole: bool = False) -> np.ndarray:
    """How much each of `n` prompts counts in each sample of `resample_rows`, shape [resample, prompt]; rows sum to 1.

    With `whole` one more row stands first, in which all prompts count alike: the mean of the prompts as they are.
    """
    weights = np.zeros((resamples + whole, n))
    weights[:whole] = 1 / n
    rows = resample_rows(n, resamples=resamples, seed=seed)
    np.add.at(weights[whole:], (np.arange(resamples)[:, None], rows), 1 / n)
    return weights


def draw_weights(rng: np.random.Generator, n: int, *, resamples: int = RESAMPLES) -> np.ndarray:
    """The same of samples that the generator draws next, shape [resample, thing].

    One generator gives independent samples of several sets: of prompts, then of seeds.
    """
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
