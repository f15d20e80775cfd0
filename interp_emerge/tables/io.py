"""One way to read and write the tables of a study, whose columns `core/schemas` gives."""

from pathlib import Path

import pandas as pd

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import write_atomically
from interp_emerge.tables.schemas import SCHEMAS


def require_table_name(path: Path) -> None:
    """Raise an `InputError` unless the file's name ends in a format that tables are written in."""
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; tables are written as .csv or .parquet")


def save_table(frame: pd.DataFrame, path: Path) -> None:
    """Write any table to a file of its own, as CSV or Parquet by the name's end."""
    require_table_name(path)
    content = frame.to_csv(index=False).encode() if path.suffix == ".csv" else frame.to_parquet(index=False)
    write_atomically(path, content)


def write_table(frame: pd.DataFrame, name: str, directory: Path) -> None:
    """Write a study's table as Parquet and CSV, checked against its schema."""
    checked = SCHEMAS[name].check(frame)
    write_atomically(directory / f"{name}.parquet", checked.to_parquet(index=False))
    write_atomically(directory / f"{name}.csv", checked.to_csv(index=False).encode())


def read_table(name: str, directory: Path) -> pd.DataFrame:
    """A study's table.

    Raises:
        InputError: the directory holds no such table, or one of other columns.
    """
    path = directory / f"{name}.parquet"
    if not path.is_file():
        raise InputError(f"{directory} holds no table {name!r}; run the study first")
    try:
        return SCHEMAS[name].check(pd.read_parquet(path))
    except InputError as error:  # written when studies had fewer columns
        raise InputError(f"{path}: {error}; run the study again") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable table; run the study again") from error


def as_markdown() -> str:
    """The tables with their columns as text, as `docs/tables.md` has it."""
    parts = []
    for schema in SCHEMAS.values():
        rows = [f"| `{column}` | {meaning} |" for column, meaning in schema.columns.items()]
        parts.append(
            "\n".join([f"## `{schema.name}`\n", f"A row: {schema.row}.\n", "| column | meaning |", "|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"
