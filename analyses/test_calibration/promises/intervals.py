"""Intervals of means and ratios: how often they contain the true value, and how often a gap of zero is defined."""

from collections.abc import Callable, Iterator

import numpy as np

from interp_emerge.circuits.running import Evaluation
from interp_emerge.stats import mean_intervals, ratio_interval
from promises.base import Promise, Rate

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
VALUES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.normal(1, 1, shape), 1.0),
    "uniform": (lambda rng, shape: rng.uniform(0, 1, shape), 0.5),
    "exponential": (lambda rng, shape: rng.exponential(1, shape), 1.0),
    "bounded and skewed, beta(0.5, 2)": (lambda rng, shape: rng.beta(0.5, 2, shape), 0.2),
    "bimodal, normal around 0 or 1": (
        lambda rng, shape: (rng.random(shape) < 0.4) + rng.normal(0, 0.1, shape),
        0.4,
    ),
    "0 or 1, with a share of 0.8": (lambda rng, shape: (rng.random(shape) < 0.8).astype(float), 0.8),
    "log-normal": (lambda rng, shape: rng.lognormal(0, 1, shape), float(np.exp(0.5))),
}
"""Values of a prompt, and their expected value."""
LONG_TAILED, SHARE = "log-normal", "0 or 1"
N_PROMPTS = (8, 16, 64)


def of_means(n: int) -> Iterator[Rate]:
    for kind, (draw, mean) in VALUES.items():
        for n_prompts in N_PROMPTS:
            values = draw(np.random.default_rng(n_prompts), (n_prompts, n))
            _, low, high = mean_intervals(values, share=kind.startswith(SHARE))
            happened = int(((low <= mean) & (mean <= high)).sum())
            least = 0.88 if kind == LONG_TAILED else 0.93
            yield Rate(case=f"{n_prompts} prompts, {kind}", happened=happened, simulations=n, at_least=least)


def of_ratios(n: int) -> Iterator[Rate]:
    noises: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
        "normal noise": lambda rng, size: rng.normal(0, 0.4, size),
        "skewed noise": lambda rng, size: 0.4 * (rng.exponential(1, size) - 1),
    }
    for kind, noise in noises.items():
        for n_prompts in N_PROMPTS:
            rng, happened = np.random.default_rng(n_prompts), 0
            for _ in range(n):
                gap = 1 + rng.exponential(1, n_prompts)
                found = ratio_interval(0.8 * gap + noise(rng, n_prompts), gap)
                happened += found.low <= 0.8 <= found.high
            yield Rate(case=f"{n_prompts} prompts, {kind}", happened=happened, simulations=n, at_least=0.93)


def of_no_gap(n: int) -> Iterator[Rate]:
    for kind, (draw, mean) in VALUES.items():
        if kind.startswith(SHARE):  # Gaps that are all equal count as certain, since rare other ones cannot be seen.
            continue
        for n_prompts in N_PROMPTS:
            for sign, tail in ((1, "above"), (-1, "below")):
                values = sign * (draw(np.random.default_rng(n_prompts), (n_prompts, n)) - mean)
                happened = sum(defined(column) for column in values.T)
                case, most = f"{n_prompts} pairs, {kind}, tail {tail}", 0.04 if kind == LONG_TAILED else 0.025
                yield Rate(case=case, happened=happened, simulations=n, at_most=most)


def defined(gap: np.ndarray) -> bool:
    """Whether the faithfulness of circuits is defined if this is the gap of each pair, shape [pair]."""
    zero = np.zeros(len(gap))
    return Evaluation(metric=gap, clean=gap, corrupt=zero, kl=zero, right=zero, ablation="resample").defined


PROMISES = (
    Promise(
        says="The 95% interval of a mean contains the true mean, from 8 values on; that of 0/1 values at any number.",
        module="stats.intervals",
        counted="intervals that contain the true mean",
        simulate=of_means,
    ),
    Promise(
        says="The 95% interval of a ratio of means contains the true ratio, from 8 values on.",
        module="stats.intervals",
        counted="intervals that contain the true ratio",
        simulate=of_ratios,
    ),
    Promise(
        says="Where the true gap is zero, faithfulness is undefined.",
        module="circuits.running.faithfulness",
        counted="gaps that are called above zero",
        simulate=of_no_gap,
    ),
)
