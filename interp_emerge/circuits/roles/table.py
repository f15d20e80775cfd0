"""Scores of known roles for every head of a model, compared with untrained models, and which heads play them.

Each file of this folder that has the name of a role defines it: its source, its unit, how it scores heads, what inputs
it needs, what its source asks of the score, and what else a head must show. A study measures the four of `ROLES`;
`role_table` measures any:

1. `measure` scores every head on each sample: prompts, tokens, list items or prompt pairs, depending on the role. It
   measures the requirements in the same way. What is undefined for the model, its tokenizer or the inputs has a reason.
2. `_baselines` does the same for untrained models of the same configuration, until 100 heads for which the role is
   defined have been scored. `family_wise` makes the baseline of them: the score that the best of as many heads as the
   model has exceeds with a probability of 5%.
3. `rows_of` compares. A head clears the baseline if the 95% interval of its score lies above. It plays the role if the
   interval also lies above what the source asks for, and the same holds for every requirement.

Cost: that of each role, once for the model and once for each untrained model. Roles that read the same share its work.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil
from operator import and_
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Aspect, Measured, Requirement, Role, RoleTask
from interp_emerge.circuits.tables import ROLES
from interp_emerge.core.arguments import checked
from interp_emerge.core.model import HookedModel
from interp_emerge.families.hooking import untrained
from interp_emerge.stats.intervals import mean_intervals, success_interval

BASELINE_HEADS = 100
FAMILY_ERROR = 0.05
"""Probability that any head of an untrained model has a score above the baseline."""
EVIDENCE = tuple(aspect.value for aspect in Aspect)
"""Columns of a table of roles with what was measured for the requirements."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Scores of every head on every sample, shape [sample, head], with their baseline; or the reason why undefined."""

    values: np.ndarray
    baseline: float = np.nan
    reason: str = ""

    @classmethod
    def undefined(cls, n_heads: int, reason: str) -> "Scored":
        return cls(values=np.full((1, n_heads), np.nan), reason=reason)

    def interval(self, of: Measured) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means and their intervals, shape [head] each. What is computed from weights alone is exact."""
        mean, low, high = mean_intervals(self.values)
        if len(self.values) == 1 and of.needs == "nothing":
            return mean, mean, mean
        if len(self.values) > 1 and of.bounds is not None:
            # Samples that are all equal: others are fewer than this share, and at worst at a bound.
            equal, share = np.ptp(self.values, axis=0) == 0, success_interval(0, len(self.values)).high
            low = np.where(equal, mean - share * (mean - of.bounds[0]), low)
            high = np.where(equal, mean + share * (of.bounds[1] - mean), high)
        return mean, low, high


@checked
def role_table(
    model: HookedModel,
    *,
    roles: Iterable[str] | None = None,
    pairs: PromptPairs | None = None,
    tokens: Sequence[int] | Tensor | None = None,
    orders: Sequence[Sequence[int]] | None = None,
    name_movers: Sequence[str] | None = None,
    metric: str | MetricFunction = "logit_diff",
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of a model's heads in each role, compared with untrained models; one row a head and role.

    Columns `node`, `layer`, `index`, `role`, `score` (unit: `shelf[role].unit`), `ci_low`, `ci_high`, `baseline`,
    `clears_baseline` (NA if undefined); `attention`, `writing` and `direct_effect`, the means of what the role requires
    beside its score (NaN if it requires nothing of the kind); `plays`, whether the head meets all of it (NA if that
    cannot be told); `lacks`, what it does not meet, with the numbers; and `note`, why the score is undefined.

    Example:
        >>> table = ie.role_table(model, roles=["induction", "previous_token"])
        >>> table[table["plays"]][["node", "role", "score"]]

    Args:
        model: the model whose heads are scored.
        roles: names of roles; by default all.
        pairs: prompt pairs, for `s_inhibition` and `function_vector`; without them no head is a `name_mover` or
            `negative_name_mover` either, since those are required to move the answers of pairs.
        tokens: tokens for copy scores, such as names; by default the answers and foils of the pairs for roles that move
            names, and random ordinary tokens otherwise.
        orders: token ids in order, for `successor`; by default days, months, numbers and letters.
        name_movers: heads whose queries `s_inhibition` is about; by default heads that play that role.
        metric: metric of the effects in `s_inhibition` and of direct effects.
        seed: of prompts and tokens; untrained models use this seed and the following ones.

    Raises:
        UnknownNameError: no role, head or metric has the name.
        InputError: tokens, lists or pairs do not fit the model.
    """
    wanted = roles_named(roles)
    task = RoleTask(
        model=model,
        seed=seed,
        tokens=None if tokens is None else torch.as_tensor(tokens),
        orders=orders,
        pairs=pairs,
        metric=metric,
        heads={} if name_movers is None else {"name_mover": tuple(name_movers)},
    )
    aiming = [role for role in wanted if role.aims_at]
    sought = {role.aims_at for role in aiming if role.aims_at not in task.heads and not role.lacks_pairs(task)}
    first = {role.name: role for role in wanted if not role.aims_at} | {name: shelf[name] for name in sorted(sought)}
    found = _scored(task, [*first.values()])
    for name in sought:
        rows = rows_of(model, shelf[name], found)
        playing = rows["node"][rows["plays"].fillna(value=False)]
        task = replace(task, heads={**task.heads, name: tuple(playing)})
    found |= _scored(task, aiming)
    return pd.concat([rows_of(model, role, found) for role in wanted], ignore_index=True)


