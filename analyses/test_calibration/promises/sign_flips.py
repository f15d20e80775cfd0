"""The sign-flip test: its level, and its p-values compared with exact ones."""

from collections.abc import Iterator

import numpy as np

from interp_emerge.stats import sign_flip_p_values
from promises.base import Promise, Rate

LEVEL = 0.05


def magnitudes(law: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    match law:
        case "normal":
            return np.abs(rng.normal(size=shape))
        case "heavy-tailed":
            return np.abs(rng.standard_cauchy(shape))
        case "equal":
            return np.ones(shape)
        case "nearly equal":
            return 1 + 0.01 * rng.normal(size=shape)
        case _:
            return rng.choice([0.1, 1], size=shape) * (1 + 0.001 * rng.normal(size=shape))


LAWS = ("normal", "heavy-tailed", "equal", "nearly equal", "nearly equal, of two sizes")


def level(n: int) -> Iterator[Rate]:
    for n_pairs in (8, 16, 24, 32, 64):
        for law in LAWS:
            rng = np.random.default_rng(n_pairs)
            values = magnitudes(law, (n_pairs, n), rng) * rng.choice([-1, 1], size=(n_pairs, n))
            rejected = int((sign_flip_p_values(values) <= LEVEL).sum())
            yield Rate(case=f"{n_pairs} pairs, {law} magnitudes", happened=rejected, simulations=n, at_most=LEVEL)


def error(n: int) -> Iterator[Rate]:
    for law in LAWS:
        rng, n_pairs = np.random.default_rng(0), 30
        values = magnitudes(law, (n_pairs, n), rng) * np.where(rng.random((n_pairs, n)) < 0.65, 1, -1)
        found, exact = sign_flip_p_values(values), np.array([counted(column) for column in values.T])
        wrong = int((np.abs(found / exact - 1) > 0.05).sum())
        yield Rate(case=f"30 pairs, {law} magnitudes", happened=wrong, simulations=len(found), at_most=0.01)


def counted(values: np.ndarray) -> float:
    """The p-value from all choices of signs: each sum of the first half with each of the second half."""
    first, second = (sums(half) for half in np.array_split(values, 2))
    observed, second = abs(values.sum()) * (1 - 1e-12), np.sort(second)
    above = len(second) - np.searchsorted(second, observed - first, side="left")
    below = np.searchsorted(second, -observed - first, side="right")
    return float(np.minimum(above + below, len(second)).mean() / len(second))


def sums(values: np.ndarray) -> np.ndarray:
    total = np.zeros(1)
    for value in values:
        total = np.concatenate([total + value, total - value])
    return total


PROMISES = (
    Promise(
        says="The sign-flip test at 0.05 rejects a true null hypothesis in at most 5% of cases.",
        module="stats.significance",
        counted="rejections at 0.05 without an effect",
        simulate=level,
    ),
    Promise(
        says="Beyond 24 pairs a p-value is within 5% of the exact one.",
        module="stats.significance",
        counted="p-values off by more than 5%",
        simulate=error,
    ),
)
