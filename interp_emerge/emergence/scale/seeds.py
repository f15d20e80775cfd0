"""How many training seeds of a size acquire an ability, and whether their accuracies form one group or two.

At a size where an ability is only just within reach, some training runs acquire it and others do not. The accuracies
then have two modes, and no run has the mean accuracy (Zhao et al., 2025, https://arxiv.org/abs/2502.17356).

1. A seed *succeeds* if its accuracy is above half-way from chance to the ceiling. P(success | size) has the exact
   interval of Clopper and Pearson (1934, https://doi.org/10.1093/biomet/26.4.404). The interval is over seeds: if three
   of three succeed, it goes from 0.29 to 1.
2. `p_alike` is the p-value of the χ² test that all seeds have the same accuracy. Seeds answer the same prompts, so they
   are more alike than the test assumes, and the test rejects too rarely rather than too often.
3. If the test rejects, `find_modes` compares two models of the counts of correct answers, where each seed is one
   observation: accuracies spread around one mode (beta-binomial with both shape parameters at least 1), and two
   accuracies (a mixture of two binomials). The statistic is the logarithm of their likelihood ratio. Its null
   distribution comes from counts drawn from models with one mode (parametric bootstrap; McLachlan, 1987,
   https://doi.org/10.2307/2347790). `p_one_mode` is the larger of two p-values: for the model with one mode that fits
   best, and for the widest, where all accuracies are equally probable. Two groups are found if it is at most 0.05.

If two groups are not found, the seeds may still form two groups. With few seeds only groups that are far apart can be
found. Measured rates of both errors: docs/calibration.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import UNDEFINED, success_interval
from interp_emerge.stats.ranks import rank_p
from interp_emerge.stats.significance import SIGNIFICANT

FEWEST_SEEDS = 4
"""With fewer seeds two groups cannot be distinguished from a wide spread, however far apart they are."""
DRAWS = 199
"""Draws of the null: p is at least 0.005."""
SHAPES, WIDEST = 15, 7.0
"""Values on the grid for either shape parameter, from 1 to e^7, where a spread no longer differs from none."""
WIDEST_SPREAD = (1.0, 1.0)
"""Shape parameters of the widest spread with one mode: all accuracies are equally probable."""
ROUNDS = 50
"""Rounds of expectation and maximisation."""
EDGE = 1e-9
"""Rates are kept at least this far from 0 and 1, so that their logarithms are finite."""


class SeedSpread(StrEnum):
    """How the accuracies of training seeds are spread."""

    ONE_SEED = "one seed"
    """There is a single seed, so there is no spread."""
    ALIKE = "alike"
    """The test does not reject that all seeds have the same accuracy."""
    SPREAD = "spread, two groups not shown"
    """The seeds differ, and a spread around one mode describes them well enough. Two groups are not excluded."""
    TWO_GROUPS = "two groups"
    """The seeds differ, and two accuracies describe them better than any spread around one mode."""
    UNDEFINED = UNDEFINED
    """The seeds differ, but there are too few of them to describe how."""


@dataclass(frozen=True, kw_only=True)
class Modes(Record):
    """How the accuracies of seeds are spread.

    `low` and `high` are the accuracies of the two groups, and `share_high` is the share of seeds in the higher group;
    they are NaN unless there are two groups. `p_one_mode` is NaN if the seeds do not differ, and if there are too few.
    """

    verdict: SeedSpread
    reason: str
    """Why the verdict is undefined; empty otherwise."""
    p_alike: float
    low: float
    high: float
    share_high: float
    p_one_mode: float
    """Probability of as much evidence for two groups if the accuracies spread around one mode."""

    @property
    def described(self) -> str:
        """The verdict, with its reason where there is one."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict.value


