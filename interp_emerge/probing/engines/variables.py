"""What a probe has to decode: one label for each pair, from the pairs, from their tokens, or from a table.

A variable is named by a word:

1. a name in `pairs.variables`, or a column of the table that is given as `labels`;
2. `answer` or `foil`: the correct token after the clean or the corrupted prompt;
3. `token`, `token+1`, `token-2`: the token so many positions after or before the probed one.

Whole numbers and text are classes. Numbers with fractions are real values, which only some probes decode.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError, UnknownNameError

Labels = pd.DataFrame | Mapping[str, Any] | str | Path
"""A table with one row for each pair, or the path of one (.csv or .parquet)."""
MOST_EXACT = 2.0**53
"""Whole numbers beyond this are merged by double precision."""
OFFSET = re.compile(r"token([+-]\d+)?")


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """The labels of one variable."""

    variable: str
    labels: Tensor
    """Class of each pair, int64, or real value, float64, shape [pair]."""
    classes: tuple[int | str, ...] = ()
    """Value of each class; empty for a real-valued variable."""

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 for a real-valued variable."""
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.labels)


def target_of(pairs: PromptPairs, variable: str, *, place: Tensor, labels: Labels | None = None) -> Target:
    """The labels of a variable, for a probe at one position of each pair.

    Args:
        pairs: the pairs.
        variable: see above.
        place: the probed position in each pair, shape [pair]; only `token` depends on it.
        labels: a table with more variables.

    Raises:
        UnknownNameError: there is no such variable.
        InputError: it has one value only, almost as many values as pairs, several answers for a pair, a length other
            than the pairs, text beside numbers, or a value that is missing, not finite or not exactly represented.
    """
    table = _table(labels)
    values = _values(pairs, variable, place, table)
    if len(values) != len(pairs):
        raise InputError(f"variable {variable!r} has {len(values)} labels for {len(pairs)} pairs; give one for each")
    if pd.isna(values).any():
        raise InputError(
            f"variable {variable!r} has no value for {int(pd.isna(values).sum())} pairs; fill or drop them"
        )
    values = _of_one_kind(values, variable)
    if values.dtype.kind == "f" and not np.equal(values, np.round(values)).all():
        if (values == values[0]).all():
            raise _constant(variable, values[0], len(pairs))
        return Target(variable=variable, labels=torch.from_numpy(values.astype(np.float64)))
    if values.dtype.kind == "f":
        values = values.astype(np.int64)
    found, index = np.unique(values.astype(str) if values.dtype.kind in "OU" else values, return_inverse=True)
    if len(found) < 2:
        raise _constant(variable, found[0], len(pairs))
    if 2 * len(found) > len(pairs):
        raise InputError(f"variable {variable!r} has {len(found)} classes in {len(pairs)} pairs; a probe needs "
                         "at least two pairs a class on average: give more pairs, or fewer classes")  # fmt: skip
    return Target(variable=variable, labels=torch.from_numpy(index.astype(np.int64)), classes=tuple(found.tolist()))


def _constant(variable: str, value: object, n: int) -> InputError:
    return InputError(f"variable {variable!r} is {value!s} in all {n} pairs; a probe needs at least two values to tell "
                      "apart")  # fmt: skip


def _of_one_kind(values: np.ndarray, variable: str) -> np.ndarray:
    """Labels that are all text or all numbers that are exactly represented, so that no two values are merged."""
    if values.dtype.kind == "O":
        text = [isinstance(one, str) for one in values]
        if any(text) and not all(text):
            raise InputError(f"variable {variable!r} has text beside numbers, such as {values[text.index(True)]!r} and "
                             f"{values[text.index(False)]!r}; give all as text or all as numbers")  # fmt: skip
        values = np.asarray(values.tolist())
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"variable {variable!r} has values that are not finite; give finite numbers")
    whole = values.dtype.kind == "f" and bool(np.equal(values, np.round(values)).all())
    large = np.abs(values) > MOST_EXACT if whole else np.zeros(len(values), dtype=bool)
    if values.dtype.kind == "u":
        large = values > np.iinfo(np.int64).max
    elif values.dtype.kind == "O":
        large[:] = True
    if large.any():
        raise InputError(f"variable {variable!r} has {values[large.argmax()]!s}, a value that is not exactly "
                         "represented; give such labels as text")  # fmt: skip
    return values


def _column(given: Any, variable: str) -> np.ndarray:
    """The labels of a table's column as they were given, shape [pair]."""
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    if isinstance(given, str | bytes | Mapping) or np.ndim(given) == 0 or not hasattr(given, "__len__"):
        raise InputError(f"labels[{variable!r}] is {given!r}; give a list with one label for each pair")
    if np.ndim(given) > 1:
        raise InputError(f"labels[{variable!r}] has shape {[*np.shape(given)]}; give one label for each pair")
    found = np.asarray(given)
    # Numpy turns numbers beside text into text, which would make 1 and "1" one class.
    return np.array([*given], dtype=object) if found.dtype.kind in "US" and not isinstance(given, np.ndarray) else found


def names_of_variables(pairs: PromptPairs, labels: Labels | None = None) -> list[str]:
    """Every variable that these pairs have, apart from tokens at an offset."""
    return [*dict.fromkeys([*pairs.variables, *_table(labels), "answer", "foil"])]


def _table(labels: Labels | None) -> Mapping[str, Any]:
    if labels is None:
        return {}
    if isinstance(labels, pd.DataFrame):
        return {str(name): labels[name].to_numpy() for name in labels}
    if isinstance(labels, Mapping):
        return labels
    path = Path(labels)
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise InputError(f"labels are read from .csv or .parquet files, not from {str(path)!r}")
    try:
        return _table(readers[path.suffix](path))
    except (OSError, ValueError) as error:
        raise InputError(f"labels cannot be read from {path} ({error})") from error


def _values(pairs: PromptPairs, variable: str, place: Tensor, table: Mapping[str, Any]) -> np.ndarray:
    if variable in table:
        return _column(table[variable], variable)
    if variable in pairs.variables:
        values = pairs.variables[variable].numpy()
        return np.array(pairs.labels[variable])[values] if variable in pairs.labels else values
    if variable in ("answer", "foil"):
        tokens = pairs.answers if variable == "answer" else pairs.foils
        if tokens.shape[1] > 1:
            raise InputError(f"variable {variable!r}: some pairs have several correct tokens, so none is the label; "
                             "give labels of your own")  # fmt: skip
        return tokens[:, 0].numpy()
    if (offset := OFFSET.fullmatch(variable)) is not None:
        return tokens_at(pairs, place + int(offset[1] or 0), variable).numpy()
    raise UnknownNameError("variable", variable, [*names_of_variables(pairs, table), "token", "token+1", "token-1"])


def tokens_at(pairs: PromptPairs, index: Tensor, what: str = "token") -> Tensor:
    """The tokens of the clean prompts at one position of each pair, shape [pair].

    Raises:
        InputError: a position is outside its prompt.
    """
    outside = ((index < 0) | (index >= pairs.lengths)).nonzero()
    if len(outside):
        pair = int(outside[0])
        raise InputError(f"variable {what!r}: pair {pair} has no token at position {int(index[pair])}; its prompt has "
                         f"{int(pairs.lengths[pair])} tokens")  # fmt: skip
    found = torch.empty(len(pairs), dtype=torch.int64)
    for rows, group in pairs.by_length():
        found[rows] = group.clean[torch.arange(len(group)), index[rows]]
    return found