def roles_named(names: Iterable[str] | None) -> list[Role]:
    """The roles of these names, each once; all roles if `names` is None.

    Raises:
        UnknownNameError: no role has the name.
    """
    named = shelf.names() if names is None else [names] if isinstance(names, str) else names
    return [shelf[name] for name in dict.fromkeys(named)]


def measure(task: RoleTask, measured: Mapping[str, Measured]) -> dict[str, np.ndarray]:
    """Scores of every head for each of what is measured, shape [sample, head], heads layer by layer."""
    found: dict[str, np.ndarray] = {}
    for reads in dict.fromkeys(one.reads for one in measured.values()):
        found |= _sharing(reads, task, {name: one for name, one in measured.items() if one.reads is reads})
    return {name: found[name] for name in measured}


def _sharing(
    reads: Callable[[RoleTask], Any], task: RoleTask, measured: Mapping[str, Measured]
) -> dict[str, np.ndarray]:
    """Scores with the same `reads`, whose result is freed afterwards."""
    read = reads(task)
    return {name: one.score(read) for name, one in measured.items()}


def all_measured(roles: Iterable[Role]) -> dict[str, Measured]:
    """The scores and requirements of roles, by name."""
    return {name: one for role in roles for name, one in role.measured.items()}


def role_scores(model: HookedModel, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores of every head for each of `ROLES`, each shape [prompt, head], heads layer by layer.

    Raises:
        InputError: the vocabulary has too few ordinary tokens, or the context is too short.
    """
    return measure(RoleTask(model=model, seed=seed), {role: shelf[role] for role in ROLES})


def role_baselines(model: HookedModel, *, seed: int = 0) -> dict[str, float]:
    """Baselines of each of `ROLES` and of its requirements, from untrained models of the same configuration."""
    return _baselines(RoleTask(model=model, seed=seed), all_measured(roles_named(ROLES)))


def role_frame(model: HookedModel, baselines: Mapping[str, float], *, seed: int = 0) -> pd.DataFrame:
    """One row a head and each of `ROLES`: the columns of `role_table` that these roles fill."""
    roles = roles_named(ROLES)
    values = measure(RoleTask(model=model, seed=seed), all_measured(roles))
    found = {name: Scored(values=values[name], baseline=baselines[name]) for name in values}
    frame = pd.concat([rows_of(model, role, found) for role in roles], ignore_index=True)
    return frame.drop(columns=[Aspect.DIRECT_EFFECT.value, "note"])


def family_wise(heads: np.ndarray, n_heads: int) -> float:
    """What the highest of `n_heads` further scores exceeds with a probability of 5%, from those of other heads.

    The upper prediction bound of a normal distribution (Hahn, 1969, https://doi.org/10.2307/1267099), with the error
    divided among the heads, and at least the highest score seen. NaN if no score is defined.
    """
    from scipy.stats import t

    heads = heads[~np.isnan(heads)]
    if len(heads) < 2:
        return np.nan
    reach = t.ppf(1 - FAMILY_ERROR / max(n_heads, 1), len(heads) - 1)
    return float(max(heads.max(), heads.mean() + reach * heads.std(ddof=1) * np.sqrt(1 + 1 / len(heads))))


def _scored(task: RoleTask, roles: Sequence[Role]) -> dict[str, Scored]:
    """The scores and requirements of roles on the model, each with its baseline from untrained models."""
    measured = all_measured(roles)
    reasons = {name: one.why_not(task) for name, one in measured.items()}
    n_heads = task.model.graph.n_layers * task.model.graph.n_heads
    askable = {name: one for name, one in measured.items() if not reasons[name]}
    values, baselines = measure(task, askable), _baselines(task, askable)
    return {
        name: Scored.undefined(n_heads, reason)
        if (reason := reasons[name])
        else Scored(values=values[name], baseline=baselines[name])
        for name in measured
    }


def _baselines(task: RoleTask, measured: Mapping[str, Measured]) -> dict[str, float]:
    """Baselines from untrained models, drawn until each has 100 heads with a score; some roles leave heads without."""
    draws: list[dict[str, np.ndarray]] = []
    n_draws = 1 if measured else 0
    with tqdm(desc="untrained models", delay=2, leave=False) as bar:
        while len(draws) < n_draws:
            draws.append(measure(replace(task, model=untrained(task.model, task.seed + len(draws))), measured))
            fewest = min(filter(None, map(_n_defined, draws[0].values())), default=BASELINE_HEADS)
            n_draws = ceil(BASELINE_HEADS / fewest)
            bar.total = n_draws
            bar.update()
    return baselines_from(draws, measured)


def baselines_from(draws: Sequence[Mapping[str, np.ndarray]], measured: Mapping[str, Measured]) -> dict[str, float]:
    """The baseline of each of what is measured, from the result of `measure` for each untrained model."""
    found = {}
    for name, one in measured.items():
        means = [_sign(one) * draw[name].mean(0) for draw in draws]
        found[name] = family_wise(np.concatenate(means), _n_defined(draws[0][name])) if means else np.nan
    return found


def _n_defined(values: np.ndarray) -> int:
    """The number of heads with a score."""
    return int((~np.isnan(values.mean(0))).sum())


def _sign(of: Measured) -> int:
    return of.sign if isinstance(of, Requirement) else 1


def rows_of(model: HookedModel, role: Role, found: Mapping[str, Scored]) -> pd.DataFrame:
    """The rows of one role, from its score and its requirements."""
    heads = model.graph.nodes(["head"])
    own = found[role.name]
    mean, low, high = own.interval(role)
    met = [_above(low, role.threshold(own.baseline))]
    failures = [_failures("score", mean, role.threshold(own.baseline), 1, met[0])]
    evidence = dict.fromkeys(EVIDENCE, np.full(len(heads), np.nan))
    for one in role.requirements:
        part = found[f"{role.name}: {one.aspect}"]
        value, bottom, top = part.interval(one)
        least = one.threshold(part.baseline)
        met.append(_above(bottom if one.sign > 0 else -top, least))
        evidence[one.aspect.value] = value
        failures.append(
            np.full(len(heads), f"{one.says}: {part.reason}", dtype=object)
            if part.reason
            else _failures(one.says, value, least, one.sign, met[-1])
        )
    reason = own.reason or role.no_score
    undefined = np.isnan(mean)
    lacks = ["; ".join(filter(None, parts)) for parts in zip(*failures, strict=True)]
    return pd.DataFrame(
        {
            "node": [head.name for head in heads],
            "layer": [head.layer for head in heads],
            "index": [head.index for head in heads],
            "role": role.name,
            "score": mean,
            "ci_low": low,
            "ci_high": high,
            "baseline": own.baseline,
            "clears_baseline": _above(low, own.baseline),
            **evidence,
            "plays": _all_of(met),
            "lacks": np.where(undefined, "", np.array(lacks, dtype=object)),
            "note": np.where(undefined, f"undefined: {reason}" if reason else "", ""),
        }
    )


def _above(low: np.ndarray, least: float) -> pd.arrays.BooleanArray:
    """Whether the lower ends lie above what is asked for; NA if either is undefined."""
    above = pd.array(low > least, dtype="boolean")
    above[np.isnan(low) | np.isnan(least)] = pd.NA
    return above


def _all_of(met: Sequence[pd.arrays.BooleanArray]) -> pd.arrays.BooleanArray:
    """Whether all hold; False if one does not, whatever the others are, and NA if that cannot be told."""
    return reduce(and_, met)


def _failures(says: str, values: np.ndarray, least: float, sign: int, met: pd.arrays.BooleanArray) -> np.ndarray:
    """For each head what it does not meet, with the number, or an empty text; shape [head]."""
    side = "above" if sign > 0 else "below"
    texts = [
        f"{says} {value:.2g}, not certainly {side} {sign * least:.2g}" if not ok else ""
        for value, ok in zip(values, met.fillna(value=False), strict=True)
    ]
    return np.array(texts, dtype=object)
