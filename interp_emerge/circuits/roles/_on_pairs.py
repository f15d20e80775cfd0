"""What heads do on the last position of prompt pairs: where they attend, and their direct effect on the metric.

A head that moves a name attends to it. So the positions that count are those at which the answer, or the foil, stands
in the clean prompt; no position has to be named. The direct effect is that of path patching from the head to the
logits: the rise of the metric if, in the corrupted run, only the logits read the head's output from the clean run (Wang
et al., 2022, https://arxiv.org/abs/2211.00593).

Cost: one forward pass on the clean prompts with attention; for direct effects two recorded runs, and an unembedding for
each head and pair.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import bytes_per_prompt, pattern_name, record
from interp_emerge.circuits.roles.base import Aspect, Requirement, RoleTask
from interp_emerge.core.axes import Tokens
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import NodeScores
from interp_emerge.patching.scoring import score as score_by


@dataclass(frozen=True, kw_only=True, eq=False)
class NameAttention:
    """Attention of every head from the last position of clean prompts, shape [pair, head], heads layer by layer."""

    to_answer: Float[np.ndarray, "pair head"]
    to_foil: Float[np.ndarray, "pair head"]


@torch.no_grad()
def name_attention(task: RoleTask) -> NameAttention:
    """Attention to every position at which the answer, or the foil, stands."""
    model, pairs = task.model, task.pairs
    assert pairs is not None
    parts = []
    for _, group in pairs.by_length():
        at_once = items_that_fit(bytes_per_prompt(model, group.length), len(group), device=model.device)
        chunks = [group[start : start + at_once] for start in range(0, len(group), at_once)]
        parts += [_from_the_last_position(model, chunk) for chunk in chunks]
    to_answer, to_foil = np.moveaxis(pairs.in_order(parts), 1, 0)
    return NameAttention(to_answer=to_answer, to_foil=to_foil)


def _from_the_last_position(model: HookedModel, pairs: PromptPairs) -> Float[np.ndarray, "pair side head"]:
    """Attention to the answers and to the foils."""
    activations = record(model, pairs.clean, patterns=True).activations
    rows = torch.cat([activations[pattern_name(layer)][:, :, -1] for layer in range(model.graph.n_layers)], 1)
    places = torch.stack([_places(pairs.clean, wanted) for wanted in (pairs.answers, pairs.foils)], 1)
    found = torch.einsum("phk,psk->psh", rows.cpu().double(), places.double())
    return found.numpy()


def _places(prompts: Tokens, wanted: Int[Tensor, "pair wanted"]) -> Bool[Tensor, "pair pos"]:
    """Where one of the wanted tokens stands."""
    return (prompts[:, :, None] == wanted[:, None, :]).any(2)


@torch.no_grad()
def direct_effects(task: RoleTask) -> Float[np.ndarray, "pair head"]:
    """The rise of the metric if only the logits read a head's clean output, unit of the metric."""
    assert task.pairs is not None
    heads = [head.name for head in task.model.graph.nodes(["head"])]
    found = score_by(task.model, task.pairs, method="path_patching", metric=task.metric, senders=heads)
    assert isinstance(found, NodeScores)
    return np.asarray(found.per_pair, dtype=np.float64)


def require_answers(task: RoleTask) -> None:
    """Raise an `InputError` if the answer of a pair does not stand in its clean prompt."""
    without = _n_without(task, "answers")
    if without:
        raise InputError(f"the answer does not stand in the prompt in {without} pairs, so no head can move it")


def require_foils(task: RoleTask) -> None:
    """Raise an `InputError` if the foil of a pair does not stand in its clean prompt."""
    without = _n_without(task, "foils")
    if without:
        raise InputError(f"the foil does not stand in the prompt in {without} pairs, so no head can attend to it")


def _n_without(task: RoleTask, side: Literal["answers", "foils"]) -> int:
    """The number of pairs whose clean prompt lacks what is correct after the clean, or the corrupted, prompt."""
    assert task.pairs is not None
    found = [_places(group.clean, getattr(group, side)).any(1) for _, group in task.pairs.by_length()]
    return int((~torch.cat(found)).sum())


ATTENDS_TO_ANSWER = Requirement(
    aspect=Aspect.ATTENTION,
    says="attention from the last position to the answer, less that to the foil",
    reads=name_attention,
    score=lambda attention: attention.to_answer - attention.to_foil,
    at_least=0.0,
    bounds=(-1.0, 1.0),
    needs="pairs",
    require=require_answers,
)
ATTENDS_TO_FOIL = Requirement(
    aspect=Aspect.ATTENTION,
    says="attention from the last position to the foil, less that to the answer",
    reads=name_attention,
    score=lambda attention: attention.to_foil - attention.to_answer,
    at_least=0.0,
    bounds=(-1.0, 1.0),
    needs="pairs",
    require=require_foils,
)


def moves_the_metric(sign: int) -> Requirement:
    """A requirement of a direct effect of this sign."""
    return Requirement(
        aspect=Aspect.DIRECT_EFFECT,
        says="direct effect on the metric",
        reads=direct_effects,
        score=lambda effects: effects,
        sign=1 if sign > 0 else -1,
        at_least=0.0,
        needs="pairs",
    )
