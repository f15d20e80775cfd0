"""How many training seeds of a size acquire an ability, and whether their accuracies form one group or two.

At a size where an ability is only just within reach, some training runs acquire it and others do not. The accuracies
then have two modes, and no run has the mean accuracy (Zhao et al., 2025, https://arxiv.org/abs/2502.17356).

1. A seed *succeeds* if its accuracy is above half-way from chance to the ceiling. P(success | size) has the exact
   interval of Clopper and Pearson (1934, https://doi.org/10.1093/biomet/26.4.404). The interval is over seeds: if three
   of three succeed, it goes from 0.29 to 1.
2. `p_alike` is the p-value of the χ² test that all seeds have the same accuracy. Seeds answer the same prompts, so they
   are more alike than the test assumes, and the test rejects too rarely rather than too often.
3. If the test rejects, `find_modes` compares three models of the counts of correct answers by AICc (Hurvich and Tsai,
   1989, https://doi.org/10.1093/biomet/76.2.297). Each seed is one observation. The models are: one accuracy;
   accuracies spread around one mode (beta-binomial with both shape parameters at least 1); two accuracies (a mixture of
   two binomials). Two groups are found if the AICc of the third model is lower than both others by more than 2. The
   third model has three parameters, so with fewer than 5 seeds the spread is undefined.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.stats.forms import aicc
from interp_emerge.stats.intervals import UNDEFINED, success_interval
from interp_emerge.stats.significance import SIGNIFICANT

FEWEST_SEEDS = 5
MARGIN = 2.0
"""Two groups are found only if their AICc is lower than that of the simpler models by more than this."""
ROUNDS = 500
"""Largest number of rounds of expectation and maximisation."""
EDGE = 1e-9
"""Rates are kept at least this far from 0 and 1, so that their logarithms are finite."""


class SeedSpread(StrEnum):
    """How the accuracies of training seeds are spread."""

    ONE_SEED = "one seed"
    """There is a single seed, so there is no spread."""
    ALIKE = "alike"
    """The test does not reject that all seeds have the same accuracy."""
    ONE_MODE = "spread around one mode"
    """The seeds differ, and two groups do not describe them better than one group with a spread."""
    TWO_GROUPS = "two groups"
    """The seeds differ, and two accuracies describe them best."""
    UNDEFINED = UNDEFINED
    """The seeds differ, but there are too few of them to describe how."""


@dataclass(frozen=True, kw_only=True)
class Modes:
    """How the accuracies of seeds are spread.

    `low` and `high` are the accuracies of the two groups, and `share_high` is the share of seeds in the higher group;
    they are NaN unless there are two groups. `aicc_one`, `aicc_spread` and `aicc_two` are NaN where there are too few
    seeds to compare the models.
    """

    verdict: SeedSpread
    reason: str
    """Why the verdict is undefined; empty otherwise."""
    p_alike: float
    low: float
    high: float
    share_high: float
    aicc_one: float
    aicc_spread: float
    aicc_two: float

    @property
    def described(self) -> str:
        """The verdict, with its reason where there is one."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict.value


@checked
def success_by_size(frame: pd.DataFrame, ability: Ability, *, threshold: float | None = None) -> pd.DataFrame:
    """The share of seeds that succeed at each size, and how the accuracies of the seeds are spread.

    Args:
        frame: accuracy of every prompt, columns `size`, `step`, `seed`, `n_parameters`, `ability`, `metric`, `pair`,
            `value`, as `measure_grid` returns it. Only the last step of each run counts.
        ability: the ability.
        threshold: accuracy above which a seed succeeds; half-way from chance to the ceiling if left out.

    Returns:
        One row for each size, ascending: `size`, `n_parameters`, `n_seeds`, `n_success`, `p` (share of seeds that
        succeed), `ci_low`, `ci_high`, `mean` (accuracy over seeds), `values` (accuracy of each seed, text), `p_alike`,
        `shape` (the verdict of `Modes`, with its reason), `low`, `high`, `share_high`.

    Raises:
        InputError: the table has no accuracy of the ability, or has means over prompts.
    """
    if "pair" not in frame.columns:
        raise InputError("seeds are compared on single prompts: give one row for each prompt, with a column 'pair', as "
                         "measure_grid returns it, not means over prompts")  # fmt: skip
    rows = frame[(frame["ability"] == ability.name) & (frame["metric"] == "accuracy")]
    if rows.empty:
        raise InputError(f"the table has no accuracy of ability {ability.name!r}; measure it first")
    level = (ability.chance + ability.ceiling) / 2 if threshold is None else threshold
    rows = rows[rows["step"] == rows.groupby(["size", "seed"])["step"].transform("max")]
    made = []
    for (n_parameters, size), here in rows.groupby(["n_parameters", "size"]):
        runs = here.groupby("seed")["value"]
        accuracy = runs.mean().to_numpy()
        succeeded = int((accuracy > level).sum())
        chance = success_interval(succeeded, len(accuracy))
        modes = find_modes(runs.sum().to_numpy(), runs.count().to_numpy())
        made.append(
            {
                "size": size,
                "n_parameters": n_parameters,
                "n_seeds": len(accuracy),
                "n_success": succeeded,
                **chance.columns("p", "ci"),
                "mean": accuracy.mean(),
                "values": " ".join(f"{value:.2f}" for value in accuracy),
                "p_alike": modes.p_alike,
                "shape": modes.described,
                "low": modes.low,
                "high": modes.high,
                "share_high": modes.share_high,
            }
        )
    return pd.DataFrame(made)


