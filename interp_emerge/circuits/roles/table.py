"""Scores of known roles for every head of a model, each compared with the heads of untrained models.

Each file of this folder that has the name of a role defines it: its source, its unit, how it scores heads, and what
inputs it needs. A study measures the four of `ROLES`; `role_table` measures any:

1. `measure` scores every head on each sample: prompts, tokens, list items or prompt pairs, depending on the role. A
   role that is undefined for the model, its tokenizer or the inputs gives the reason.
2. `_scored_roles` does the same for untrained models of the same configuration, until 100 heads for which the role is
   defined have been scored. The baseline is the 99th percentile of these heads' scores.
3. `_rows` compares the mean over samples with the baseline. A head clears the baseline if its 95% interval lies above.

Cost: that of each role, once for the model and once for each untrained model. Roles that read the same share its work.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Role, RoleTask
from interp_emerge.circuits.tables import ROLES
from interp_emerge.core.arguments import checked
from interp_emerge.core.model import HookedModel
from interp_emerge.families.hooking import untrained
from interp_emerge.stats.intervals import mean_intervals

BASELINE_HEADS = 100
BASELINE_QUANTILE = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class _ScoredRole:
    """Scores of every head on every sample, shape [sample, head], with their baseline; or the reason why undefined."""

    values: np.ndarray
    baseline: float = np.nan
    reason: str = ""


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
    `clears_baseline` (NA if undefined) and `note`, the reason why a score is undefined.

    Args:
        model: the model whose heads are scored.
        roles: names of roles; by default all.
        pairs: prompt pairs, for `s_inhibition` and `function_vector`.
        tokens: tokens for copy scores, such as names; by default random ordinary tokens.
        orders: token ids in order, for `successor`; by default days, months, numbers and letters.
        name_movers: heads whose queries `s_inhibition` is about; by default heads that clear the name movers' baseline.
        metric: metric of the effect in `s_inhibition`.
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
    scored = _scored_roles(task, [*first.values()])
    for name in sought:
        rows = _rows(model, shelf[name], scored[name])
        clearing = rows["node"][rows["clears_baseline"].fillna(False)]
        task = replace(task, heads={**task.heads, name: tuple(clearing)})
    scored |= _scored_roles(task, aiming)
    return pd.concat([_rows(model, role, scored[role.name]) for role in wanted], ignore_index=True)


def roles_named(names: Iterable[str] | None) -> list[Role]:
    """The roles of these names, each once; all roles if `names` is None.

    Raises:
        UnknownNameError: no role has the name.
    """
    named = shelf.names() if names is None else [names] if isinstance(names, str) else names
    return [shelf[name] for name in dict.fromkeys(named)]


def measure(task: RoleTask, roles: Sequence[Role]) -> dict[str, np.ndarray]:
    """Scores of every head in each role, shape [sample, head], heads layer by layer."""
    found: dict[str, np.ndarray] = {}
    for reads in dict.fromkeys(role.reads for role in roles):
        found |= _sharing(reads, task, [role for role in roles if role.reads is reads])
    return {role.name: found[role.name] for role in roles}


def _sharing(reads: Callable[[RoleTask], Any], task: RoleTask, roles: Sequence[Role]) -> dict[str, np.ndarray]:
    """Scores in roles with the same `reads`, whose result is freed afterwards."""
    read = reads(task)
    return {role.name: role.score(read) for role in roles}


def role_scores(model: HookedModel, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores of every head for each of `ROLES`, each shape [prompt, head], heads layer by layer.

    Raises:
        InputError: the vocabulary has too few ordinary tokens, or the context is too short.
    """
    return measure(RoleTask(model=model, seed=seed), roles_named(ROLES))


def role_baselines(model: HookedModel, *, seed: int = 0) -> dict[str, float]:
    """99th percentile of each of `ROLES`'s scores over the heads of untrained models of the same configuration."""
    n_heads = model.graph.n_layers * model.graph.n_heads
    drawn = [role_scores(untrained(model, seed + i), seed=seed) for i in range(ceil(BASELINE_HEADS / n_heads))]
    return {
        role: float(np.quantile(np.concatenate([scores[role].mean(0) for scores in drawn]), BASELINE_QUANTILE))
        for role in ROLES
    }


def role_frame(model: HookedModel, scores: dict[str, np.ndarray], baselines: dict[str, float]) -> pd.DataFrame:
    """One row a head and role: `node`, `layer`, `index`, `role`, `score`, interval, `baseline`, `clears_baseline`."""
    heads = model.graph.nodes(["head"])
    parts = []
    for role in ROLES:
        mean, low, high = mean_intervals(scores[role])
        parts.append(
            pd.DataFrame(
                {
                    "node": [head.name for head in heads],
                    "layer": [head.layer for head in heads],
                    "index": [head.index for head in heads],
                    "role": role,
                    "score": mean,
                    "ci_low": low,
                    "ci_high": high,
                    "baseline": baselines[role],
                    "clears_baseline": low > baselines[role],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _scored_roles(task: RoleTask, roles: Sequence[Role]) -> dict[str, _ScoredRole]:
    """The roles' scores on the model, each with its baseline from untrained models."""
    reasons = {role.name: role.why_not(task) for role in roles}
    n_heads = task.model.graph.n_layers * task.model.graph.n_heads
    none = np.full((1, n_heads), np.nan)
    scored = {
        name: _ScoredRole(values=none, reason=f"undefined: {reason}") for name, reason in reasons.items() if reason
    }
    askable = [role for role in roles if not reasons[role.name]]
    measured = measure(task, askable)
    defined = [int((~np.isnan(values.mean(0))).sum()) for values in measured.values()]
    n_draws = ceil(BASELINE_HEADS / (min(defined, default=0) or n_heads)) if askable else 0
    null: dict[str, list[np.ndarray]] = {role.name: [] for role in askable}
    for draw in tqdm(range(n_draws), desc="untrained models", delay=2, leave=False):
        for name, values in measure(replace(task, model=untrained(task.model, task.seed + draw)), askable).items():
            null[name].append(values.mean(0))
    for name, values in measured.items():
        heads = np.concatenate(null[name])
        baseline = float(np.nanquantile(heads, BASELINE_QUANTILE)) if not np.isnan(heads).all() else np.nan
        scored[name] = _ScoredRole(values=values, baseline=baseline)
    return scored


def _rows(model: HookedModel, role: Role, scored: _ScoredRole) -> pd.DataFrame:
    heads = model.graph.nodes(["head"])
    mean, low, high = mean_intervals(scored.values)
    if len(scored.values) == 1 and role.needs == "pairs":
        # One pair has no interval. Eigenvalues are a single sample too, but exact, so their score is its own interval.
        low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    defined = ~np.isnan(low) & ~np.isnan(scored.baseline)
    clears = pd.array(low > scored.baseline, dtype="boolean")
    clears[~defined] = pd.NA
    reason = scored.reason or (f"undefined: {role.no_score}" if role.no_score else "")
    return pd.DataFrame(
        {
            "node": [head.name for head in heads],
            "layer": [head.layer for head in heads],
            "index": [head.index for head in heads],
            "role": role.name,
            "score": mean,
            "ci_low": low,
            "ci_high": high,
            "baseline": scored.baseline,
            "clears_baseline": clears,
            "note": np.where(np.isnan(mean), reason, ""),
        }
    )
