"""Values with their intervals, from any tidy table; an analysis uses them for tables that a study does not have.

`interval_dots` draws one line for each named thing, `interval_lines` one curve for each group. Both draw a bar wherever
both ends of an interval are known and leave out undefined values. They change neither the table nor altair's global
style.
"""

import re
from collections.abc import Sequence
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.figures._rows import extent, hover, in_order, named
from interp_emerge.figures._theme import DASHED, MUTED, WIDTH, finish, palette
from interp_emerge.tables.schema import Table

Scale = Literal["linear", "log", "symlog"]
PLAIN_NAME = re.compile(r"[^.:\[\]\\'\"]+")
"""What Vega reads as the name of a column and nothing else."""
LINE, HEIGHT, IN_A_ROW = 22, 260, 3
"""Height of a line and of a panel in pixels; number of panels in a row."""


@checked
def interval_dots(
    frame: pd.DataFrame,
    *,
    thing: str,
    title: str,
    value: str = "value",
    ends: tuple[str, str] | None = None,
    colour: str = "",
    panel: str = "",
    scale: Scale = "linear",
    mark: float | None = None,
) -> ChartType:
    """One line for each thing, with a dot at its value and a bar over its interval.

    Example:
        >>> frame = heads.to_frame().rename(columns={"score": "value"})
        >>> ie.figures.interval_dots(frame, thing="node", title="effect, nats", ends=("ci_low", "ci_high"))

    Args:
        frame: one row for each thing, colour and panel, in the order of drawing.
        thing: the column with the names of the things.
        title: title of the horizontal axis, with its unit.
        value: the column with the values; a value may be undefined although its interval is defined.
        ends: the columns with the lower and the upper end; by default the value's name with `_low` and `_high`.
        colour: the column that distinguishes several values of one thing; none if empty.
        panel: the column that divides the figure into panels, three in a row; none if empty.
        scale: scale of the horizontal axis; `symlog` can show 0.
        mark: position of a dashed line across all things.

    Raises:
        InputError: a column is missing, the table has no rows, or several rows have the same key.
    """
    low, high = ends or (f"{value}_low", f"{value}_high")
    rows = _checked(
        frame, [thing, *filter(None, (colour, panel))], [value, low, high], numbers=[value, low, high], named=colour
    )
    if scale == "log" and ((rows[[value, low, high]] <= 0).any(axis=None) or (mark is not None and not mark > 0)):
        raise InputError("a logarithmic axis cannot show 0 or less; choose the scale symlog")
    if mark is not None and not np.isfinite(mark):
        raise InputError(f"a line cannot be drawn at {mark}; give a finite number")
    limits = _limits(rows, [value, low, high], scale, mark)
    across = _axis(limits, scale, title=title, grid=True)
    x = alt.X(f"{value}:Q", scale=limits, axis=across)
    y = alt.Y(f"{thing}:N", sort=in_order(rows[thing]), axis=alt.Axis(title=None, labelLimit=320, grid=True))
    base = alt.Chart().encode(y=y, tooltip=hover(rows.columns))
    if colour:
        order = in_order(rows[colour])
        legend = alt.Legend(title=None, orient="top")
        base = base.encode(
            color=alt.Color(f"{colour}:N", scale=palette(order), legend=legend),
            yOffset=alt.YOffset(f"{colour}:N", sort=order),
        )
    bars = base.transform_filter(_known(low, high)).mark_rule(strokeWidth=2.5, opacity=0.6, aria=False)
    layers = [
        bars.encode(x=alt.X(f"{low}:Q", scale=limits, axis=across), x2=f"{high}:Q"),
        base.transform_filter(_known(value)).mark_point(filled=True, size=44, opacity=1, aria=False).encode(x=x),
    ]
    if mark is not None:
        line = alt.Chart().mark_rule(strokeDash=DASHED, color=MUTED)
        layers.append(line.encode(x=alt.datum(mark, scale=limits)))
    wide = _across(rows, panel, labels=320)
    high_line = LINE + 8 * (rows[colour].nunique() - 1 if colour else 0)
    high = alt.Step(high_line, **{"for": "position"} if colour else {})
    return _panels(layers, rows, panel, f"{title}, of each {thing}", width=wide, height=high)


