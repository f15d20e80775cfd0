"""Convert the prompts, answers, positions and variables that users give to tensors, or raise an `InputError`."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp_emerge.core.axes import TokenIds, Tokens
from interp_emerge.core.errors import InputError, described
from interp_emerge.core.model import HookedModel

ArrayLike = Tensor | np.ndarray | Sequence[Any]
"""Numbers in a tensor, an array or a sequence."""
FILL = -1
"""Value that fills up shorter rows; it is not the id of any token."""


def as_prompts(values: ArrayLike, name: str) -> tuple[Tokens, TokenIds]:
    """Prompts, shape [pair, pos], and their lengths, shape [pair]; shorter prompts are filled up with -1."""
    kinds = (list, tuple, Tensor, np.ndarray)
    several = isinstance(values, list | tuple) and all(isinstance(row, kinds) for row in values)
    rows = [as_ids(row, f"{name} prompt {number}") for number, row in enumerate(values)] if several else []
    if rows and all(row.ndim == 1 for row in rows):
        ids = pad_sequence(rows, batch_first=True, padding_value=FILL)
        return ids, torch.tensor([len(row) for row in rows])
    ids = as_ids(values, name)
    if ids.ndim != 2:
        raise InputError(f"{name} prompts have shape {list(ids.shape)}; give one row of token ids for each pair")
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
        raise InputError(f"{name} is empty; give at least one {'token' if 'prompt' in name else 'pair'}")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise InputError(f"{name} holds {ids.dtype}, not integer token ids")
    return ids.detach().to("cpu", torch.int64)


def as_sets(values: ArrayLike, name: str) -> Tensor:
    """Token ids: shape [pair] if each pair has one token, else shape [pair, token], filled up with -1."""
    ragged = isinstance(values, list | tuple) and any(isinstance(one, list | tuple) for one in values)
    if ragged:
        rows = [one if isinstance(one, list | tuple) else [one] for one in values]
        _require_some([bool(row) for row in rows], name)
        if below := [token for row in rows for token in as_ids(row, name).tolist() if token < FILL]:
            raise InputError(f"{name} holds the token id {below[0]}; give ids from 0 on")
        ids = pad_sequence([as_ids(row, name) for row in rows], batch_first=True, padding_value=FILL)
    else:
        ids = as_ids(values, name)
    if ids.ndim not in (1, 2):
        raise InputError(f"{name} has shape {list(ids.shape)}; give one token or a list of tokens for each pair")
    _require_some((ids.view(len(ids), -1) >= 0).any(1).tolist(), name)
    if ids.ndim == 2:
        ordered = ids.sort(1).values
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).nonzero()
        if len(twice):
            row, at = twice[0].tolist()
            raise InputError(f"pair {row} has the {name} {int(ordered[row, at])} twice; give each token once")
    return narrowed(ids)


def _require_some(has: Sequence[bool], name: str) -> None:
    if not all(has):
        raise InputError(f"pair {[*has].index(False)} has no {name}; give each pair at least one")


def narrowed(ids: Tensor) -> Tensor:
    """The token ids without columns that are -1 in every pair; shape [pair] if no pair has several tokens."""
    if ids.ndim == 1:
        return ids
    ids = ids[:, (ids >= 0).any(0)]
    return ids[:, 0] if ids.shape[1] == 1 else ids


def as_answers(values: Any, name: str) -> list[str | int]:
    """A list of the given token or text, or of several of them. Integers of NumPy and torch are token ids too."""
    if isinstance(values, Tensor | np.ndarray | np.generic):
        values = values.tolist()
    several = values if isinstance(values, list | tuple) else [values]
    for one in several:
        if not isinstance(one, str | Integral) or isinstance(one, bool):
            raise InputError(f"{name} cannot be {described(one)}; give text, a token id, or a list of these")
    if not len(several):
        raise InputError(f"{name} is empty; give at least one token")
    return [one if isinstance(one, str) else int(one) for one in several]


def as_values(
    variables: Mapping[str, Any] | None, n_pairs: int, labels: Mapping[str, Sequence[str]] | None = None
) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    """Named values, one for each pair, and the labels that indices stand for.

    Values have shape [pair]: int64 for whole numbers and labels, float32 for real numbers. Labels get indices in
    alphabetical order, or in the order of `labels` where it is given.
    """
    found: dict[str, Tensor] = {}
    known = {name: tuple(texts) for name, texts in (labels or {}).items() if name in (variables or {})}
    for name, given in (variables or {}).items():
        if isinstance(given, Sequence) and any(isinstance(one, str) for one in given):
            given, known[name] = _as_indices(given, name, known.get(name))
        try:
            values = torch.as_tensor(given).detach().to("cpu")
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"variable {name!r} is not a list of numbers or labels; give one for each "
                             "pair") from error  # fmt: skip
        if values.shape != (n_pairs,) or values.is_complex():
            raise InputError(f"variable {name!r} has shape {list(values.shape)} for {n_pairs} pairs; give one number "
                             "or label for each pair")  # fmt: skip
        found[name] = values.float() if values.is_floating_point() else values.long()
        if name in known and not bool(((found[name] >= 0) & (found[name] < len(known[name]))).all()):
            raise InputError(f"variable {name!r} holds an index without a label; its {len(known[name])} labels have "
                             f"the indices 0 to {len(known[name]) - 1}")  # fmt: skip
    return found, known


def _as_indices(values: Sequence[Any], name: str, labels: tuple[str, ...] | None) -> tuple[list[int], tuple[str, ...]]:
    odd = [one for one in values if not isinstance(one, str)]
    if odd:
        raise InputError(f"variable {name!r} holds both text and {described(odd[0])}; give either numbers or labels")
    labels = labels or tuple(sorted({*values}))
    index = {label: place for place, label in enumerate(labels)}
    unknown = [one for one in values if one not in index]
    if unknown:
        raise InputError(f"variable {name!r} holds the label {unknown[0]!r}, which is not among its labels; add it")
    return [index[one] for one in values], labels


def as_places(positions: Mapping[str, Any] | None, lengths: TokenIds) -> dict[str, Tensor]:
    """Named indices, one for each pair, counted from the start. `lengths` are the numbers of tokens of the prompts."""
    places: dict[str, Tensor] = {}
    for name, values in (positions or {}).items():
        try:
            index = torch.as_tensor(values).detach().to("cpu")
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"position {name!r} is not a list of whole numbers; give one for each pair") from error
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


def prompt_ids(model: HookedModel | None, prompt: str | ArrayLike) -> list[int]:
    """Token ids of a prompt. Text is encoded after the tokens in `model.bos`; token ids are returned unchanged.

    Raises:
        InputError: there is text but no model or tokenizer, or the tokenizer cannot express the text.
    """
    if not isinstance(prompt, str):
        return as_ids(prompt, "a prompt").tolist()
    if model is None:
        raise InputError(f"the prompt {prompt!r} is text; give the model whose tokenizer reads it, model=...")
    return model.bos + model.lexicon.continuation(prompt)


def require_text_model(model: HookedModel | None, clean: Any, corrupt: Any, what: str) -> HookedModel:
    """The model, if both prompts are text; otherwise raise an `InputError` that says what needs text."""
    if model is None or not isinstance(clean, str) or not isinstance(corrupt, str):
        raise InputError(f"{what} is text; give both prompts as text and model=..., or the position as an index")
    return model


def require_equal_lengths(clean: TokenIds, corrupt: TokenIds) -> None:
    if len(clean) != len(corrupt):
        raise InputError(f"there are {len(clean)} clean and {len(corrupt)} corrupted prompts; give equally many")
    differ = (clean != corrupt).nonzero()
    if len(differ):
        row = int(differ[0])
        raise InputError(f"the prompts of pair {row} have {int(clean[row])} and {int(corrupt[row])} tokens; give both "
                         "the same length, because activations are exchanged position by position")  # fmt: skip
