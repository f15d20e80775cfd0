"""Rows of a CSV file as they would stand in JSON lines: numbers and lists are read from their cells."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MOST_CHARACTERS = 10_000_000
"""Longest cell."""
WHOLE = re.compile("-?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
"""Numbers are written as in JSON. Python reads more, such as `1_2`, ` 3 ` or `007`; such cells are text."""
NOT_FINITE = re.compile("[-+]?(nan|inf|infinity)", re.IGNORECASE)


def rows_of_csv(text: str, bad: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a CSV file with a line of column names; lines without text are skipped.

    A cell of `answer`, `foil` or `position.NAME` that begins with "[" and ends with "]" is a JSON list. A column
    `variable.NAME` holds numbers if all its cells are numbers, else labels. Optional cells may be empty. A whole number
    in `position.NAME` is an index; if the same text is in a prompt, it has to be said which of the two is meant.
    """
    before = csv.field_size_limit(MOST_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns: list[str] | None = None
        read: list[tuple[int, dict[str, str]]] = []
        line = 1
        for cells in reader:
            started, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                if why := _wrong_columns(columns):
                    bad(f"line {started}: {why}")
                    return
            elif len(cells) != len(columns):
                bad(f"line {started}: has {len(cells)} cells for {len(columns)} columns; put texts that hold a comma "
                    "into quotes")  # fmt: skip
            else:
                read.append((started, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        bad(f"line {reader.line_num}: not CSV ({error})")
        return
    finally:
        csv.field_size_limit(before)
    numeric = {column for column in columns or () if column.startswith("variable.") and _all_numbers(column, read)}
    for line, cells in read:
        try:
            row = {column: _value(column, cell, column in numeric) for column, cell in cells.items()}
            _require_clear_positions(cells)
        except (ValueError, RecursionError) as error:
            bad(f"line {line}: {error}")
        else:
            yield line, {column: value for column, value in row.items() if value is not None}


def _wrong_columns(columns: Sequence[str]) -> str:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        return f"has the single column {columns[0][:40]!r}; separate columns by commas"
    twice = next((name for at, name in enumerate(columns) if name in columns[:at]), None) if _repeats(columns) else None
    return "" if twice is None else f"names the column {twice!r} twice; give each column once"


def _repeats(columns: Sequence[str]) -> bool:
    return len({*columns}) < len(columns)


def _all_numbers(column: str, rows: Sequence[tuple[int, dict[str, str]]]) -> bool:
    return all(_number(cells[column]) is not None for _, cells in rows)


def _number(cell: str) -> int | float | None:
    if WHOLE.fullmatch(cell):
        try:
            return int(cell)
        except ValueError:  # more digits than Python turns into a whole number
            return math.inf
    return float(cell) if DECIMAL.fullmatch(cell) or NOT_FINITE.fullmatch(cell) else None


def _require_clear_positions(cells: dict[str, str]) -> None:
    """Raise if the cell of a position is an index, and a prompt holds the same text."""
    for column, cell in cells.items():
        if column.startswith("position.") and WHOLE.fullmatch(cell):
            which = next((name for name in ("clean", "corrupt") if cell in cells.get(name, "")), None)
            if which is not None:
                raise ValueError(f'{column} is {cell[:40]}, an index, but the {which} prompt has that text too; write '
                                 f'["{cell[:40]}", 1] for the text, or [{cell[:40]}] for the index')  # fmt: skip


def _value(column: str, cell: str, numeric: bool) -> Any:
    """The value of a cell; None for an optional cell that is empty."""
    if column.startswith("variable."):
        if not cell.strip():
            raise ValueError(f"{column} is empty; give a number or a label")
        number = _number(cell)
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"{column} is {cell!r}, not a finite number; give a number or another label")
        return number if numeric else cell
    listed = cell.strip().startswith("[") and cell.strip().endswith("]")
    if column in ("answer", "foil") or column.startswith("position."):
        if listed:
            try:
                given = json.loads(cell)
            except ValueError as error:
                raise ValueError(
                    f'{column} {cell[:40]!r} is not a JSON list ({error}); write ["one", "other"]'
                ) from None
            alone = column.startswith("position.") and len(given) == 1 and type(given[0]) is int
            return given[0] if alone else given
        if column.startswith("position."):
            number = _number(cell)
            return number if isinstance(number, int) else cell
        return cell
    return None if not cell and column in ("template", "split") else cell
