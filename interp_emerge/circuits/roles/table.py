"""What a head attends to and writes: scores of known roles, each against heads of untrained models.

`ALL_ROLES` says of each role what it is, where it comes from, its unit, and what it has to be asked with. A study
measures the four of `ROLES`; `role_table` measures any:

1. `_measure` scores every head, sample by sample: prompts, tokens, list items or prompt pairs, as the role has it. A
   role that cannot be asked of a model, its tokenizer or what was given is undefined, and says why.
2. `_answers` does the same on models of the same configuration with freshly drawn weights, as many as have 100 heads
   for which the role is defined. The baseline is the 99th percentile of these heads' scores.
3. `_rows` puts the mean over samples beside the baseline. A head clears it if its 95% interval lies above.

The higher a score, the more of the role; a positive `expected_sign` says that a head in the role carries the answer, a
negative one that it works against it. Cost: see the modules `_role_attention`, `_role_suppression`, `_role_writing` and
`_role_effects`, each once for the model and once for each untrained one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.circuits.roles._attention import PROMPTS, ROLES, SEGMENT, repeated_segments, role_scores
from interp_emerge.circuits.roles._effects import function_vector, s_inhibition
from interp_emerge.circuits.roles._suppression import copy_suppression
from interp_emerge.circuits.roles._writing import (
    built_in_orders,
    copy_scores,
    copying_eigenvalues,
    random_tokens,
    require_weights_of_tokens,
    successor,
)
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.families.hooking import untrained
from interp_emerge.stats.intervals import mean_intervals
from interp_emerge.tables.schema import INTERVAL_COLUMNS, MODEL_COLUMNS, Table

__all__ = [
    "ALL_ROLES",
    "PROMPTS",
    "ROLES",
    "SEGMENT",
    "Role",
    "repeated_segments",
    "role_baselines",
    "role_frame",
    "role_scores",
    "role_table",
]

BASELINE_HEADS = 100
BASELINE_QUANTILE = 0.99
Needs = Literal["nothing", "tokens", "orders", "pairs"]


@dataclass(frozen=True, kw_only=True)
class Role:
    """Something that heads are known to do."""

    name: str
    summary: str
    source: Source
    unit: str
    expected_sign: Literal[1, -1]
    """Sign of the effect that a head in this role has on a metric of the answer."""
    needs: Needs
    """What it is asked with: `tokens` and `orders` have a default."""


_FRAMEWORK = Source("Elhage et al.", 2021, "https://transformer-circuits.pub/2021/framework/index.html")
_OLSSON = Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895")
_WANG = Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593")
_MCDOUGALL = Source("McDougall et al.", 2023, "https://arxiv.org/abs/2310.04625")
_GOULD = Source("Gould et al.", 2023, "https://arxiv.org/abs/2312.09230")
_TODD = Source("Todd et al.", 2023, "https://arxiv.org/abs/2310.15213")


def _role(
    name: str, source: Source, unit: str, summary: str, *, sign: Literal[1, -1] = 1, needs: Needs = "nothing"
) -> Role:
    return Role(name=name, summary=summary, source=source, unit=unit, expected_sign=sign, needs=needs)


_ATTENTION, _SHARE, _NATS = "fraction of attention", "fraction of tokens", "nats"
ALL_ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        _role("previous_token", _OLSSON, _ATTENTION, "attends to the token before"),
        _role("duplicate_token", _WANG, _ATTENTION, "attends to the earlier occurrence of the same token"),
        _role("induction", _OLSSON, _ATTENTION, "attends to what followed the same token before"),
        _role("copying", _OLSSON, _NATS, "raises the logit of the token that induction predicts"),
        _role("copying_eigenvalues", _FRAMEWORK, "Σλ/Σ|λ|", "its weights make tokens raise themselves"),
        _role("name_mover", _WANG, _SHARE, "writes the token that it attends to", needs="tokens"),
        _role("negative_name_mover", _WANG, _SHARE, "writes against what it attends to", sign=-1, needs="tokens"),
        _role(
            "s_inhibition", _WANG, "unit of the metric", "moves the name movers' queries to the answer", needs="pairs"
        ),
        _role("copy_suppression", _MCDOUGALL, _NATS, "lowers the logits of the tokens that it attends to", sign=-1),
        _role("successor", _GOULD, "fraction of list items", "writes the next item of an ordered list", needs="orders"),
        _role("function_vector", _TODD, "probability", "its mean output makes other prompts' answers", needs="pairs"),
    )
}
_EMPTY_FOR_A_HEAD = {
    "copying_eigenvalues": "undefined: what the head reads and writes is zero",
    "s_inhibition": "undefined: the head runs before none of the name movers",
}
"""Why single heads have no score in a role that the others have one in."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """What roles are asked with."""

    tokens: Tensor
    orders: Sequence[Sequence[int]]
    pairs: PromptPairs | None
    name_movers: Sequence[str]
    metric: str | MetricFunction
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answer:
    """Scores of every head on every sample, shape [sample, head], with their baseline; or the reason for none."""

    values: np.ndarray
    baseline: float = np.nan
    reason: str = ""


@checked
def role_table(
    model: HookedModel,
    *,
    roles: Iterable[str] = tuple(ALL_ROLES),
    pairs: PromptPairs | None = None,
    tokens: Sequence[int] | Tensor | None = None,
    orders: Sequence[Sequence[int]] | None = None,
    name_movers: Sequence[str] | None = None,
    metric: str | MetricFunction = "logit_diff",
    seed: int = 0,
) -> pd.DataFrame:
    """One row a head and role, against untrained models.

    Columns `node`, `layer`, `index`, `role`, `score` (unit: `ALL_ROLES[role].unit`), `ci_low`, `ci_high`, `baseline`,
    `clears_baseline` (missing where undefined) and `note`, the reason why a score is undefined.

    Args:
        model: whose heads to score.
        roles: names of roles.
        pairs: prompt pairs, for `s_inhibition` and `function_vector`.
        tokens: what copy scores are taken on, such as names; by default random ordinary tokens.
        orders: token ids in order, for `successor`; by default days, months, numbers and letters.
        name_movers: heads whose queries `s_inhibition` aims at; by default those that clear that role's baseline.
        metric: of the effect in `s_inhibition`.
        seed: of prompts and tokens, and from it on of the untrained models.

    Raises:
        UnknownNameError: no role, head or metric has the name.
        InputError: tokens, lists or pairs that do not fit the model.
    """
    wanted = tuple(dict.fromkeys([roles] if isinstance(roles, str) else roles))
    for role in wanted:
        if role not in ALL_ROLES:
            raise UnknownNameError("role", role, ALL_ROLES)
    asked = _Asked(
        tokens=random_tokens(model, seed=seed) if tokens is None else torch.as_tensor(tokens),
        orders=built_in_orders(model) if orders is None else orders,
        pairs=pairs,
        name_movers=name_movers or (),
        metric=metric,
        seed=seed,
    )
    find_movers = "s_inhibition" in wanted and pairs is not None and name_movers is None
    first = {*wanted, *(["name_mover"] if find_movers else [])} - {"s_inhibition"}
    answers = _answers(model, [role for role in ALL_ROLES if role in first], asked)
    if find_movers:
        movers = _rows(model, "name_mover", answers["name_mover"])
        asked = replace(asked, name_movers=tuple(movers["node"][movers["clears_baseline"].fillna(False)]))
    answers |= _answers(model, [role for role in wanted if role == "s_inhibition"], asked)
    return pd.concat([_rows(model, role, answers[role]) for role in wanted], ignore_index=True)


def role_baselines(model: HookedModel, *, seed: int = 0) -> dict[str, float]:
    """99th percentile of each of `ROLES`'s scores over the heads of untrained models of the same configuration."""
    n_heads = model.graph.n_layers * model.graph.n_heads
    drawn = [role_scores(untrained(model, seed + i), seed=seed) for i in range(ceil(BASELINE_HEADS / n_heads))]
    return {
        role: float(np.quantile(np.concatenate([scores[role].mean(0) for scores in drawn]), BASELINE_QUANTILE))
        for role in ROLES
    }


