"""Lists and tables as text for the report; where a number is missing, the cell says so and has a reason."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp_emerge.report.numbers import Kind, is_missing, kind_of, number
from interp_emerge.stats.intervals import UNDEFINED


@dataclass(frozen=True)
class Because:
    """What a cell says, and why it says this and not a number."""

    text: str
    why: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class HtmlTable:
    """A table of the page: names and meanings of its columns, its cells as text, and which columns are numeric."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    source: str = ""
    """Name of the study's table whose columns these are; empty for columns that are made for the page."""
    whys: tuple[tuple[str, ...], ...] = ()
    """For each cell, why it has no number or leaves something open; empty for a cell that needs no reason."""
    verdicts: Mapping[str, str] | None = None
    """For columns of verdicts, the name of the vocabulary that defines them."""
    n_labels: int = 1
    """The first so many columns name a row."""

    def reasons(self) -> dict[str, list[str]]:
        """Every reason with the cells that have it, each as `25k: heads, half`; in the order of the table."""
        found: dict[str, dict[str, list[str]]] = {}
        for row, whys in zip(self.rows, self.whys, strict=False):
            label = ", ".join(text for text in row[: self.n_labels] if text)
            for (name, _), why in zip(self.columns, whys, strict=True):
                if why:
                    found.setdefault(why, {}).setdefault(label, []).append(words(name))
        return {why: [f"{label}: {', '.join(names)}" for label, names in cells.items()] for why, cells in found.items()}


def cell(value: Any, empty: str = UNDEFINED, column: str = "") -> str:
    """A table's cell as text; `empty` stands for a missing value."""
    if is_missing(value) or value is pd.NA:
        return empty
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value, Kind.COUNT if isinstance(value, int) else kind_of(column))
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
    verdicts: Mapping[str, str] | None = None,
    n_labels: int = 1,
) -> HtmlTable:
    """Those of the frame's columns that have a meaning, as text.

    Args:
        frame: the rows; a value may be a `Because`, a text with the reason for it.
        meanings: the meaning of each column that is shown, by its name.
        empty: what stands for a missing value, by column; `undefined` where it is not given.
        source: name of the study's table whose columns these are, if they are.
        numbers: columns of text that begins with a number, such as `0.93 [0.91, 0.95]`; they are sorted by it.
        verdicts: for columns of verdicts, the name of the vocabulary that defines them.
        n_labels: number of first columns that name a row.
    """
    columns = [name for name in meanings if name in frame.columns]
    empty, written = empty or {}, {*numbers}
    plain = [*frame[columns].astype(object).itertuples(index=False, name=None)]
    rows = tuple(
        tuple(cell(value, empty.get(name, UNDEFINED), name) for name, value in zip(columns, row, strict=True))
        for row in plain
    )
    numeric = tuple(
        name in written or (pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool)
        for name in columns
    )
    return HtmlTable(
        columns=tuple((name, meanings[name]) for name in columns),
        rows=rows,
        numeric=numeric,
        source=source,
        whys=tuple(tuple(value.why if isinstance(value, Because) else "" for value in row) for row in plain),
        verdicts=verdicts or {},
        n_labels=n_labels,
    )


def size_of(n_bytes: int) -> str:
    """A file's size in kB or MB, as text."""
    return f"{n_bytes / 1000:,.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:,.1f} MB"
