"""Rows of a table as data of a chart: exact values, and hover text that shows undefined values as `undefined`."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd


def named(name: str) -> alt.NamedData:
    """The data that `finish` puts into the chart under this name."""
    return alt.NamedData(name=name)


def records(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """The rows as plain values; undefined values are null.

    A chart holds them as a named data set. So neither altair's limit on rows nor a data transformer that the user has
    enabled changes what is drawn, and altair does not copy all rows when it copies a part of the chart.
    """
    plain = frame.astype(object).replace([np.inf, -np.inf], np.nan)
    return plain.where(plain.notna(), None).to_dict("records")


def equal(**values: Any) -> alt.LogicalAndPredicate:
    """A filter that keeps the rows in which each of these columns has the given value."""
    plain = {column: value.item() if isinstance(value, np.generic) else value for column, value in values.items()}
    return alt.LogicalAndPredicate(
        **{"and": [alt.FieldEqualPredicate(field=column, equal=value) for column, value in plain.items()]}
    )


def hover(columns: Iterable[str] | Mapping[str, str]) -> Any:
    """Hover text: each column under its own name, or under the name that a mapping gives it.

    It is one expression because Vega's own number format shows an undefined value as 0.
    """
    named = columns if isinstance(columns, Mapping) else {column: column.replace("_", " ") for column in columns}
    parts = [f"{name!r}: {shown(f'datum[{column!r}]')}" for column, name in named.items()]
    return alt.value({"expr": "{" + ", ".join(parts) + "}"})


def shown(value: str) -> str:
    """A Vega expression for a value as text: whole numbers in full, others with four digits, or `undefined`."""
    number = f"({value} === floor({value}) ? format({value}, ',d') : format({value}, '.4~g'))"
    return f"(!isValid({value}) ? 'undefined' : isNumber({value}) ? {number} : '' + {value})"


def extent(frame: pd.DataFrame, columns: Iterable[str], *, include: Iterable[float] = ()) -> list[float]:
    """The lowest and highest defined value of the columns and of `include`, as a scale's domain.

    Vega would warn of an infinite extent if a column had no values.
    """
    values = frame[list(columns)].to_numpy(dtype=float)
    values = np.append(values[np.isfinite(values)], list(include))
    if not len(values):
        return [0.0, 1.0]
    low, high = float(values.min()), float(values.max())
    return [low, high] if high > low else [low - 0.5, high + 0.5]


def in_order(values: pd.Series) -> list[str]:
    """The distinct values as text, in the order of the table; a study writes sizes from small to large."""
    return [str(value) for value in values.unique()]
