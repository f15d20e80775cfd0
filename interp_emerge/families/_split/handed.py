"""What a model passes to its blocks for a prompt length: the mask of keys, and the rotation of positions.

A configuration may name a window that no code uses, and a rotation may change with the length of the prompt. So both
are taken from the model itself: it runs once on a prompt of each length, and the arguments of its blocks are kept.
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
from interp_emerge.core.whole import run_whole
from interp_emerge.families._split.shape import vocabulary_size

MASK = "attention_mask"
ROTATION = "position_embeddings"
UNSEEN = -1e4
"""A mask value at or below this hides the key. Models add their dtype's least number, which is -65504 in float16."""
LENGTHS = 32
"""Number of prompt lengths whose arguments are kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Handed:
    """The mask and rotation that one block was called with."""

    unseen: Tensor | None
    """True for keys that a query does not see, shape [query, key]; None if the model passes no mask."""
    rotation: tuple[Tensor, Tensor] | None
    """Cosines and sines, shape [pos, feature] each; None if the block is not given them."""


class HandedParts:
    """The masks and rotations that a model passes to its blocks, by prompt length."""

    def __init__(self, hf: Any, blocks: Sequence[nn.Module]) -> None:
        self._hf, self._blocks = hf, blocks
        self.lengths: set[int] = set()
        self._at = lru_cache(maxsize=LENGTHS)(self._run)

    def at(self, length: int) -> tuple[Handed, ...]:
        """The mask and rotation of each block for prompts of this length."""
        return self._at(length)

    def unseen(self, layer: int, length: int) -> Tensor | None:
        """True for keys that a layer's query does not see, shape [query, key]; None if only later keys are unseen."""
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
    """Random token ids without padding, the same in every call, shape [row, pos]."""
    generator, n = torch.Generator().manual_seed(length), vocabulary_size(hf)
    tokens = torch.randint(n, (rows, length), generator=generator)
    pad = getattr(hf.config, "pad_token_id", None)
    return tokens.where(tokens != (-1 if pad is None else pad), (tokens + 1) % n).to(next(hf.parameters()).device)


@contextmanager
def watching(blocks: Sequence[nn.Module]) -> Iterator[list[dict[str, Any]]]:
    """While open, keeps the arguments of each block's last call, by their names."""
    calls: list[dict[str, Any]] = [{} for _ in blocks]
    with ExitStack() as hooks:
        for index, block in enumerate(blocks):
            names = [*signature(block.forward).parameters]

            def keep(_block: nn.Module, args: tuple, kwargs: dict, index: int = index, names: list = names) -> None:
                calls[index] = dict(zip(names, args, strict=False)) | kwargs

            hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
        yield calls


def handed(call: dict[str, Any], length: int, masks: dict[int, Tensor | None]) -> Handed:
    """The mask and rotation in a block's arguments; `masks` holds results for masks that several blocks share."""
    mask, rotation = call.get(MASK), call.get(ROTATION)
    if id(mask) not in masks:
        masks[id(mask)] = _unseen(mask, length)
    turns = None
    if isinstance(rotation, tuple) and len(rotation) == 2 and all(isinstance(part, Tensor) for part in rotation):
        cos, sin = (part.detach().reshape(-1, *part.shape[-2:])[0] for part in rotation)
        turns = cos, sin
    return Handed(unseen=masks[id(mask)], rotation=turns)


def _unseen(mask: Any, length: int) -> Tensor | None:
    """The keys that are not seen, from a boolean or an additive attention mask."""
    if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[-2:] != (length, length):
        return None
    of_one_head = mask.detach()[0, 0]
    if of_one_head.dtype == torch.bool:
        # Some masks mark the seen keys, some the unseen ones. Every position sees itself, which tells them apart.
        return of_one_head ^ of_one_head[0, 0]
    return of_one_head <= UNSEEN
