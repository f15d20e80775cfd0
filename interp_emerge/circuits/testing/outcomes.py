"""What one test of a circuit found, in numbers and in a word, and whether it could have found anything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from interp_emerge.stats.intervals import UNDEFINED, success_interval
from interp_emerge.stats.ranks import beyond_and_tied, least_p, rank_p
from interp_emerge.stats.significance import holm

VERDICTS = {"against": ("speaks against", "no evidence against"), "for": ("supports", "cannot tell")}
"""What a test against or for a circuit says of it where the null is rejected, and where it is not."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one test found; NaN, with the reason in `note`, where it is undefined."""

    test: str
    statistic: float = nan
    p_value: float = nan
    n: int
    """Pairs, or random draws, that p comes from."""
    beaten: float = nan
    """Share of random circuits that do worse, with the ends of its exact 95% interval (Clopper and Pearson)."""
    ci_low: float = nan
    ci_high: float = nan
    p_value_quantile: float = nan
    drawn: str = ""
    """What bounds p from below, such as `100 random circuits`, with the least p-value that it can give."""
    least_p_value: float = 0.0
    note: str = ""


def verdict(p_adjusted: float, *, alpha: float, against: bool) -> str:
    """What a test against or for a circuit says of it; undefined where p is NaN."""
    if np.isnan(p_adjusted):
        return UNDEFINED
    return VERDICTS["against" if against else "for"][0 if p_adjusted <= alpha else 1]


def beside_each_other(outcomes: Sequence[Outcome], alpha: float) -> tuple[Outcome, ...]:
    """The outcomes, noting where no p-value that the draws can give would be rejected beside the others' p-values."""
    p_values, found = np.array([outcome.p_value for outcome in outcomes]), []
    for row, outcome in enumerate(outcomes):
        least = outcome.least_p_value
        best = np.where(np.arange(len(outcomes)) == row, least, p_values)
        if not np.isnan(outcome.p_value) and holm(best)[row] > alpha:
            few = f"the least p-value of {outcome.drawn}, {least:.2g}, cannot reach {alpha:g} after adjustment"
            outcome = noted(outcome, f"{few}: ask for more")
        found.append(outcome)
    return tuple(found)


def noted(outcome: Outcome, note: str) -> Outcome:
    """An outcome with one more note."""
    return replace(outcome, note="; ".join(filter(None, (outcome.note, note))))


def ranked(test: str, found: float, others: np.ndarray, quantile: float, *, sign: int, drawn: str) -> Outcome:
    """The rank of a value among random ones; `sign` is 1 where large values do well, -1 where small ones do."""
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
    """The p-value of so large a share of `n` draws beaten, where the chance of beating one is `quantile`."""
    from scipy.stats import binomtest

    return float(binomtest(round(share * n), n, quantile, alternative=alternative).pvalue)
