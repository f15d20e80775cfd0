"""Numbers, lists and tables as a reader sees them; a value that is not defined is called so."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp_emerge.stats.intervals import UNDEFINED


@dataclass(frozen=True, kw_only=True)
class HtmlTable:
    """A table of the page: its columns' names and meanings, the cells as text, which columns hold numbers."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def number(value: Any) -> str:
    """A number to three digits, whole numbers in full; `undefined` for a missing one."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if float(value) == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}".replace("-", "−")


def cell(value: Any, empty: str = UNDEFINED) -> str:
    """A table's cell as text; `empty` is what a missing value means in its column."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return empty
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return str(value)


def words(name: object) -> str:
    """A name as words."""
    return str(name).replace("_", " ")


def joined(parts: Iterable[str]) -> str:
    """The parts as one phrase: a, b and c."""
    listed = list(parts)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} and {listed[-1]}"


def setting(value: Any) -> str:
    """A setting's value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def html_table(frame: pd.DataFrame, meanings: Mapping[str, str], empty: Mapping[str, str] | None = None) -> HtmlTable:
    """The frame's columns that have a meaning given, as text."""
    columns = [name for name in meanings if name in frame.columns]
    empty = empty or {}
    plain = frame[columns].astype(object)
    rows = tuple(
        tuple(cell(value, empty.get(name, UNDEFINED)) for name, value in zip(columns, row, strict=True))
        for row in plain.itertuples(index=False, name=None)
    )
    numeric = tuple(pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool for name in columns)
    return HtmlTable(columns=tuple((name, meanings[name]) for name in columns), rows=rows, numeric=numeric)


def size_of(n_bytes: int) -> str:
    """A file's size."""
    return f"{n_bytes / 1000:,.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:,.1f} MB"
