"""Learning in context over training, and whether it appears at the same time as heads that match prefixes.

* The **in-context score** is the loss late in the context minus the loss early in it, nats (Olsson et al., 2022,
  https://arxiv.org/abs/2209.11895). If it is negative, the model predicts better after reading more. The source uses
  the losses at the 500th and the 50th of 512 predicted tokens. `score_positions` returns the same fractions of a
  shorter context, and each row of a table has its positions. The score is measured on two kinds of text: on repeated
  random segments, where only the repetition helps, and on the family's held-out text, where late tokens may also be
  easier or harder for other reasons.
* The **prefix-matching score** of a head is the role `induction`: attention to the token that followed an earlier
  occurrence of the same token.

1. `in_context_scores` measures one model. `in_context_over_training` measures a training run, and also the roles of
   chosen heads.
2. `phase_changes` finds the two neighbouring checkpoints between which each quantity changes fastest (`changepoints`).
   It also compares each quantity with the first one, on the checkpoints that both have: do they change fastest in the
   same interval?

Cost: a few forward passes for each checkpoint. Two changes in the same interval do not show that one causes the other.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from interp_emerge.abilities.measuring import PASSAGE_TOKENS
from interp_emerge.circuits.roles.repeated import repeated_segments
from interp_emerge.circuits.roles.table import ROLES, role_scores
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import Tokens
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.forming.changepoints import (
    CoincidenceVerdict,
    FastestChange,
    fastest_change,
    same_interval,
)
from interp_emerge.emergence.forming.prompt_rows import require_rows_of_prompts, values_by_step
from interp_emerge.families.base import Family
from interp_emerge.stats.resampling import RESAMPLES

EARLY, LATE, OF = 50, 500, 512
"""The early position, the late position and the length of the context in Olsson et al., in predicted tokens."""
REPEATED, HELD_OUT = "repeated segments", "held-out text"
_FIELDS = ("before", "after", "ci_low", "ci_high", "share_of_change", "share_of_axis")


def score_positions(n_predicted: int) -> tuple[int, int]:
    """The early and the late position in a context with `n_predicted` predicted tokens, counted from 1.

    Raises:
        InputError: the context is too short for two positions.
    """
    early, late = (max(1, round(at * n_predicted / OF)) for at in (EARLY, LATE))
    if early >= late:
        raise InputError(f"a context of {n_predicted} predicted tokens has no early and late position; give at least 2")
    return early, late


@checked
@torch.no_grad()
def in_context_scores(
    model: HookedModel, tokens: Tokens, *, early: int | None = None, late: int | None = None
) -> np.ndarray:
    """The loss at the late position minus that at the early position of each prompt, nats, shape [prompt].

    Example:
        >>> found = ie.emergence.forming.in_context_scores(model, pairs.clean, early=3, late=15)
        >>> found.mean()  # below 0: later tokens are easier

    Args:
        model: the model.
        tokens: prompts. Their first token is not predicted.
        early: position of the early loss, counted from 1; by default that of `score_positions`.
        late: position of the late loss, counted from 1; by default that of `score_positions`.

    Raises:
        InputError: a position is outside the context, or the early one is not before the late one.
    """
    model.require_tokens(tokens)
    model.require_unpadded(tokens)
    n_predicted = tokens.shape[1] - 1
    usual = score_positions(n_predicted)
    early, late = usual[0] if early is None else early, usual[1] if late is None else late
    if not 1 <= early < late <= n_predicted:
        raise InputError(
            f"positions {early} and {late} do not fit {n_predicted} predicted tokens; give "
            f"1 ≤ early < late ≤ {n_predicted}"
        )
    tokens = tokens.to(model.device)
    parts = []
    for rows, logits in model.logits_in_chunks(tokens, last=None):
        late_loss, early_loss = (
            cross_entropy(logits[:, at - 1].float(), tokens[rows, at], reduction="none") for at in (late, early)
        )
        parts.append((late_loss - early_loss).cpu().double())
    return torch.cat(parts).numpy()


@checked
def in_context_over_training(
    family: Family,
    size: str,
    *,
    heads: Sequence[tuple[str, str]] = (),
    training_seed: int = 0,
    steps: Sequence[int] | None = None,
    draws: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """In-context scores at the checkpoints of one training run, and roles of heads on the same repeated segments.

    Example:
        >>> ie.emergence.forming.in_context_over_training(family, "3k", steps=[0, 5000], draws=1)

    Args:
        family: family of the checkpoints.
        size: name of the size.
        heads: roles with heads, such as `("induction", "a2.h0")`.
        training_seed: seed of the training run.
        steps: training steps of the checkpoints; by default all.
        draws: number of draws of 32 repeated segments.
        seed: seed of the first draw; each later draw uses the next seed.

    Returns:
        One row for each quantity, step and prompt. Columns `quantity` (`in_context_score` in nats, or a role),
        `component` (the kind of text, or the head), `step`, `prompt`, `prompt_set` (the kind of text), `value`,
        `early`, `late` (positions; NaN for roles). Held-out passages are cut to 48 predicted tokens, and shorter ones
        are left out. If the tokenizer cannot encode one of the passages, there are no rows of held-out text.

    Raises:
        UnknownNameError: there is no such size, seed, step or role.
        InputError: there is no such head, no draw is asked for, or the vocabulary is too small for repeated segments.
    """
    for role, _ in heads:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    if draws < 1:
        raise InputError(f"draws is {draws}; ask for at least 1 draw of repeated segments")
    seeds, available = range(seed, seed + draws), family.steps(size, training_seed)
    parts = []
    for step in tqdm(available if steps is None else list(steps), desc="checkpoints", delay=2, leave=False):
        model = family.load(size, step, training_seed)
        repeated = torch.cat([repeated_segments(model, seed=at) for at in seeds])
        texts = {REPEATED: repeated, HELD_OUT: _passages(model, family.held_out_text())}
        for text, tokens in texts.items():
            if tokens is not None:
                early, late = score_positions(tokens.shape[1] - 1)
                values = in_context_scores(model, tokens)
                parts.append(_rows("in_context_score", text, step, text, values).assign(early=early, late=late))
        if heads:
            names = [node.name for node in model.graph.nodes(["head"])]
            scores = [role_scores(model, seed=at) for at in seeds]
            for role, head in heads:
                if head not in names:
                    raise InputError(f"{model.spec} has no head {head!r}; its heads are {names[0]} to {names[-1]}")
                values = np.concatenate([of[role][:, names.index(head)] for of in scores])
                parts.append(_rows(role, head, step, REPEATED, values))
    return pd.concat(parts, ignore_index=True)


@checked
def phase_changes(frame: pd.DataFrame, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Where each quantity of a training run changes fastest, and whether the first quantity does so there too.

    Example:
        >>> ie.emergence.forming.phase_changes(training, resamples=100)[["quantity", "before", "after", "answer"]]

    Args:
        frame: a table such as `in_context_over_training` returns. Each quantity is compared with the one in its first
            row.
        seed: seed of the resamples. Quantities with the same `prompt_set` get the same draws of prompts.
        resamples: number of bootstrap samples.

    Returns:
        One row for each quantity and component. Columns `quantity`, `component`, `n_steps` (number of checkpoints), the
        fields `before`, `after`, `ci_low`, `ci_high`, `share_of_change` and `share_of_axis` of `FastestChange`,
        `n_common` (number of checkpoints that it has in common with the first quantity), `together` and `by_chance` as
        in `Coincidence` on these checkpoints, and `answer` (the coincidence as a sentence). The first quantity is not
        compared with itself: its last four columns are empty. Values that need 3 checkpoints and 2 prompts are empty
        where there are fewer, and `answer` says so.

    Raises:
        InputError: a column is missing, there is no row, or a quantity lacks some prompts at a step.
    """
    require_rows_of_prompts(frame)
    curves: dict[tuple[str, str], tuple[pd.DataFrame, int]] = {}
    seeds: dict[object, int] = {}
    for (quantity, component), rows in frame.groupby(["quantity", "component"], sort=False):
        key = str(quantity), str(component)
        named = rows["prompt_set"].iloc[0] if "prompt_set" in rows else key
        curves[key] = values_by_step(rows, *key), seeds.setdefault(named, seed + len(seeds))
    found, first = [], next(iter(curves))
    for key, (table, own) in curves.items():
        change = _fastest(table, own, resamples)
        row = {"quantity": key[0], "component": key[1], "n_steps": table.shape[1]}
        row |= {name: np.nan if change is None else getattr(change, name) for name in _FIELDS}
        if key != first:
            row |= _together(curves[first], curves[key], resamples)
        elif change is None:
            row["answer"] = _few(len(table), table.shape[1], "")
        found.append(row)
    columns = ["quantity", "component", "n_steps", *_FIELDS, "n_common", "together", "by_chance", "answer"]
    return pd.DataFrame(found, columns=pd.Index(columns))


