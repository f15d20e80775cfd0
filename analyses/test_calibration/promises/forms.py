"""Forms of curves: how often a verdict names another form than the one that generated the curve."""

from collections.abc import Callable, Iterator

import numpy as np

from interp_emerge.emergence.scale import TrendVerdict, fit_trends
from promises.base import Promise, Rate

NOISE = 0.05
# Each over u, from 0 to 1 along four decades of the axis.
TRUTHS: dict[str, tuple[TrendVerdict, Callable[[np.ndarray], np.ndarray]]] = {
    "constant": (TrendVerdict.CONSTANT, lambda u: np.full(len(u), 0.4)),
    "straight line": (TrendVerdict.POWER_LAW, lambda u: u),
    "power law, exponent -0.3": (TrendVerdict.POWER_LAW, lambda u: 1 - 10 ** (-1.2 * u)),
    "sigmoid over a quarter of the axis": (TrendVerdict.SIGMOID, lambda u: 1 / (1 + np.exp(-20 * (u - 0.5)))),
    "sigmoid over half of the axis": (TrendVerdict.SIGMOID, lambda u: 1 / (1 + np.exp(-10 * (u - 0.55)))),
    "broken power law": (TrendVerdict.BROKEN_POWER_LAW, lambda u: np.maximum(u - 0.5, 0) * 2),
}


def wrong(n: int) -> Iterator[Rate]:
    for n_points in (5, 7, 10):
        u, errors = np.linspace(0, 1, n_points), np.full(n_points, NOISE)
        for name, (truth, curve) in TRUTHS.items():
            rng = np.random.default_rng(n_points)
            allowed = (truth, TrendVerdict.CANNOT_BE_TOLD)
            drawn = (curve(u) + rng.normal(0, NOISE, n_points) for _ in range(n))
            others = sum(fit_trends(10 ** (3 + 4 * u), y, errors=errors).verdict not in allowed for y in drawn)
            yield Rate(case=f"{n_points} points, {name}", happened=others, simulations=n, at_most=0.05)


PROMISES = (
    Promise(
        says="A verdict on the form of a curve names the form that generated it, or says that it cannot be told.",
        module="emergence.scale.trends",
        counted="verdicts that name another form",
        simulate=wrong,
    ),
)
