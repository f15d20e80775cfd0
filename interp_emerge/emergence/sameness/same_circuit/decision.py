"""The answer on two circuits from the numbers that were measured, and how many prompts it would take where it is open.

The rules that `emergence.sameness.same_circuit` states, in their order. Both definite answers need circuits that are
reproducible: failing to see a difference between circuits of noise does not make them the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from interp_emerge.emergence.sameness.same_circuit.halves import Classes, Edges, Splits
from interp_emerge.emergence.sameness.same_circuit.null import SameScores
from interp_emerge.emergence.sameness.same_circuit.table import SameCircuitVerdict
from interp_emerge.stats.intervals import SURE, Interval
from interp_emerge.stats.shrinkage import shrunk
from interp_emerge.stats.significance import SIGNIFICANT

LEAST_WITHIN = 0.5
"""Mean overlap within a model below which noise hides its strongest edges, and no answer is given."""
LEAST_BEYOND = 0.5
"""Share of the possible overlap beyond exchanged heads that is needed to call two circuits the same."""
MOST_TIMES, DRAWS = 64, 20
"""Most times as many pairs that are tried, and simulated halves for each."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The answer, the reason if it is open, and about how many pairs of each model would settle it, if known."""

    verdict: SameCircuitVerdict
    reason: str = ""
    pairs_needed: int | None = None


def decide(
    space: Edges | Classes, values: Sequence[np.ndarray], found: Splits, null: SameScores, p_value: float,
    corrected: Interval, random: np.ndarray, margin: float,
) -> Decision:  # fmt: skip
    """The answer on two circuits. `random` holds indices of random circuits, shape [draw]."""
    least, n = 1 - margin, min(map(len, values))
    if min(found.within[0].mean(), found.within[1].mean()) <= float(np.quantile(random, SURE)):
        return _open("halves of one model's prompts give circuits no more alike than random circuits",
                     pairs_to_share_half(space, values))  # fmt: skip
    if found.least_within < LEAST_WITHIN:
        reason = f"halves of one model's prompts share less than {LEAST_WITHIN:g} of their circuits"
        return _open(reason, pairs_to_share_half(space, values))
    alike = corrected.low > least
    if not found.beyond_layers(null.ratio) >= LEAST_BEYOND and (alike or p_value > SIGNIFICANT):
        return _open("noise leaves little more overlap than exchanging the heads of each layer at random, so the "
                     "architecture alone may make the circuits alike")  # fmt: skip
    if alike:
        return Decision(verdict=SameCircuitVerdict.SAME)
    if p_value > SIGNIFICANT:
        return _open(f"the corrected similarity may be below {least:g}", _pairs_to_narrow(corrected, least, n))
    rivals = found.across_rivals.mean(1)
    if rivals.max(initial=0) > np.quantile(null.indices, SIGNIFICANT) - 1e-12:
        return _open("another match of heads about as good shows no difference")
    return Decision(verdict=SameCircuitVerdict.DIFFERENT)


def pairs_to_share_half(space: Edges | Classes, values: Sequence[np.ndarray]) -> int | None:
    """About how many pairs each model needs until halves share `LEAST_WITHIN`; None if 64 times as many are too few.

    Halves of 2, 4, 8 … times as many pairs are simulated from means less what noise adds, and the pairs' deviations.
    """
    rng, n = np.random.default_rng(0), min(map(len, values))
    times = 2
    while times <= MOST_TIMES:
        if all(_within(space, side, one, times, rng) >= LEAST_WITHIN for side, one in enumerate(values)):
            return times * n
        times *= 2
    return None


def _within(space: Edges | Classes, side: int, values: np.ndarray, times: int, rng: np.random.Generator) -> float:
    """Mean overlap of simulated halves of `times` as many pairs."""
    n, mean = len(values), values.mean(0)
    base, deviations = shrunk(mean, values.var(0, ddof=1) / n), (values - mean) * np.sqrt(n / (n - 1))
    if not base.any():
        return 0.0
    signs = rng.choice([-1.0, 1.0], size=(2, DRAWS, n))
    halves = [space.of(side, base + one @ deviations / n * np.sqrt(2 / times)) for one in signs]
    return float(space.overlap(*halves).mean())


def _pairs_to_narrow(corrected: Interval, least: float, n: int) -> int | None:
    """Pairs until the interval ends at the margin, or at 1 if the value is below the margin; None if none is known."""
    below = corrected.value < least
    half, room = (corrected.high - corrected.value, 1 - corrected.value) if below else (
        corrected.value - corrected.low, corrected.value - least)  # fmt: skip
    if not room > 0 or not half > 0 or (half / room) ** 2 > MOST_TIMES:
        return None
    return ceil(n * max(1.0, (half / room) ** 2))


def _open(reason: str, pairs_needed: int | None = None) -> Decision:
    needed = f"; about {pairs_needed} pairs of each model may be enough" if pairs_needed else ""
    return Decision(verdict=SameCircuitVerdict.CANNOT_BE_TOLD, reason=reason + needed, pairs_needed=pairs_needed)
