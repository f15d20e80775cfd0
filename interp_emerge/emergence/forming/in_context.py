"""Learning in context over training, and whether it comes with the heads that match prefixes.

* The **in-context score** is the loss late in the context less that early in it (Olsson et al., 2022,
  https://arxiv.org/abs/2209.11895): nats; below zero, a model that has read more predicts better. There it is the loss
  at the 500th of 512 predicted tokens less that at the 50th; `score_positions` takes the same fractions of a shorter
  context, and every table has a row's positions. It is taken on random segments said twice, where only the repetition
  helps, and on the family's held-out text, where late tokens may be easier or harder for other reasons as well.
* The **prefix-matching score** of a head is the role `induction`: attention to what followed the same token before.

1. `in_context_scores` reads one model, `in_context_over_training` a training run, with roles of the heads asked for.
2. `phase_changes` says for each quantity between which checkpoints it changes fastest, on all of its own, and whether
   the first quantity does so between the same two (`changepoints`), of the checkpoints that both have.

Cost: a few forward passes a checkpoint. That two changes fall together does not say that one causes the other.
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
"""The positions of Olsson et al., and the context that they are positions in."""
REPEATED, HELD_OUT = "repeated segments", "held-out text"
_FIELDS = ("before", "after", "ci_low", "ci_high", "share_of_change", "share_of_axis")


def score_positions(n_predicted: int) -> tuple[int, int]:
    """Early and late position in a context of so many predicted tokens, the first predicted one being 1.

    Raises:
        InputError: the context is too short to tell them apart.
    """
    early, late = (max(1, round(at * n_predicted / OF)) for at in (EARLY, LATE))
    if early >= late:
        raise InputError(f"{n_predicted} predicted tokens have no early and late position; give 2 or more")
    return early, late


@checked
@torch.no_grad()
def in_context_scores(
    model: HookedModel, tokens: Tokens, *, early: int | None = None, late: int | None = None
) -> np.ndarray:
    """Loss at the late less that at the early position of each prompt, shape [prompt], nats.

    Args:
        model: whose losses to take.
        tokens: prompts, the first token of which is not predicted.
        early: position of the early loss, from 1; by default as `score_positions` says.
        late: position of the late loss.

    Raises:
        InputError: positions that are not in the context, or not in order.
    """
    model.require_tokens(tokens)
    model.require_unpadded(tokens)
    n_predicted = tokens.shape[1] - 1
    usual = score_positions(n_predicted)
    early, late = usual[0] if early is None else early, usual[1] if late is None else late
    if not 1 <= early < late <= n_predicted:
        raise InputError(f"positions {early} and {late} are no early and late one of {n_predicted} predicted tokens")
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
    """In-context scores, and roles of heads on the same repeated segments, at the checkpoints of one training run.

    Args:
        family: whose checkpoints to read.
        size: name of the size.
        heads: roles and heads, such as `("induction", "a2.h0")`.
        training_seed: seed of the training run.
        steps: checkpoints; by default all.
        draws: how many times 32 repeated segments to read.
        seed: of the repeated segments, and the next ones of further draws.

    Returns:
        One row a quantity, step and prompt: `quantity` (`in_context_score` in nats, or a role), `component` (the text,
        or the head), `step`, `prompt`, `prompt_set` (what the prompts are), `value`, `early`, `late` (positions; empty
        for roles). Held-out passages of fewer than 48
        predicted tokens, or that the tokenizer cannot write, have no rows; longer ones are cut.

    Raises:
        UnknownNameError: no such size, seed, step or role.
        InputError: no such head, no draw, or a vocabulary too small for repeated segments.
    """
    for role, _ in heads:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    if draws < 1:
        raise InputError(f"{draws} draws of repeated segments leave nothing to read; ask for at least 1")
    drawn, there = range(seed, seed + draws), family.steps(size, training_seed)
    parts = []
    for step in tqdm(there if steps is None else list(steps), desc="checkpoints", delay=2, leave=False):
        model = family.load(size, step, training_seed)
        repeated = torch.cat([repeated_segments(model, seed=at) for at in drawn])
        texts = {REPEATED: repeated, HELD_OUT: _passages(model, family.held_out_text())}
        for text, tokens in texts.items():
            if tokens is not None:
                early, late = score_positions(tokens.shape[1] - 1)
                values = in_context_scores(model, tokens)
                parts.append(_rows("in_context_score", text, step, text, values).assign(early=early, late=late))
        if heads:
            names = [node.name for node in model.graph.nodes(["head"])]
            scores = [role_scores(model, seed=at) for at in drawn]
            for role, head in heads:
                if head not in names:
                    raise InputError(f"{model.spec} has no head {head!r}; its heads are {names[0]} to {names[-1]}")
                values = np.concatenate([of[role][:, names.index(head)] for of in scores])
                parts.append(_rows(role, head, step, REPEATED, values))
    return pd.concat(parts, ignore_index=True)


@checked
def phase_changes(frame: pd.DataFrame, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Where each quantity of a training run changes fastest, and whether the first one does so between the same steps.

    Args:
        frame: a table such as `in_context_over_training` returns; the first quantity is what others are held against.
        seed: of the resamples; prompts of one set are drawn together.
        resamples: number of bootstrap samples.

    Returns:
        One row a quantity and component: `quantity`, `component`, `n_steps` (checkpoints that it has), `before`,
        `after` (steps), `ci_low`, `ci_high` (steps that hold the interval in 95% of resamples), `share_of_change`,
        `share_of_axis` (a straight line over ln(1 + step) has equal shares), `n_common` (checkpoints that the first
        quantity has as well), `together` (share of resamples in which the first quantity changes fastest in the same
        interval of these; empty for itself), `by_chance` (the same if its interval were any), `answer`. With fewer than
        3 checkpoints, or 2 prompts, what they are needed for is empty.

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
    """Whether two curves, with the seeds of their prompts, change fastest between the same two checkpoints of both."""
    common = a[0].columns.intersection(b[0].columns)
    changes = [_fastest(table[common], seed, resamples) for table, seed in (a, b)]
    if changes[0] is None or changes[1] is None:
        few = _few(min(len(a[0]), len(b[0])), len(common), " that the first quantity has too")
        return {"n_common": len(common), "answer": few}
    both = same_interval(changes[0], changes[1], n_intervals=len(common) - 1)
    return {"n_common": len(common), "together": both.together, "by_chance": both.by_chance, "answer": str(both)}


def _fastest(table: pd.DataFrame, seed: int, resamples: int) -> FastestChange | None:
    """The fastest change of a curve, one row a prompt and one column a step; None where it cannot be told."""
    if len(table) < 2 or table.shape[1] < 3:
        return None
    return fastest_change([int(step) for step in table.columns], table.to_numpy(), seed=seed, resamples=resamples)


def _few(prompts: int, steps: int, which: str) -> str:
    return f"{CoincidenceVerdict.CANNOT_BE_TOLD}: {prompts} prompts, {steps} checkpoints{which}; 2 and 3 are needed"


def _passages(model: HookedModel, text: Sequence[str]) -> Tensor | None:
    """Passages of one length, shape [prompt, pos]; None where they cannot be written or none is long enough."""
    try:
        rows = [(model.bos + model.encode(passage))[: PASSAGE_TOKENS + 1] for passage in text]
    except InputError:
        return None
    whole = [row for row in rows if len(row) == PASSAGE_TOKENS + 1]
    return torch.tensor(whole) if whole else None


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
