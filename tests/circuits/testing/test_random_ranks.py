"""The rank among random circuits of several kinds, and how many of them are run."""

from typing import Any

import numpy as np
import pytest

from interp_emerge.circuits.finding.null_circuits import NullKind
from interp_emerge.circuits.testing.random_ranks import rank_among

HOW: dict[str, Any] = {"sign": 1, "quantile": 0.9, "alpha": 0.05}
FIRST, SECOND = NullKind.STRONGEST, NullKind.PATHS


def ranked(found: float, drawn: dict[NullKind, np.ndarray]) -> tuple[Any, int]:
    """The outcome, and the number of random values that were asked for."""
    asked: list[int] = []

    def values_of(values: Any) -> np.ndarray:
        asked.append(len(values))
        return np.asarray(values)

    given = {kind: values.tolist() for kind, values in drawn.items()}
    return rank_among("sufficiency", found, given, values_of, **HOW), sum(asked)


def test_a_value_that_beats_every_kind_is_ranked_among_all_draws_of_the_hardest():
    drawn = {FIRST: np.linspace(0, 1, 100), SECOND: np.append(np.zeros(97), [3, 3, 3])}
    found, n = ranked(2.0, drawn)
    assert (found.p_value, found.random_kind, found.n, n) == (4 / 101, SECOND, 100, 200)
    assert (found.least_p_value, found.drawn) == (1 / 101, "100 random circuits")


def test_draws_stop_once_the_p_value_is_certain_to_be_too_large():
    # Every fourth draw is larger: the fifth of these is the 20th draw, and 6 / 101 is above 0.05 whatever follows.
    first = np.tile([0.0, 0, 0, 3], 25)
    found, n = ranked(2.0, {FIRST: first, SECOND: np.zeros(100)})
    assert (found.p_value, found.random_kind, found.n, n) == (6 / 21, FIRST, 20, 25)
    found, n = ranked(2.0, {FIRST: np.zeros(100), SECOND: np.ones(100) * 3})
    assert (found.p_value, found.random_kind, found.n, n) == (1, SECOND, 5, 125)


@pytest.mark.parametrize("kind", [FIRST, SECOND])
def test_a_value_drawn_as_one_of_the_kinds_is_seldom_ranked_high(kind: NullKind):
    rng, n, p_values = np.random.default_rng(0), 200, []
    for _ in range(n):
        drawn = {FIRST: rng.normal(0, 1, 60), SECOND: rng.normal(0.3, 1, 60)}
        p_values.append(ranked(rng.normal(0.3 if kind == SECOND else 0, 1), drawn)[0].p_value)
    # Above alpha the other kind was not run, so there p is not the largest.
    for level in (0.02, 0.05):
        # Three standard errors above the level.
        assert np.mean(np.array(p_values) <= level) <= level + 3 * np.sqrt(level * (1 - level) / n)