@checked
def success_by_size(frame: pd.DataFrame, ability: Ability, *, threshold: float | None = None) -> pd.DataFrame:
    """The share of seeds that succeed at each size, and how the accuracies of the seeds are spread.

    Example:
        >>> ie.emergence.scale.success_by_size(measured, ability)[["size", "n_success", "p"]]

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
def find_modes(right: np.ndarray, asked: np.ndarray, *, level: float = SIGNIFICANT, seed: int = 0) -> Modes:
    """Whether seeds are alike, form two groups, or differ without two groups being shown.

    Example:
        >>> ie.emergence.scale.find_modes(np.array([3, 4, 60, 62]), np.array([64, 64, 64, 64]))

    Args:
        right: number of correct answers of each seed, shape [seed].
        asked: number of prompts of each seed, shape [seed].
        level: significance level of both tests.
        seed: of the draws from the null.

    Raises:
        InputError: there is no seed, or a count is impossible.
    """
    right, asked = np.asarray(right, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    if right.shape != asked.shape or right.ndim != 1 or not len(right):
        raise InputError("each seed needs a number of correct answers and a number of prompts")
    if not ((right >= 0) & (right <= asked) & (asked >= 1)).all():
        raise InputError("each seed needs a number of correct answers between 0 and its number of prompts, at least 1")
    found: dict[str, float] = dict.fromkeys(("low", "high", "share_high", "p_one_mode"), np.nan)
    if len(right) == 1:
        return Modes(verdict=SeedSpread.ONE_SEED, reason="", p_alike=np.nan, **found)
    p_alike = _p_alike(right, asked)
    if p_alike >= level:
        return Modes(verdict=SeedSpread.ALIKE, reason="", p_alike=p_alike, **found)
    if len(right) < FEWEST_SEEDS:
        reason = f"{len(right)} seeds differ, and {FEWEST_SEEDS} are needed to say how"
        return Modes(verdict=SeedSpread.UNDEFINED, reason=reason, p_alike=p_alike, **found)
    found["p_one_mode"] = _p_one_mode(right, asked, np.random.default_rng(seed))
    if found["p_one_mode"] > level:
        return Modes(verdict=SeedSpread.SPREAD, reason="", p_alike=p_alike, **found)
    groups = dict(zip(("low", "high", "share_high"), map(float, _two(right[None], asked)[0][:, 0]), strict=True))
    return Modes(verdict=SeedSpread.TWO_GROUPS, reason="", p_alike=p_alike, **found | groups)


def _p_alike(right: np.ndarray, asked: np.ndarray) -> float:
    from scipy.stats import chi2

    rate = right.sum() / asked.sum()
    if rate in (0, 1):
        return 1.0
    distance = ((right - asked * rate) ** 2 / (asked * rate * (1 - rate))).sum()
    return float(chi2.sf(distance, len(right) - 1))


def _p_one_mode(right: np.ndarray, asked: np.ndarray, rng: np.random.Generator) -> float:
    """The p-value of the evidence for two groups: the larger one under the best spread with one mode and the widest."""
    best = _spread(right[None], asked)[0][0]
    p_values = []
    for shape in (best, WIDEST_SPREAD):
        drawn = rng.binomial(asked.astype(int), rng.beta(*shape, size=(DRAWS, len(asked))))
        counts = np.concatenate([right[None], drawn])
        evidence = _two(counts, asked)[1] - _spread(counts, asked)[1]
        p_values.append(rank_p(float(evidence[0]), evidence[1:]))
    return max(p_values)


def _ways(right: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Logarithm of the number of ways to choose the prompts answered correctly, shape [..., seed]."""
    from scipy.special import gammaln

    return gammaln(asked + 1) - gammaln(right + 1) - gammaln(asked - right + 1)


def _spread(right: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best beta-binomial with both shape parameters at least 1, and so with one mode, for each draw of counts.

    Args:
        right: correct answers, shape [draw, seed].
        asked: prompts, shape [seed].

    Returns:
        The shape parameters on the grid, shape [draw, 2], and the log-likelihood, shape [draw].
    """
    from scipy.special import betaln

    grid = np.exp(np.linspace(0, WIDEST, SHAPES))
    best, at = np.full(len(right), -np.inf), np.zeros((len(right), 2))
    for a, b in product(grid, grid):
        likelihood = (betaln(right + a, asked - right + b) - betaln(a, b)).sum(-1)
        better = likelihood > best
        best, at = np.where(better, likelihood, best), np.where(better[:, None], (a, b), at)
    return at, best + _ways(right, asked).sum(-1)


def _two(right: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best mixture of two binomials for each draw of counts.

    Found by expectation and maximisation (Dempster et al., 1977), started from every split of the ordered seeds.

    Args:
        right: correct answers, shape [draw, seed].
        asked: prompts, shape [seed].

    Returns:
        Lower accuracy, higher accuracy and share of the higher, shape [3, draw], and the log-likelihood, shape [draw].
    """
    rank = (right / asked).argsort(-1).argsort(-1)
    starts = [_improved(right, asked, (rank >= split).astype(float)) for split in range(1, right.shape[1])]
    likelihood = np.stack([one[1] for one in starts])
    best = likelihood.argmax(0)
    draws = np.arange(len(right))
    return np.stack([one[0] for one in starts])[best, :, draws].T, likelihood[best, draws]


def _improved(right: np.ndarray, asked: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mixtures that expectation and maximisation reach from each seed's membership of the higher group."""
    likelihood, ways = np.full(len(right), -np.inf), _ways(right, asked).sum(-1)
    groups = np.full((3, len(right)), np.nan)
    for _ in range(ROUNDS):
        share = np.clip(member.mean(-1), EDGE, 1 - EDGE)
        both = np.stack([1 - member, member])
        rates = np.clip((both * right).sum(-1) / np.maximum((both * asked).sum(-1), EDGE), EDGE, 1 - EDGE)[..., None]
        parts = right * np.log(rates) + (asked - right) * np.log1p(-rates)
        parts += np.log(np.stack([1 - share, share]))[..., None]
        total = np.logaddexp(*parts)
        groups, likelihood = np.concatenate([rates[..., 0], share[None]]), total.sum(-1) + ways
        member = np.exp(parts[1] - total)
    return groups, likelihood
