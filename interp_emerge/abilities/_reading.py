"""Convert what users give as prompts, answers, positions and variables to tensors, or raise an `InputError`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp_emerge.core.axes import TokenIds, Tokens
from interp_emerge.core.errors import InputError, described

ArrayLike = Tensor | np.ndarray | Sequence[Any]
"""Numbers in a usual container."""
FILL = -1
"""Fills up rows that are shorter than others; not the id of any token."""


def as_prompts(values: ArrayLike, name: str) -> tuple[Tokens, TokenIds]:
    """Prompts, shape [pair, pos], and their numbers of tokens, shape [pair]; shorter prompts are filled up with -1."""
    several = isinstance(values, list | tuple) and all(isinstance(row, list | tuple | Tensor) for row in values)
    rows = [as_ids(row, name) for row in values] if several else []
    if rows and all(row.ndim == 1 for row in rows):
        ids = pad_sequence(rows, batch_first=True, padding_value=FILL)
        return ids, torch.tensor([len(row) for row in rows])
    ids = as_ids(values, name)
    if ids.ndim != 2:
        raise InputError(f"{name} prompts have shape {list(ids.shape)}; give one row of token ids a pair")
    return ids, torch.full((len(ids),), ids.shape[1])


def as_ids(values: ArrayLike, name: str) -> Tensor:
    try:
        ids = torch.as_tensor(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        if not isinstance(values, list | tuple):
            raise InputError(f"{name} cannot be {described(values)}; give token ids") from error
        if any(isinstance(value, str) for value in values):
            raise InputError(f"{name} is a list of text; give token ids, as model.encode(text) returns them") from error
        raise InputError(f"{name} is not a rectangular array of token ids; give rows of equal length") from error
    if not ids.numel():
        raise InputError(f"{name} is empty; give at least one pair")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise InputError(f"{name} holds {ids.dtype}, not integer token ids")
    return ids.detach().to("cpu", torch.int64)


def as_sets(values: ArrayLike, name: str) -> Tensor:
    """One token a pair, shape [pair], or several, shape [pair, token], filled up with -1."""
    ragged = isinstance(values, list | tuple) and any(isinstance(one, list | tuple) for one in values)
    rows = [as_ids(one if isinstance(one, list | tuple) else [one], name) for one in values] if ragged else []
    ids = pad_sequence(rows, batch_first=True, padding_value=-1) if rows else as_ids(values, name)
    if ids.ndim not in (1, 2):
        raise InputError(f"{name} has shape {list(ids.shape)}; give one token a pair, or a list of tokens")
    if ids.ndim == 2:
        if ids.shape[1] == 1:
            return ids[:, 0]
        if bool((ids < 0).all(1).any()):
            raise InputError(f"pair {int((ids < 0).all(1).nonzero()[0])} has no {name}; give each pair at least one")
    return ids


def as_values(variables: Mapping[str, Any] | None, n_pairs: int) -> dict[str, Tensor]:
    """Named values, whole numbers or real ones, one for each pair."""
    found: dict[str, Tensor] = {}
    for name, given in (variables or {}).items():
        try:
            values = torch.as_tensor(given).detach().to("cpu")
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"variable {name!r} is not a list of numbers; give one number a pair, such as the index "
                             "of a category") from error  # fmt: skip
        if values.shape != (n_pairs,) or values.is_complex():
            raise InputError(f"variable {name!r} has shape {list(values.shape)} for {n_pairs} pairs; give one number a "
                             "pair")  # fmt: skip
        found[name] = values.float() if values.is_floating_point() else values.long()
    return found


def as_places(positions: Mapping[str, Any] | None, lengths: TokenIds) -> dict[str, Tensor]:
    """Named indices, one for each pair, counted from the start; `lengths` are the prompts' numbers of tokens."""
    places: dict[str, Tensor] = {}
    for name, values in (positions or {}).items():
        try:
            index = torch.as_tensor(values).detach().to("cpu")
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"position {name!r} is not a list of whole numbers; give one index a pair") from error
        if index.shape != lengths.shape:
            what = "a single number" if not index.ndim else f"indices of shape {list(index.shape)}"
            raise InputError(f"position {name!r} has {what} for {len(lengths)} pairs; give one index for each pair")
        if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise InputError(f"position {name!r} holds {index.dtype}; give whole numbers, counted from 0")
        index = index.to(torch.int64)
        beyond = ((index < -lengths) | (index >= lengths)).nonzero()
        if len(beyond):
            row = int(beyond[0])
            length = int(lengths[row])
            raise InputError(f"position {name!r} of pair {row} is {int(index[row])}, beyond the prompt's {length} "
                             f"tokens; give 0 to {length - 1}, or -1 to {-length} counted from the end")  # fmt: skip
        places[name] = torch.where(index < 0, index + lengths, index)
    return places
