"""Prompts that repeat a random segment of distinct tokens, so that only position and repetition can guide attention.

Prompts whose second pass is shuffled show what position alone does. Source: Olsson et al., 2022,
https://arxiv.org/abs/2209.11895. Cost: one forward pass on the prompts, and one on the shuffled ones if those are read.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_emerge.caching.recording import Recording, record, streams
from interp_emerge.circuits.roles.base import MOSTLY, Aspect, Requirement, RoleTask
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


def shuffled_again(tokens: Int[Tensor, "prompt pos"], *, seed: int) -> Int[Tensor, "prompt pos"]:
    """The same prompts with the tokens of each second pass in random order."""
    rng, before = np.random.default_rng(seed), tokens.shape[1] - SEGMENT
    order = torch.from_numpy(np.stack([rng.permutation(SEGMENT) for _ in range(len(tokens))]))
    return torch.cat([tokens[:, :before], tokens[:, before:].gather(1, order)], 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class RepeatedRun:
    """A recorded run of a model on repeated segments."""

    model: HookedModel
    tokens: Int[Tensor, "prompt pos"]
    recording: Recording
    seed: int = 0

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

    @cached_property
    def shuffled_patterns(self) -> Float[Tensor, "prompt head query key"]:
        """Attention of every head if each second pass is shuffled."""
        recording = record(self.model, shuffled_again(self.tokens, seed=self.seed), patterns=True)
        return recording.patterns(self.model.graph.n_layers).flatten(1, 2).float()

    @cached_property
    def raised(self) -> np.ndarray:
        """First-order direct effect of every head on the logit of the token that induction predicts, less the mean
        logit: mean over the second pass, in nats, shape [prompt, head].
        """
        second, found = self.second, []
        final, aimed = streams(self.model, self.recording)[-1][:, second], self.tokens[:, second + 1]
        decoder = self.model.decoder
        with self.model.running(), torch.enable_grad():
            for stream, target in zip(final, aimed.to(self.model.device), strict=True):  # vocabularies are large
                normed = decoder.final_norm(stream).detach().requires_grad_()
                logits = decoder.unembed(normed, None)
                rise = logits.gather(1, target[:, None])[:, 0] - logits.mean(1)
                found.append(torch.autograd.grad(rise.sum(), normed)[0])
        direction = decoder.final_norm.pull_back(torch.stack(found), final).float()
        raised = []
        for layer, block in enumerate(decoder.blocks):  # all heads at once would need a gigabyte
            heads = block.head_writes(self.recording["z", layer][:, second].to(self.model.device))
            raised.append(torch.einsum("pqhd,pqd->phq", heads.float(), direction).mean(2))
        return torch.cat(raised, 1).cpu().double().numpy()

    def attention(self, queries: Int[Tensor, " query"], *, back: int) -> np.ndarray:
        """Attention to the position `back` steps before, mean over the queries, shape [prompt, head]."""
        return self.patterns[:, :, queries, queries - back].mean(2).cpu().double().numpy()

    def attention_by_token(self, *, back: int) -> np.ndarray:
        """Attention from the second pass to the position `back` steps before, less that if the pass is shuffled."""
        shuffled = self.shuffled_patterns[:, :, self.second, self.second - back].mean(2)
        return self.attention(self.second, back=back) - shuffled.cpu().double().numpy()


@torch.no_grad()
def repeated_run(task: RoleTask) -> RepeatedRun:
    """The model's run on repeated segments.

    Raises:
        InputError: the vocabulary has too few ordinary tokens, or the context is too short.
    """
    tokens = repeated_segments(task.model, seed=task.seed)
    recording = record(task.model, tokens, patterns=True)
    return RepeatedRun(model=task.model, tokens=tokens, recording=recording, seed=task.seed)


def require_segments(task: RoleTask) -> None:
    """Raise an `InputError` if no segments can be made for the model."""
    repeated_segments(task.model, 1)


def follows_the_token(*, back: int) -> Requirement:
    """A requirement that rules out heads that attend a fixed number of positions back, whatever the tokens are."""
    return Requirement(
        aspect=Aspect.ATTENTION,
        says="attention there beyond that if the second pass is shuffled",
        reads=repeated_run,
        score=lambda run: run.attention_by_token(back=back),
        at_least=MOSTLY / 2,
        bounds=(-1.0, 1.0),
        require=require_segments,
    )
