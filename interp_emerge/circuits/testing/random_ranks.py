"""The rank of a circuit among random circuits of every kind, with no more runs than the test needs.

1. Random circuits of one kind (`circuits.finding.null_circuits`) are run in batches, and their values are compared with
   the circuit's (`rank_among`).
2. Once so many of them do at least as well that the p-value cannot be alpha or less, the rest is not run. The p-value
   is the rank among those up to the last one needed. It is valid: stopping after a fixed number of such draws gives
   sequential Monte Carlo p-values (Besag and Clifford, 1991, https://doi.org/10.1093/biomet/78.2.301), and the
   rank's are not smaller.
3. Otherwise the next kind is run. The result is that of the kind with the largest p-value, so a p-value of at most
   alpha says that the circuit beats random circuits of every kind. A p-value above alpha is that of the kind at which
   the test stopped. It decides nothing else: another kind, which was not run, might give a larger one.

Cost: 25 runs for a circuit that is clearly no better than random ones, and a run for each draw of each kind for one
that beats them all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import floor
from typing import Any, TypeVar

import numpy as np

from interp_emerge.circuits.finding.null_circuits import NullKind
from interp_emerge.circuits.testing.outcomes import Outcome, ranked
from interp_emerge.stats.intervals import ROUNDING
from interp_emerge.stats.ranks import Side, beyond_and_tied, least_p

T = TypeVar("T")
AT_ONCE = 25
"""Random circuits of one batch."""


def rank_among(
    test: str,
    found: float,
    drawn: Mapping[NullKind, Sequence[T]],
    values_of: Callable[[Sequence[T]], np.ndarray],
    *,
    sign: int,
    quantile: float,
    alpha: float,
) -> Outcome:
    """The outcome of ranking a circuit among random circuits, of the kind with the largest p-value.

    Args:
        test: its name.
        found: the circuit's value.
        drawn: random circuits by kind.
        values_of: runs circuits and gives their values, shape [circuit].
        sign: 1 where large values are good, -1 where small ones are.
        quantile: the share of random circuits to beat.
        alpha: draws stop once the p-value is certain to exceed this.
    """
    outcomes = []
    for kind, circuits in drawn.items():
        values, enough = np.empty(0), max(1, floor(alpha * (1 + len(circuits)) + ROUNDING))
        n_needed = 0
        while len(values) < len(circuits):
            values = np.append(values, values_of(circuits[len(values) : len(values) + AT_ONCE]))
            n_needed = draws_needed(found, values, enough, "greater" if sign > 0 else "less")
            if n_needed <= len(values):
                break
        counted = values[:n_needed]
        outcome = ranked(test, found, counted, quantile, sign=sign, drawn="random circuits")
        limits: dict[str, Any] = {"drawn": f"{len(circuits)} random circuits", "least_p_value": least_p(len(circuits))}
        outcomes.append(replace(outcome, random_kind=kind, **limits))
        if n_needed <= len(values):
            break
    return max(outcomes, key=lambda outcome: outcome.p_value)


def draws_needed(found: float, values: np.ndarray, enough: int, side: Side) -> int:
    """Draws until `enough` of them are at least as extreme; one more than there are if that never happens."""
    as_extreme = np.logical_or(*beyond_and_tied(found, values, side=side))
    reached = np.flatnonzero(np.cumsum(as_extreme) >= enough)
    return int(reached[0]) + 1 if len(reached) else len(values) + 1
