"""What a model hands its blocks at a length: which keys a query does not see, and how far positions are turned.

Configurations name windows that no code uses, and rotations that change with the length of the prompt. So both are
taken from the model itself: it runs once on a prompt of each length, and what its blocks are called with is kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.decoder import only_running
from interp_emerge.core.model import run_whole
from interp_emerge.families._split.shape import vocabulary_size

MASK = "attention_mask"
ROTATION = "position_embeddings"
UNSEEN = -1e4
"""What is added to the score of a key that is not seen is the least number of the model's dtype, -65504 in float16."""
LENGTHS = 32
"""Lengths that are kept at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Handed:
    """What one block was called with."""

    unseen: Tensor | None
    """Which keys each query does not see, bool, shape [query, key]; None where the model gives no mask."""
    rotation: tuple[Tensor, Tensor] | None
    """Cosines and sines, shape [pos, feature] each; None where the block is not given them."""


class HandedParts:
    """What the blocks of a model are handed, length by length."""

    def __init__(self, hf: Any, blocks: Sequence[nn.Module]) -> None:
        self._hf, self._blocks = hf, blocks
        self.lengths: set[int] = set()
        self._at = lru_cache(maxsize=LENGTHS)(self._run)

    def at(self, length: int) -> tuple[Handed, ...]:
        """What each block is handed on prompts of this length."""
        return self._at(length)

    def unseen(self, layer: int, length: int) -> Tensor | None:
        """Which keys each query of a layer does not see, bool, shape [query, key]; None for the later ones."""
        return self.at(length)[layer].unseen

    def rotation(self, layer: int, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a layer, shape [pos, feature] each."""
        found = self.at(length)[layer].rotation
        assert found is not None, "a layer that is given no rotation was read as one that is"
        return found

    @torch.no_grad()
    def _run(self, length: int) -> tuple[Handed, ...]:
        tokens = random_prompts(self._hf, 1, length)
        with only_running(self._hf), watching(self._blocks) as calls:
            run_whole(self._hf, tokens, keep=1)
        self.lengths.add(length)
        masks: dict[int, Tensor | None] = {}
        return tuple(handed(call, length, masks) for call in calls)


def random_prompts(hf: Any, rows: int, length: int) -> Tensor:
    """Random token ids, padding not among them, the same ones each time, shape [row, pos]."""
    generator, n = torch.Generator().manual_seed(length), vocabulary_size(hf)
    tokens = torch.randint(n, (rows, length), generator=generator)
    pad = getattr(hf.config, "pad_token_id", None)
    return tokens.where(tokens != (-1 if pad is None else pad), (tokens + 1) % n).to(next(hf.parameters()).device)


@contextmanager
def watching(blocks: Sequence[nn.Module]) -> Iterator[list[dict[str, Any]]]:
    """While open, what each block is called with is kept, by the names of its arguments; the last call counts."""
    calls: list[dict[str, Any]] = [{} for _ in blocks]
    with ExitStack() as hooks:
        for index, block in enumerate(blocks):
            names = [*signature(block.forward).parameters]

            def keep(_block: nn.Module, args: tuple, kwargs: dict, index: int = index, names: list = names) -> None:
                calls[index] = dict(zip(names, args, strict=False)) | kwargs

            hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
        yield calls


def handed(call: dict[str, Any], length: int, masks: dict[int, Tensor | None]) -> Handed:
    """What a block was called with; `masks` holds what was made of masks that several blocks share."""
    mask, rotation = call.get(MASK), call.get(ROTATION)
    if id(mask) not in masks:
        masks[id(mask)] = _unseen(mask, length)
    turns = None
    if isinstance(rotation, tuple) and len(rotation) == 2 and all(isinstance(part, Tensor) for part in rotation):
        cos, sin = (part.detach().reshape(-1, *part.shape[-2:])[0] for part in rotation)
        turns = cos, sin
    return Handed(unseen=masks[id(mask)], rotation=turns)


def _unseen(mask: Any, length: int) -> Tensor | None:
    """From the mask that attention is given, of either kind, to the keys that are not seen."""
    if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[-2:] != (length, length):
        return None
    of_one_head = mask.detach()[0, 0]
    if of_one_head.dtype == torch.bool:
        # Some masks mark what is seen, some what is not; every position sees itself.
        return of_one_head ^ of_one_head[0, 0]
    return of_one_head <= UNSEEN