@checked
def interval_lines(
    frame: pd.DataFrame,
    *,
    x: str,
    titles: tuple[str, str],
    value: str = "value",
    ends: tuple[str, str] | None = None,
    colour: str = "",
    panel: str = "",
    scales: tuple[Scale, Scale] = ("log", "linear"),
) -> ChartType:
    """One curve for each colour, with a dot at each value and a bar over its interval.

    Example:
        >>> frame = pd.DataFrame({"x": [1, 2], "value": [0.1, 0.8], "ci_low": [0, 0.6], "ci_high": [0.2, 0.9]})
        >>> ie.figures.interval_lines(frame, x="x", titles=("size", "accuracy"), ends=("ci_low", "ci_high"))

    Args:
        frame: one row for each place, colour and panel.
        x: the column with the places.
        titles: titles of the horizontal and the vertical axis, with their units.
        value: the column with the values.
        ends: the columns with the lower and the upper end; by default the value's name with `_low` and `_high`. No
            intervals are drawn if the table has neither.
        colour: the column that distinguishes the curves; one curve if empty.
        panel: the column that divides the figure into panels, three in a row; none if empty.
        scales: scales of the horizontal and the vertical axis; `symlog` can show 0, `log` leaves it out.

    Raises:
        InputError: a column is missing, the table has no rows, or several rows have the same key.
    """
    between = list(ends or (column for column in (f"{value}_low", f"{value}_high") if column in frame.columns))
    rows = _checked(
        frame, [x, *filter(None, (colour, panel))], [value, *between], numbers=[x, value, *between], named=colour
    )
    if len(between) == 1:
        raise InputError(f"the table has {between[0]!r} without the other end of the interval; give both ends or none")
    for column, scale in zip((x, value), scales, strict=True):
        if scale == "log":
            rows = rows[rows[column] > 0]
    if rows.empty or (scales[1] == "log" and (rows[between] <= 0).any(axis=None)):
        raise InputError("a logarithmic axis cannot show 0 or less; choose the scale symlog")
    places, limits = _limits(rows, [x], scales[0], None), _limits(rows, [value, *between], scales[1], None)
    across, up = (
        _axis(one, scale, title=title, grid=one is limits)
        for one, scale, title in zip((places, limits), scales, titles, strict=True)
    )
    base = alt.Chart().encode(x=alt.X(f"{x}:Q", scale=places, axis=across), tooltip=hover(rows.columns))
    if colour:
        legend = alt.Legend(title=None, orient="top", symbolType="stroke")
        base = base.encode(color=alt.Color(f"{colour}:N", scale=palette(in_order(rows[colour])), legend=legend))
    y = alt.Y(f"{value}:Q", scale=limits, axis=up)
    seen = base.transform_filter(_known(value))
    layers = [
        seen.mark_line(strokeWidth=1.8).encode(y=y),
        seen.mark_point(filled=True, size=24, opacity=1, aria=False).encode(y=y),
    ]
    if len(between) == 2:
        low, high = between
        bars = base.transform_filter(_known(low, high)).mark_rule(strokeWidth=2, opacity=0.5, aria=False)
        layers.insert(0, bars.encode(y=alt.Y(f"{low}:Q", scale=limits, axis=up), y2=f"{high}:Q"))
    about = f"{titles[1]}, over {titles[0]}"
    return _panels(layers, rows, panel, about, width=_across(rows, panel, labels=180), height=HEIGHT)


