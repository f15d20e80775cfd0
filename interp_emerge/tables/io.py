"""Reading and writing tables: as CSV for any reader, and as Parquet with the meaning of rows and columns inside."""

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import write_atomically
from interp_emerge.tables.schema import Table

DESCRIPTION = b"interp_emerge.table"
"""Key in a Parquet file's metadata for the description of the table, as JSON."""


def require_table_name(path: Path) -> None:
    """Raise an `InputError` unless the file's name ends in .csv or .parquet."""
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; give a name that ends in .csv or .parquet")


def save_table(frame: pd.DataFrame, path: Path) -> None:
    """Write any table to one file, as CSV or Parquet according to the end of its name.

    Example:
        >>> ie.tables.save_table(heads.to_frame(), Path("heads.csv"))
    """
    require_table_name(path)
    content = frame.to_csv(index=False).encode() if path.suffix == ".csv" else frame.to_parquet(index=False)
    write_atomically(path, content)


def write_table(frame: pd.DataFrame, table: Table, directory: Path) -> None:
    """Write a table as Parquet, with the meaning of its columns inside, and as CSV.

    Example:
        >>> table = ie.tables.Table(name="sizes", row="one size", filled={"size": "its name"})
        >>> ie.tables.write_table(pd.DataFrame({"size": family.sizes}), table, Path())
        >>> sorted(path.name for path in Path().glob("sizes.*"))
        ['sizes.csv', 'sizes.parquet']

    Raises:
        InputError: the frame lacks a column of the table.
    """
    checked = table.check(frame)
    write_atomically(directory / f"{table.name}.parquet", _described(checked, table))
    write_atomically(directory / f"{table.name}.csv", checked.to_csv(index=False).encode())


def read_table(table: Table, directory: Path) -> pd.DataFrame:
    """A table that `write_table` wrote to the directory.

    Example:
        >>> table = ie.tables.Table(name="sizes", row="one size", filled={"size": "its name"})
        >>> ie.tables.write_table(pd.DataFrame({"size": family.sizes}), table, Path())
        >>> ie.tables.read_table(table, Path())

    Raises:
        InputError: the directory has no such table, or it lacks a column.
    """
    path = directory / f"{table.name}.parquet"
    if not path.is_file():
        raise InputError(f"{directory} has no table {table.name!r}; run the study first")
    rows = read_described(path)[1]
    try:
        return table.check(rows)
    except InputError as error:  # the table had fewer columns when it was written
        raise InputError(f"{path}: {error}; run the study again") from error


def read_described(path: Path) -> tuple[Table, pd.DataFrame]:
    """A Parquet file that `write_table` wrote: the description of the table, and its rows.

    Raises:
        InputError: the file cannot be read, or has no description of the table.
    """
    import pyarrow.parquet as pq

    try:
        read = pq.read_table(path)
        description = json.loads((read.schema.metadata or {})[DESCRIPTION])
        return Table(name=path.stem, row=description["row"], filled=description["columns"]), read.to_pandas()
    except KeyError as error:
        raise InputError(f"{path} has no description of its columns; run the study again") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable table; run the study again") from error


def as_markdown(tables: Iterable[Table]) -> str:
    """Tables and their columns as Markdown text, for `docs/tables.md`."""
    parts = []
    for table in tables:
        rows = [f"| `{column}` | {meaning} |" for column, meaning in table.columns.items()]
        heading = [f"## `{table.name}`\n", f"A row: {table.row}.\n", "| column | meaning |", "|---|---|"]
        parts.append("\n".join([*heading, *rows]))
    return "\n\n".join(parts) + "\n"


def _described(frame: pd.DataFrame, table: Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pandas(frame, preserve_index=False)
    description = json.dumps({"row": table.row, "columns": table.columns}, ensure_ascii=False).encode()
    content = io.BytesIO()
    pq.write_table(made.replace_schema_metadata({**(made.schema.metadata or {}), DESCRIPTION: description}), content)
    return content.getvalue()
