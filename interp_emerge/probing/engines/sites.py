"""Sites of a model: a kind of activation in a layer, one head of it where it has heads, at a position of prompts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel

STREAM = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""Kinds that have the width of the residual stream. Parallel blocks have no `resid_mid`."""
HEADS = ("z", "q", "k", "v")
"""Kinds that each head has for itself. Keys and values are those of key-value heads."""
HIDDEN = "mlp_hidden"
"""What the last matrix of an MLP reads."""
KINDS = (*STREAM, *HEADS, HIDDEN)
LAST = "last"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where activations are read."""

    kind: str
    layer: int
    head: int | None = None
    """The head, or the key-value head for keys and values; None for kinds without heads."""
    position: str = LAST

    @property
    def name(self) -> str:
        """Its name in files: `resid_post.3@last`, `z.3.h1@last`."""
        head = "" if self.head is None else f".h{self.head}"
        return f"{self.kind}.{self.layer}{head}@{self.position}"

    def depth(self, n_layers: int) -> float:
        """The share of a model's layers up to this site: 0 before the first block, 1 after the last one."""
        before = {"resid_pre": 0.0, "resid_mid": 0.5, "resid_post": 1.0}
        return (self.layer + before.get(self.kind, 0.5)) / n_layers

    @property
    def columns(self) -> dict[str, object]:
        """Its columns in a table; `head` is -1 for kinds without heads."""
        head = -1 if self.head is None else self.head
        return {"site": self.kind, "layer": self.layer, "head": head, "position": self.position}

    def embedding(self) -> "Site":
        """The stream before the first block at the same position: token and position only."""
        return Site(kind="resid_pre", layer=0, position=self.position)


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Positions by name, with their index in every pair."""

    index: dict[str, Tensor]
    """By name, shape [pair]."""

    @classmethod
    def of(cls, pairs: PromptPairs, wanted: str | Sequence[str]) -> "Places":
        """The positions of these names: names in the pairs, `last`, numbers, or `all`.

        Of names for the same tokens the first is kept, so that nothing is computed twice, and a warning says so.

        Raises:
            UnknownNameError: the pairs name no such position.
            InputError: a number is beyond a prompt, or `all` is asked of prompts of several lengths.
        """
        names = [wanted] if isinstance(wanted, str) else [*wanted]
        if "all" in names:
            names = [str(position) for position in range(pairs.length)]
        if not names:
            raise InputError("no positions; name at least one, such as 'last'")
        index, named = dict[str, Tensor](), dict[bytes, str]()
        for name in dict.fromkeys(names):
            place = _index(pairs, str(name))
            first = named.setdefault(place.numpy().tobytes(), name)
            if first == name:
                index[name] = place
            else:
                logger.warning("position %r is the same token as %r in every pair, and is left out", name, first)
        return cls(index=index)


def _index(pairs: PromptPairs, name: str) -> Tensor:
    if name in pairs.positions:
        return pairs.positions[name]
    if name == LAST:
        return pairs.lengths - 1
    if name.removeprefix("-").isdecimal():
        place, shortest = int(name), int(pairs.lengths.min())
        if not -shortest <= place < shortest:
            raise InputError(
                f"position {name} is beyond prompts of {shortest} tokens; give {-shortest} to {shortest - 1}"
            )
        return pairs.lengths + place if place < 0 else torch.full((len(pairs),), place)
    known = [*pairs.positions, LAST, "all", f"0 to {int(pairs.lengths.min()) - 1}"]
    raise UnknownNameError("position", name, [*dict.fromkeys(known)])


def sites_of(
    model: HookedModel, kinds: str | Sequence[str], places: Places, layers: Sequence[int] | None = None
) -> tuple[Site, ...]:
    """The sites of these kinds in every layer, for each head and at each position, in the order of a run.

    Args:
        model: the model.
        kinds: kinds of activations.
        places: positions by name.
        layers: the layers to take; all if left out.

    Raises:
        UnknownNameError: there is no such kind.
        InputError: no kind is given, a layer that the model does not have, or `resid_mid` of a model that has none.
    """
    n_layers = len(model.decoder.blocks)
    layers = None if layers is None else [*layers]
    if layers == []:
        raise InputError(f"no layers; name at least one from 0 to {n_layers - 1}, or leave layers out for all")
    for layer in layers or ():
        if not 0 <= layer < n_layers:
            raise InputError(f"{model.spec} has no layer {layer}; give layers from 0 to {n_layers - 1}")
    kinds = [kinds] if isinstance(kinds, str) else [*kinds]
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownNameError("site", kind, KINDS)
    if "resid_mid" in kinds and all(block.parallel for block in model.decoder.blocks):
        raise InputError(f"{model.spec} has parallel blocks, so it has no resid_mid; leave it out")
    found = []
    for layer, block in enumerate(model.decoder.blocks):
        if layers is not None and layer not in layers:
            continue
        heads = {"z": block.q.n_heads, "q": block.q.n_heads, "k": block.k.n_heads, "v": block.k.n_heads}
        for kind in KINDS:
            if kind not in kinds or (kind == "resid_mid" and block.parallel):
                continue
            for head in range(heads[kind]) if kind in heads else (None,):
                found += [Site(kind=kind, layer=layer, head=head, position=position) for position in places.index]
    if not found:
        raise InputError(f"no site to probe: {', '.join(kinds) or 'no kind'} of {model.spec}; "
                         f"name one of {', '.join(KINDS)}")  # fmt: skip
    return tuple(found)