@checked
def find_modes(right: np.ndarray, asked: np.ndarray, *, level: float = SIGNIFICANT) -> Modes:
    """Whether the seeds are alike, spread around one mode, or in two groups.

    Args:
        right: number of correct answers of each seed, shape [seed].
        asked: number of prompts of each seed, shape [seed].
        level: significance level of the test that seeds are alike.

    Raises:
        InputError: there is no seed, the shapes differ, or a count is negative or above the number of prompts.
    """
    right, asked = np.asarray(right, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    if right.shape != asked.shape or right.ndim != 1 or not len(right) or ((right < 0) | (right > asked)).any():
        raise InputError("each seed needs a number of correct answers between 0 and its number of prompts")
    undefined = dict.fromkeys(("low", "high", "share_high", "aicc_one", "aicc_spread", "aicc_two"), np.nan)
    if len(right) == 1:
        return Modes(verdict=SeedSpread.ONE_SEED, reason="", p_alike=np.nan, **undefined)
    p_alike = _p_alike(right, asked)
    if len(right) < FEWEST_SEEDS and p_alike < level:
        reason = f"{len(right)} seeds differ"
        return Modes(verdict=SeedSpread.UNDEFINED, reason=reason, p_alike=p_alike, **undefined)
    if len(right) < FEWEST_SEEDS:
        return Modes(verdict=SeedSpread.ALIKE, reason="", p_alike=p_alike, **undefined)
    one = aicc(-2 * _log_likelihood(right, asked, right.sum() / asked.sum()).sum(), 1, len(right))
    spread = aicc(-2 * _spread(right, asked), 2, len(right))
    low, high, share, likelihood = _two(right, asked)
    two = aicc(-2 * likelihood, 3, len(right))
    grouped = two + MARGIN < min(one, spread)
    verdict = SeedSpread.TWO_GROUPS if grouped else SeedSpread.ONE_MODE
    groups = {"low": low, "high": high, "share_high": share} if p_alike < level and grouped else {}
    found = undefined | groups | {"aicc_one": one, "aicc_spread": spread, "aicc_two": two}
    verdict = verdict if p_alike < level else SeedSpread.ALIKE
    return Modes(verdict=verdict, reason="", p_alike=p_alike, **found)


def _p_alike(right: np.ndarray, asked: np.ndarray) -> float:
    from scipy.stats import chi2

    rate = right.sum() / asked.sum()
    if rate in (0, 1):
        return 1.0
    distance = ((right - asked * rate) ** 2 / (asked * rate * (1 - rate))).sum()
    return float(chi2.sf(distance, len(right) - 1))


def _log_likelihood(right: np.ndarray, asked: np.ndarray, rate: float) -> np.ndarray:
    """Binomial log-likelihood of each seed, shape [seed]."""
    from scipy.special import gammaln

    ways = gammaln(asked + 1) - gammaln(right + 1) - gammaln(asked - right + 1)
    rate = min(max(rate, EDGE), 1 - EDGE)
    return ways + right * np.log(rate) + (asked - right) * np.log1p(-rate)


def _spread(right: np.ndarray, asked: np.ndarray) -> float:
    """Log-likelihood of the best beta-binomial with both shape parameters at least 1, so that it has one mode."""
    from scipy.optimize import minimize
    from scipy.stats import betabinom

    def loss(logs: np.ndarray) -> float:
        return -float(betabinom.logpmf(right, asked, *np.exp(logs)).sum())

    starts = ([0.0, 0.0], [3.0, 1.0], [1.0, 3.0], [4.0, 4.0])
    return -min(minimize(loss, start, method="L-BFGS-B", bounds=[(0, 12)] * 2).fun for start in starts)


def _two(right: np.ndarray, asked: np.ndarray) -> tuple[float, float, float, float]:
    """The best mixture of two binomials: lower accuracy, higher accuracy, share of the higher, log-likelihood.

    They are found by expectation and maximisation (Dempster et al., 1977), from every split of the sorted accuracies.
    """
    order, found = np.argsort(right / asked), []
    for split in range(1, len(right)):
        member = np.zeros(len(right))
        member[order[split:]] = 1
        found.append(_improved(right, asked, member))
    return max(found, key=lambda groups: groups[3])


def _improved(right: np.ndarray, asked: np.ndarray, member: np.ndarray) -> tuple[float, float, float, float]:
    """The mixture that expectation and maximisation reach, as in `_two`.

    Args:
        right: correct answers of each seed, shape [seed].
        asked: prompts of each seed, shape [seed].
        member: where to start: the probability that each seed is in the higher group, shape [seed].
    """
    groups = np.nan, np.nan, np.nan, -np.inf
    for _ in range(ROUNDS):
        share = min(max(float(member.mean()), EDGE), 1 - EDGE)
        low, high = (float((w * right).sum() / max((w * asked).sum(), EDGE)) for w in (1 - member, member))
        parts = np.stack([_log_likelihood(right, asked, rate) for rate in (low, high)])
        parts += np.log([1 - share, share])[:, None]
        total = np.logaddexp(*parts)
        groups = low, high, share, float(total.sum())
        before, member = member, np.exp(parts[1] - total)
        if np.abs(member - before).max() < 1e-8:
            break
    return groups
