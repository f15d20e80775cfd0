"""Prompts that repeat a random segment of distinct tokens, so that only position and repetition can guide attention.

Source: Olsson et al., 2022, https://arxiv.org/abs/2209.11895. Cost: one forward pass on the prompts.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_emerge.caching.recording import Recording, record
from interp_emerge.circuits.roles.base import RoleTask
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

SEGMENT = 16
"""Number of tokens in the segment."""
PROMPTS = 32


def repeated_segments(model: HookedModel, n: int = PROMPTS, *, seed: int = 0) -> Tensor:
    """Prompts of a random segment and its repetition, behind the usual first tokens, shape [prompt, pos].

    Raises:
        InputError: the vocabulary has too few ordinary tokens.
    """
    ordinary = np.array(model.ordinary_ids)
    if len(ordinary) < SEGMENT:
        raise InputError(f"this role needs {SEGMENT} different ordinary tokens; {model.spec} has {len(ordinary)}")
    rng = np.random.default_rng(seed)
    segments = np.stack([rng.choice(ordinary, size=SEGMENT, replace=False) for _ in range(n)])
    first = np.full((n, len(model.bos)), model.bos or 0)
    tokens = torch.from_numpy(np.concatenate([first, segments, segments], axis=1))
    model.require_tokens(tokens)
    return tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class RepeatedRun:
    """A recorded run of a model on repeated segments."""

    model: HookedModel
    tokens: Int[Tensor, "prompt pos"]
    recording: Recording

    @property
    def start(self) -> int:
        """The position where the first pass begins."""
        return self.tokens.shape[1] - 2 * SEGMENT

    @property
    def everywhere(self) -> Int[Tensor, " query"]:
        """Every position after the first token of the segment."""
        return torch.arange(self.start + 1, self.tokens.shape[1])

    @property
    def second(self) -> Int[Tensor, " query"]:
        """Positions of the second pass without the last, which predicts nothing."""
        return torch.arange(self.start + SEGMENT, self.tokens.shape[1] - 1)

    @cached_property
    def patterns(self) -> Float[Tensor, "prompt head query key"]:
        """Attention of every head, heads layer by layer."""
        return self.recording.patterns(self.model.graph.n_layers).flatten(1, 2).float()

    def attention(self, queries: Int[Tensor, " query"], *, back: int) -> np.ndarray:
        """Attention to the position `back` steps before, mean over the queries, shape [prompt, head]."""
        return self.patterns[:, :, queries, queries - back].mean(2).cpu().double().numpy()


@torch.no_grad()
def repeated_run(task: RoleTask) -> RepeatedRun:
    """The model's run on repeated segments.

    Raises:
        InputError: the vocabulary has too few ordinary tokens, or the context is too short.
    """
    tokens = repeated_segments(task.model, seed=task.seed)
    return RepeatedRun(model=task.model, tokens=tokens, recording=record(task.model, tokens, patterns=True))


def require_segments(task: RoleTask) -> None:
    """Raise an `InputError` if no segments can be made for the model."""
    repeated_segments(task.model, 1)