def _together(a: tuple[pd.DataFrame, int], b: tuple[pd.DataFrame, int], resamples: int) -> dict[str, float | int | str]:
    """Whether two curves change fastest in the same interval of their common steps. A curve is a table and a seed."""
    common = a[0].columns.intersection(b[0].columns)
    changes = [_fastest(table[common], seed, resamples) for table, seed in (a, b)]
    if changes[0] is None or changes[1] is None:
        few = _few(min(len(a[0]), len(b[0])), len(common), " in common with the first quantity")
        return {"n_common": len(common), "answer": few}
    both = same_interval(changes[0], changes[1], n_intervals=len(common) - 1)
    return {"n_common": len(common), "together": both.together, "by_chance": both.by_chance, "answer": str(both)}


def _fastest(table: pd.DataFrame, seed: int, resamples: int) -> FastestChange | None:
    """The fastest change in a table with a row for each prompt and a column for each step; None if it is too small."""
    if len(table) < 2 or table.shape[1] < 3:
        return None
    return fastest_change([int(step) for step in table.columns], table.to_numpy(), seed=seed, resamples=resamples)


def _few(prompts: int, steps: int, which: str) -> str:
    """The answer where there are too few prompts or checkpoints."""
    return f"{CoincidenceVerdict.CANNOT_BE_TOLD}: {prompts} prompts, {steps} checkpoints{which}; 2 and 3 are needed"


def _passages(model: HookedModel, text: Sequence[str]) -> Tensor | None:
    """Passages cut to equal length, shape [prompt, pos]; None if one cannot be encoded, or if all are too short."""
    try:
        rows = [(model.bos + model.encode(passage))[: PASSAGE_TOKENS + 1] for passage in text]
    except InputError:
        return None
    full = [row for row in rows if len(row) == PASSAGE_TOKENS + 1]
    return torch.tensor(full) if full else None


def _rows(quantity: str, component: str, step: int, prompt_set: str, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "quantity": quantity,
            "component": component,
            "step": step,
            "prompt": np.arange(len(values)),
            "prompt_set": prompt_set,
            "value": values,
            "early": np.nan,
            "late": np.nan,
        }
    )
