"""The outcome of one hypothesis test of a circuit, its verdict, and whether it could have rejected its null at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import nan

import numpy as np

from interp_emerge.circuits.finding.null_circuits import NullKind
from interp_emerge.stats.intervals import success_interval
from interp_emerge.stats.ranks import beyond_and_tied, least_p, rank_p
from interp_emerge.stats.significance import holm


class HypothesisVerdict(StrEnum):
    """What a test says about a circuit.

    Example:
        >>> tests = ie.circuits.testing  # all five tests, and each alone, from the metric of each pair
        >>> tests.hypothesis_tests(runs, circuit, n_random=20, n_permutations=100).outcomes[0]
        >>> tests.equivalence(result.metric, result.clean)
        >>> tests.independence(without.metric, without.clean, n_permutations=100)  # of the circuit's complement
        >>> tests.sufficiency(result.metric, drawn, result.clean)  # drawn: that of random circuits
        >>> tests.partial_necessity(without.metric, drawn, without.clean)  # here that of their complements
    """

    AGAINST = "speaks against"
    """The null is rejected, and the rejection is evidence against the circuit."""
    NOT_AGAINST = "no evidence against"
    """The null is not rejected, in a test whose rejection would be evidence against the circuit."""
    SUPPORTS = "supports"
    """The null is rejected, and the rejection is evidence for the circuit."""
    CANNOT_TELL = "cannot tell"
    """The null is not rejected, in a test whose rejection would be evidence for the circuit."""
    UNDEFINED = "undefined"
    """The test could not be run; the outcome's note says why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one test. Where the test is undefined its numbers are NaN and `note` says why."""

    test: str
    statistic: float = nan
    p_value: float = nan
    n: int
    """Number of pairs or of random draws that the p-value comes from."""
    beaten: float = nan
    """Share of random circuits that do worse, with its exact 95% interval `ci_low`, `ci_high` (Clopper and Pearson)."""
    ci_low: float = nan
    ci_high: float = nan
    p_value_quantile: float = nan
    """Binomial p-value of the null that the circuit beats no more than a share q of all random circuits."""
    drawn: str = ""
    """The draws whose number limits the p-value, such as `100 random circuits`."""
    random_kind: NullKind | None = None
    """How the random circuits were drawn, in a test that ranks the circuit among random ones."""
    least_p_value: float = 0.0
    """The smallest p-value that so many draws can give."""
    note: str = ""


def verdict(p_adjusted: float, *, alpha: float, against: bool) -> HypothesisVerdict:
    """The verdict of a test; `against` says whether its rejection is evidence against the circuit, or for it."""
    if np.isnan(p_adjusted):
        return HypothesisVerdict.UNDEFINED
    if against:
        return HypothesisVerdict.AGAINST if p_adjusted <= alpha else HypothesisVerdict.NOT_AGAINST
    return HypothesisVerdict.SUPPORTS if p_adjusted <= alpha else HypothesisVerdict.CANNOT_TELL


def with_few_draws_noted(outcomes: Sequence[Outcome], alpha: float) -> tuple[Outcome, ...]:
    """The outcomes, with a note on each test that has too few draws to be rejected.

    A test has too few draws if even its smallest possible p-value stays above alpha after Holm's adjustment, with the
    p-values of the other tests as they are.
    """
    p_values, found = np.array([outcome.p_value for outcome in outcomes]), []
    for row, outcome in enumerate(outcomes):
        least = outcome.least_p_value
        best = np.where(np.arange(len(outcomes)) == row, least, p_values)
        if not np.isnan(outcome.p_value) and holm(best)[row] > alpha:
            few = f"the smallest possible p-value of {outcome.drawn} is {least:.2g}, too large to reach {alpha:g} after"
            outcome = noted(outcome, f"{few} adjustment: ask for more")
        found.append(outcome)
    return tuple(found)


def noted(outcome: Outcome, note: str) -> Outcome:
    """The outcome with one more note."""
    return replace(outcome, note="; ".join(filter(None, (outcome.note, note))))


def ranked(test: str, found: float, others: np.ndarray, quantile: float, *, sign: int, drawn: str) -> Outcome:
    """The outcome of ranking a value among random ones; `sign` is 1 where large values are good, -1 where small are."""
    side = "greater" if sign > 0 else "less"
    beyond, tied = (int(draws.sum()) for draws in beyond_and_tied(found, others, side=side))
    n, worse = len(others), len(others) - beyond - tied
    interval = success_interval(worse, n)
    return Outcome(
        test=test,
        statistic=found,
        p_value=rank_p(found, others, side=side),
        n=n,
        beaten=worse / n,
        ci_low=interval.low,
        ci_high=interval.high,
        p_value_quantile=binomial(worse / n, n, quantile, "greater"),
        drawn=f"{n} {drawn}",
        least_p_value=least_p(n),
        note=f"{tied} of {n} {drawn} tie" if tied else "",
    )


def binomial(share: float, n: int, quantile: float, alternative: str) -> float:
    """The binomial p-value of beating this share of `n` draws, if the chance of beating one draw is `quantile`."""
    from scipy.stats import binomtest

    return float(binomtest(round(share * n), n, quantile, alternative=alternative).pvalue)
