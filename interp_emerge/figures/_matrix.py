"""A matrix of values with the null that each is compared with printed in its cell."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from interp_emerge.figures._rows import hover, named
from interp_emerge.figures._theme import INK, MUTED, UNDEFINED, diverging
from interp_emerge.figures.base import Panel

CELL = (96, 50)
"""Width and height of a cell, pixels."""
WHITE_FROM = 0.62
"""From this share of the largest value on, a cell is so dark that its text is white."""


def matrix(
    *, across: str, up: str, orders: tuple[Sequence[str], Sequence[str]], value: str, title: str,
    lines: tuple[str, str], titles: tuple[str, str], columns: Sequence[str] | Mapping[str, str],
) -> Panel:  # fmt: skip
    """Cells coloured from red (-1) through white (0) to blue (1), each with two lines of text, of the data `rows`.

    Args:
        across: the column of the horizontal axis.
        up: the column of the vertical axis, first value at the top.
        orders: the values of both, in order.
        value: the column of the colour, a fraction.
        title: title of the colour's legend.
        lines: the columns with the two lines of text.
        titles: titles of both axes.
        columns: columns of the hover text.
    """
    x_axis = alt.Axis(title=titles[0], orient="top", labelAngle=0, ticks=False, domain=False, labelLimit=CELL[0] - 6)
    y_axis = alt.Axis(title=titles[1], ticks=False, domain=False, labelLimit=180)
    cells = alt.Chart().encode(
        x=alt.X(f"{across}:N", sort=list(orders[0]), axis=x_axis, scale=alt.Scale(domain=list(orders[0]))),
        y=alt.Y(f"{up}:N", sort=list(orders[1]), axis=y_axis, scale=alt.Scale(domain=list(orders[1]))),
        tooltip=hover(columns),
    )
    legend = alt.Legend(title=title, gradientLength=120, orient="right", values=[-1, -0.5, 0, 0.5, 1], format=".1f")
    colour = alt.Color(f"{value}:Q", scale=diverging(1.0), legend=legend)
    undefined = cells.transform_filter(f"!isValid(datum[{value!r}])")
    ink = alt.when(f"abs(datum[{value!r}]) > {WHITE_FROM}").then(alt.value("white")).otherwise(alt.value(INK))
    return alt.layer(
        cells.mark_rect(stroke="white", strokeWidth=2).encode(color=colour),
        undefined.mark_rect(stroke="white", strokeWidth=2, color=UNDEFINED),
        cells.mark_text(dy=-7, fontSize=13, fontWeight=600).encode(text=f"{lines[0]}:N", color=ink),
        cells.mark_text(dy=9, fontSize=9.5).encode(text=f"{lines[1]}:N", color=ink),
        width=alt.Step(CELL[0]),
        height=alt.Step(CELL[1]),
        data=named("rows"),
    )


def number(value: float) -> str:
    """A fraction with two digits, or `undefined`."""
    return "undefined" if pd.isna(value) else f"{value:.2f}".replace("-", "−")


def below(text: str) -> alt.TitleParams:
    """A line of text below a figure."""
    return alt.TitleParams(text, orient="bottom", anchor="start", fontWeight="normal", color=MUTED, offset=10)
