"""Areas of a curve of faithfulness: how often the intervals of CPR and CMD contain the true area."""

from collections.abc import Iterator

import numpy as np

from interp_emerge.circuits.running import GRID, cmd_interval, cpr_interval
from promises.base import Promise, Rate

SHARES = np.array(GRID)
BELOW, ACROSS = (1, 1, 1, 1, 0.9, 0.8, 0.7, 0.5, 0.4, 0), (1, 1, 1, 0.9, 0.7, 0.4, 0.1, -0.5, -0.5, 0)
"""Distances below 1 at each share, up to a factor: a curve that rises to 1, and one that crosses 1."""
CURVES = ((0.0, BELOW), (0.015, ACROSS), (0.1, ACROSS), (0.4, BELOW))
"""True CMD, and the form of the curve."""
LARGE = 1 / 3
"""Noise of a pair as a fraction of the mean gap."""


def draw(rng: np.random.Generator, faithfulness: np.ndarray, n: int, noise: float, skewed: bool, common: float = 0.5):
    """What circuits keep, shape [share, pair], and the gap, shape [pair]; the whole graph keeps the gap of each pair.

    `common` is the part of the noise, in variance, that a pair has in common at all shares.
    """

    def errors(*shape: int) -> np.ndarray:
        return rng.exponential(size=shape) - 1 if skewed else rng.normal(size=shape)

    gap = 1 + noise * errors(n)
    own, shared = errors(len(SHARES), n), errors(n)
    kept = faithfulness[:, None] * gap + noise * (common**0.5 * shared + (1 - common) ** 0.5 * own)
    kept[-1] = gap
    return kept, gap


def curve(cmd: float, form) -> np.ndarray:
    """Faithfulness at each share, with this CMD."""
    distance = np.array(form, dtype=float)
    return 1 - cmd * distance / np.trapezoid(np.abs(distance), SHARES)


def cases(n: int, curves=CURVES) -> Iterator[tuple[str, float, np.ndarray, list]]:
    """Name, true CMD, true faithfulness and `n` draws of each case."""
    for number, (cmd, form) in enumerate(curves):
        truth, crosses = curve(cmd, form), " and crosses 1" if form is ACROSS else ""
        for pairs, noise, skewed in [(16, 0.05, False)] + [(k, LARGE, s) for k in (8, 16, 64, 256) for s in (0, 1)]:
            rng, kind = np.random.default_rng((number, pairs)), "skewed" if skewed else "normal"
            case = f"CMD {cmd:g}{crosses}, {pairs} pairs, {kind} noise of {noise:.2f} of the gap"
            yield case, cmd, truth, [draw(rng, truth, pairs, noise, bool(skewed)) for _ in range(n)]


def contains(interval, truth: float) -> bool:
    """Whether an interval contains the truth up to rounding; ends that are undefined exclude nothing."""
    return not (interval.low > truth + 1e-12 or interval.high < truth - 1e-12)


def of_cmd(n: int) -> Iterator[Rate]:
    for case, cmd, _, drawn in cases(n):
        held = sum(contains(cmd_interval(kept, gap, SHARES), cmd) for kept, gap in drawn)
        yield Rate(case=case, happened=held, simulations=n, at_least=0.93)


def of_cpr(n: int) -> Iterator[Rate]:
    # The error of the ratio does not depend on the curve, so one curve is enough.
    for case, _, faithfulness, drawn in cases(n, CURVES[-1:]):
        truth = float(np.trapezoid(faithfulness, SHARES))
        held = sum(contains(cpr_interval(kept, gap, SHARES), truth) for kept, gap in drawn)
        yield Rate(case=case, happened=held, simulations=n, at_least=0.93)


def above_zero(n: int) -> Iterator[Rate]:
    for case, _, _, drawn in cases(n, CURVES[-2:]):
        if "64 pairs" in case:
            seen = sum(cmd_interval(kept, gap, SHARES).low > 0 for kept, gap in drawn)
            yield Rate(case=case, happened=seen, simulations=n, at_least=0.9)


PROMISES = (
    Promise(
        says="The interval of CMD contains the true area in at least 93% of cases.",
        module="circuits.running.areas",
        counted="intervals that contain it",
        simulate=of_cmd,
    ),
    Promise(
        says="The interval of CPR contains the true area in at least 93% of cases.",
        module="circuits.running.areas",
        counted="intervals that contain it",
        simulate=of_cpr,
    ),
    Promise(
        says="A CMD of 0.1 or more lies surely above 0 with 64 pairs.",
        module="circuits.running.areas",
        counted="intervals that lie above 0",
        simulate=above_zero,
    ),
)
