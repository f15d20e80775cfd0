"""The style of figures: colours, fonts and line widths, set for one chart at a time and never globally."""

from typing import Any, TypeVar

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.figures._rows import records

AnyChart = TypeVar("AnyChart", bound=ChartType)

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
"""Okabe and Ito's palette for all kinds of colour vision; brown replaces its yellow, which is too faint on white."""
INK, MUTED, HAIRLINE, PALE = "#1a1a1a", "#5f6670", "#d9dde2", "#f3f5f7"
DIVERGING = "redblue"
"""Red below zero, blue above, white at zero: distinct under red-green colour blindness."""
FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, sans-serif"
WIDTH = 960
"""Width of a figure that fills the report's column, pixels."""
SOLID, DASHED, DOTTED = [1, 0], [6, 4], [1.5, 3]


def palette(values: list[Any]) -> alt.Scale:
    """A colour for each value; the same values in the same order always get the same colours."""
    return alt.Scale(domain=values, range=[OKABE_ITO[index % len(OKABE_ITO)] for index in range(len(values))])


def diverging(largest: float) -> alt.Scale:
    """Colours symmetric around zero: effects of equal size and opposite sign have colours of equal strength."""
    bound = abs(largest) or 1.0
    return alt.Scale(scheme=DIVERGING, domain=[-bound, bound])


def upright_title(text: str) -> dict[str, Any]:
    """Axis options that write a vertical axis's title horizontally above the axis."""
    return {
        "title": text,
        "titleAngle": 0,
        "titleAlign": "left",
        "titleAnchor": "end",
        "titleBaseline": "bottom",
        "titleX": 0,
        "titleY": -10,
    }


def finish(chart: AnyChart, **tables: pd.DataFrame) -> AnyChart:
    """The chart in the package's style, with the rows that it draws, by the names that its marks use."""
    text = {"labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": 600}
    chart = chart.configure(
        font=FONT,
        background="white",
        axis=alt.AxisConfig(gridColor="#eceff2", domainColor=HAIRLINE, tickColor=HAIRLINE, titlePadding=8, **text),
        legend=alt.LegendConfig(symbolOpacity=1, symbolStrokeWidth=2, columnPadding=16, **text),
        header=alt.HeaderConfig(**text),
        title=alt.TitleConfig(color=INK, fontSize=12, fontWeight=600),
        view=alt.ViewConfig(stroke=None),
    )
    chart.datasets = {name: records(table) for name, table in tables.items()}
    return chart