ROLE_TABLE = Table(
    name="roles",
    row="one role score of one head",
    about=MODEL_COLUMNS,
    filled={
        "node": "name of the head",
        "layer": "layer of the head",
        "index": "head within the layer",
        "role": "previous_token, duplicate_token, induction (all: fraction of attention), or copying",
        "score": "mean attention on the positions of the role; copying: see the role's definition",
        **INTERVAL_COLUMNS,
        "baseline": "99th percentile of the score over the heads of random-init models of the same size",
        "clears_baseline": "whether the interval lies above the baseline",
        "in_circuit": "whether the head writes an edge of the circuit found in the same size's last step",
    },
)


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


def _answers(model: HookedModel, roles: Sequence[str], asked: _Asked) -> dict[str, _Answer]:
    """The roles' scores on the model, each with its baseline over untrained ones."""
    reasons = {role: _why_not(model, role, asked) for role in roles}
    n_heads = model.graph.n_layers * model.graph.n_heads
    none = np.full((1, n_heads), np.nan)
    answers = {role: _Answer(values=none, reason=reason) for role, reason in reasons.items() if reason}
    askable = [role for role in roles if not reasons[role]]
    measured = _measure(model, askable, asked)
    defined = [int((~np.isnan(values.mean(0))).sum()) for values in measured.values()]
    n_draws = ceil(BASELINE_HEADS / (min(defined, default=0) or n_heads)) if askable else 0
    null: dict[str, list[np.ndarray]] = {role: [] for role in askable}
    for draw in tqdm(range(n_draws), desc="untrained models", delay=2, leave=False):
        for role, values in _measure(untrained(model, asked.seed + draw), askable, asked).items():
            null[role].append(values.mean(0))
    for role in askable:
        heads = np.concatenate(null[role])
        baseline = float(np.nanquantile(heads, BASELINE_QUANTILE)) if not np.isnan(heads).all() else np.nan
        answers[role] = _Answer(values=measured[role], baseline=baseline)
    return answers


