"""Learning in context over training, and whether it comes with the heads that match prefixes.

* The **in-context score** is the loss late in the context less that early in it (Olsson et al., 2022,
  https://arxiv.org/abs/2209.11895): nats; below zero, a model that has read more predicts better. There it is the loss
  at the 500th of 512 predicted tokens less that at the 50th; `score_positions` takes the same fractions of a shorter
  context, and every table has a row's positions. It is taken on random segments said twice, where only the repetition
  helps, and on the family's held-out text, where late tokens may be easier or harder for other reasons as well.
* The **prefix-matching score** of a head is the role `induction`: attention to what followed the same token before.

1. `in_context_scores` reads one model, `in_context_over_training` a training run, with roles of the heads asked for.
2. `phase_changes` says for each quantity between which checkpoints it changes fastest, and whether the first quantity
   does so between the same two (`changepoints`).

Cost: a few forward passes a checkpoint. That two changes fall together does not say that one causes the other.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from interp_emerge.circuits.roles import ROLES, repeated_segments, role_scores
from interp_emerge.core.axes import Tokens
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.intervals import RESAMPLES
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.changepoints import coincide, fastest_change
from interp_emerge.emergence.measuring import PASSAGE_TOKENS
from interp_emerge.emergence.order import values_by_step
from interp_emerge.families.base import Family

EARLY, LATE, OF = 50, 500, 512
"""The positions of Olsson et al., and the context that they are positions in."""
REPEATED, HELD_OUT = "repeated segments", "held-out text"


def score_positions(n_predicted: int) -> tuple[int, int]:
    """Early and late position in a context of so many predicted tokens, the first predicted one being 1.

    Raises:
        InputError: the context is too short to tell them apart.
    """
    early, late = (max(1, round(at * n_predicted / OF)) for at in (EARLY, LATE))
    if early >= late:
        raise InputError(f"{n_predicted} predicted tokens have no early and late position; give 2 or more")
    return early, late


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
    n_predicted = tokens.shape[1] - 1
    usual = score_positions(n_predicted)
    early, late = usual[0] if early is None else early, usual[1] if late is None else late
    if not 1 <= early < late <= n_predicted:
        raise InputError(f"positions {early} and {late} are no early and late one of {n_predicted} predicted tokens")
    tokens = tokens.to(model.device)
    logits = model.hf(input_ids=tokens, use_cache=False).logits.float()
    late_loss, early_loss = (cross_entropy(logits[:, at - 1], tokens[:, at], reduction="none") for at in (late, early))
    return (late_loss - early_loss).cpu().double().numpy()


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


def phase_changes(frame: pd.DataFrame, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Where each quantity of a training run changes fastest, and whether the first one does so between the same steps.

    Args:
        frame: a table such as `in_context_over_training` returns; the first quantity is what others are held against.
        seed: of the resamples; prompts of one set are drawn together.
        resamples: number of bootstrap samples.

    Returns:
        One row a quantity and component: `quantity`, `component`, `before`, `after` (steps), `ci_low`, `ci_high` (steps
        that hold the interval in 95% of resamples), `share_of_change`, `share_of_axis` (a straight line over
        ln(1 + step) has equal shares), `together` (share of resamples in which the first quantity changes fastest in
        the same interval; empty for itself), `by_chance` (the same if its interval were any), `answer`.

    Raises:
        InputError: a column is missing, or quantities that were measured at different steps.
    """
    fields = ("before", "after", "ci_low", "ci_high", "share_of_change", "share_of_axis")
    found, rows, seeds = [], [], {}
    for quantity, component in frame[["quantity", "component"]].drop_duplicates().itertuples(index=False):
        table = values_by_step(frame, quantity, component)
        chosen = frame[(frame["quantity"] == quantity) & (frame["component"] == component)]
        named = chosen["prompt_set"].iloc[0] if "prompt_set" in frame else (quantity, component)
        own = seeds.setdefault(named, seed + len(seeds))
        steps = [int(step) for step in table.columns]
        change = fastest_change(steps, table.to_numpy(), seed=own, resamples=resamples)
        found.append((steps, change))
        if found[0][0] != found[-1][0]:
            raise InputError(f"{quantity} {component} was measured at other steps than the first quantity; "
                             "keep the steps that both have")  # fmt: skip
        row = {"quantity": quantity, "component": component, **{name: getattr(change, name) for name in fields}}
        if len(found) > 1:
            both = coincide(found[0][1], change, n_intervals=len(steps) - 1)
            row |= {"together": both.together, "by_chance": both.by_chance, "answer": both.answer}
        rows.append(row)
    columns = ["quantity", "component", *fields, "together", "by_chance", "answer"]
    return pd.DataFrame(rows).reindex(columns=columns)


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