def _checked(
    frame: pd.DataFrame, key: Sequence[str], drawn: Sequence[str], *, numbers: Sequence[str], named: str = ""
) -> pd.DataFrame:
    """The columns of the key and those that are drawn; no two rows have the same key.

    The column `named` becomes text: a scale of colours knows names, and draws nothing for a number.
    """
    columns = [*key, *drawn]
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(f"the table lacks {', '.join(missing)}; its columns are {', '.join(map(str, frame.columns))}")
    if frame.empty:
        raise InputError("the table has no rows, so there is nothing to draw; pass a table with rows")
    Table(name="drawn", row="a value", key=tuple(key), filled={}).require_unique(frame)
    if unusual := [column for column in columns if not PLAIN_NAME.fullmatch(column)]:
        raise InputError(f"a column called {unusual[0]!r} cannot be drawn; rename it without . : [ ] \\ and quotes")
    if frame.columns.duplicated().any():
        raise InputError("the table has several columns of the same name; leave one of each")
    rows = frame[list(dict.fromkeys(columns))].reset_index(drop=True).copy()
    for column in numbers:
        if not is_numeric_dtype(rows[column]) or is_bool_dtype(rows[column]) or np.isinf(rows[column]).any():
            raise InputError(f"column {column!r} cannot be drawn on an axis; give finite numbers, NaN where undefined")
    if rows[list(drawn)].isna().all(axis=None):
        raise InputError(f"every {drawn[0]!r} is undefined, so there is nothing to draw")
    if not named:
        return rows
    text = rows[named].map(str)
    if named in numbers or text.nunique() != rows[named].nunique(dropna=False):
        raise InputError(f"column {named!r} cannot tell colours apart; give one with a name for each, not on an axis")
    return rows.assign(**{named: text})


def _known(*columns: str) -> str:
    """A Vega expression: whether all of these columns are defined."""
    return " && ".join(f"isValid(datum[{column!r}])" for column in columns)


def _limits(rows: pd.DataFrame, columns: Sequence[str], scale: Scale, mark: float | None) -> alt.Scale:
    """The scale of an axis, which covers everything that is drawn on it."""
    wanted = extent(rows, columns, include=() if mark is None else (mark,))
    if scale != "symlog":
        return alt.Scale(type=scale, domain=wanted, nice=scale == "linear", padding=8)
    positive = [float(values.min()) for values in (rows[column][rows[column] > 0] for column in columns) if len(values)]
    return alt.Scale(type="symlog", constant=min(positive, default=1.0), domain=wanted, nice=False, padding=8)


def _axis(limits: alt.Scale, scale: Scale, *, title: str, grid: bool) -> alt.Axis:
    """An axis; if it is not linear, with ticks at powers of ten, and at three times these if there are few."""
    axis = alt.Axis(title=title, grid=grid, tickCount=6)
    if scale == "linear":
        return axis
    low, high = (float(end) for end in limits.domain)
    first = max(low, float(limits.constant) if scale == "symlog" else low)
    powers = range(int(np.floor(np.log10(first))), int(np.ceil(np.log10(high))) + 1)
    digits = (1, 3) if len(powers) < 5 else (1,)
    marks = [digit * 10.0**power for power in powers for digit in digits]
    axis.values = [0.0] * (low <= 0) + [mark for mark in marks if first <= mark <= high]
    axis.labelExpr, axis.labelOverlap = "format(datum.value, datum.value < 1 ? '~g' : '~s')", "greedy"
    return axis


def _panels(layers: list[alt.Chart], rows: pd.DataFrame, panel: str, about: str, **size: object) -> ChartType:
    chart = alt.layer(*layers, data=named("rows")).properties(**size)
    if not panel:
        return finish(chart, about=about, rows=rows)
    header = alt.Header(title=None, labelAnchor="start", labelFontSize=12, labelFontWeight=600)
    facet = alt.Facet(f"{panel}:N", sort=in_order(rows[panel]), header=header)
    return finish(chart.facet(facet, columns=IN_A_ROW, spacing=28), about=about, rows=rows)


def _across(rows: pd.DataFrame, panel: str, *, labels: int) -> int:
    """Width of a panel in pixels, if the labels next to all panels take `labels` pixels."""
    columns = min(rows[panel].nunique(), IN_A_ROW) if panel else 1
    return (WIDTH - labels) // columns - 28 * (columns - 1) // columns
