"""Numbers, lists and tables as text for the report; an undefined value is shown as `undefined`."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp_emerge.stats.intervals import UNDEFINED


@dataclass(frozen=True, kw_only=True)
class HtmlTable:
    """A table of the page: names and meanings of its columns, its cells as text, and which columns are numeric."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    source: str = ""
    """Name of the study's table whose columns these are; empty for columns that are made for the page."""


def number(value: Any) -> str:
    """A number with three digits, a whole number in full, or `undefined` for a missing number."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if float(value) == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}".replace("-", "−")


def cell(value: Any, empty: str = UNDEFINED) -> str:
    """A table's cell as text; `empty` stands for a missing value."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return empty
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return str(value)


def words(name: object) -> str:
    """A name with spaces instead of underscores."""
    return str(name).replace("_", " ")


def joined(parts: Iterable[str]) -> str:
    """The parts as one phrase, such as `a, b and c`."""
    listed = list(parts)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} and {listed[-1]}"


def setting(value: Any) -> str:
    """A setting's value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def html_table(
    frame: pd.DataFrame,
    meanings: Mapping[str, str],
    empty: Mapping[str, str] | None = None,
    *,
    source: str = "",
    numbers: Iterable[str] = (),
) -> HtmlTable:
    """Those of the frame's columns that have a meaning, as text.

    Args:
        frame: the rows.
        meanings: the meaning of each column that is shown, by its name.
        empty: what stands for a missing value, by column; `undefined` where it is not given.
        source: name of the study's table whose columns these are, if they are.
        numbers: columns of text that begins with a number, such as `0.93 [0.91, 0.95]`; they are sorted by it.
    """
    columns = [name for name in meanings if name in frame.columns]
    empty, written = empty or {}, {*numbers}
    plain = frame[columns].astype(object)
    rows = tuple(
        tuple(cell(value, empty.get(name, UNDEFINED)) for name, value in zip(columns, row, strict=True))
        for row in plain.itertuples(index=False, name=None)
    )
    numeric = tuple(
        name in written or (pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool)
        for name in columns
    )
    named = tuple((name, meanings[name]) for name in columns)
    return HtmlTable(columns=named, rows=rows, numeric=numeric, source=source)


def size_of(n_bytes: int) -> str:
    """A file's size in kB or MB, as text."""
    return f"{n_bytes / 1000:,.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:,.1f} MB"