def _why_not(model: HookedModel, role: str, asked: _Asked) -> str:
    """Why a role cannot be asked of the model; empty if it can."""
    if ALL_ROLES[role].needs == "pairs" and asked.pairs is None:
        return "undefined: needs prompt pairs"
    if role == "s_inhibition":
        if not asked.name_movers:
            return "undefined: no head clears the baseline of name movers, whose queries it would aim at"
        if all(name.startswith("a0.") for name in asked.name_movers):
            return f"undefined: no head runs before the name movers {', '.join(asked.name_movers)}"
    if role == "successor" and not asked.orders:
        return "undefined: the tokenizer writes no ordered list as single tokens, and none was given"
    try:
        if role in (*ROLES, "copy_suppression"):
            repeated_segments(model, 1)
        if role == "copying_eigenvalues":
            require_weights_of_tokens(model)
    except InputError as error:
        return f"undefined: {error}"
    return ""


def _measure(model: HookedModel, roles: Sequence[str], asked: _Asked) -> dict[str, np.ndarray]:
    """Scores of every head in each role, shape [sample, head]; roles that share a measurement share the work."""
    found: dict[str, np.ndarray] = {}
    if {*ROLES} & {*roles}:
        found |= role_scores(model, seed=asked.seed)
    if {"name_mover", "negative_name_mover"} & {*roles}:
        found |= copy_scores(model, asked.tokens)
    if "copying_eigenvalues" in roles:
        found["copying_eigenvalues"] = copying_eigenvalues(model)
    if "copy_suppression" in roles:
        found["copy_suppression"] = copy_suppression(model, seed=asked.seed)
    if "successor" in roles:
        found["successor"] = successor(model, asked.orders)
    if asked.pairs is not None and "s_inhibition" in roles:
        found["s_inhibition"] = s_inhibition(model, asked.pairs, asked.name_movers, metric=asked.metric)
    if asked.pairs is not None and "function_vector" in roles:
        found["function_vector"] = function_vector(model, asked.pairs)
    return {role: found[role] for role in roles}


def _rows(model: HookedModel, role: str, answer: _Answer) -> pd.DataFrame:
    heads = model.graph.nodes(["head"])
    mean, low, high = mean_intervals(answer.values)
    if len(answer.values) == 1 and ALL_ROLES[role].needs == "pairs":
        # A single pair says nothing about the others; eigenvalues are no sample.
        low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    defined = ~np.isnan(low) & ~np.isnan(answer.baseline)
    clears = pd.array(low > answer.baseline, dtype="boolean")
    clears[~defined] = pd.NA
    reason = answer.reason or _EMPTY_FOR_A_HEAD.get(role, "")
    return pd.DataFrame(
        {
            "node": [head.name for head in heads],
            "layer": [head.layer for head in heads],
            "index": [head.index for head in heads],
            "role": role,
            "score": mean,
            "ci_low": low,
            "ci_high": high,
            "baseline": answer.baseline,
            "clears_baseline": clears,
            "note": np.where(np.isnan(mean), reason, ""),
        }
    )
