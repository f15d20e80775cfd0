"""The style of figures: colours, fonts and line widths, set for one chart at a time and never globally."""

from typing import Any, TypeVar

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.figures._rows import records
from interp_emerge.figures._shown import showing_itself

AnyChart = TypeVar("AnyChart", bound=ChartType)

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
"""Okabe and Ito's palette for all kinds of colour vision; brown replaces its yellow, which is too faint on white."""
INK, MUTED, HAIRLINE, PALE = "#1a1a1a", "#5f6670", "#d9dde2", "#f3f5f7"
DIVERGING = ("#a8172b", "#dd6a54", "#f6c3aa", "#f7f7f6", "#b3d4e8", "#5499c7", "#1a5793")
"""Red below zero, blue above, white at zero: distinct under red-green colour blindness."""
GRID, UNDEFINED = "#eceff2", "#bdbdbd"
DARK = {
    "white": "#14181c", INK: "#f0f1f3", MUTED: "#b3bac3", HAIRLINE: "#4a515a", PALE: "#262d34", GRID: "#2a3037",
    UNDEFINED: "#6a7077", "#e4edf6": "#1f3347", "#f6eaf1": "#3d2735", "#fbf0d9": "#40341b",
    **dict(zip(OKABE_ITO, ("#4aa3df", "#f0803c", "#2fc79a", "#e09bc2", "#f0b840", "#8fd0f5", "#b8975a", "#b9bec5"),
               strict=True)),
    **dict(zip(DIVERGING, ("#ff8a80", "#d4554a", "#7d2f2f", "#23282e", "#1f4d70", "#3c8fc4", "#8fd0ff"), strict=True)),
}  # fmt: skip
"""What each colour of a figure becomes on a dark page."""
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
    return alt.Scale(range=[*DIVERGING], domain=[-bound, bound], clamp=True, interpolate="rgb")


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


def in_dark(part: Any) -> Any:
    """A specification, or a part of it, in the colours of a dark page; the rows that it draws are left as they are."""
    if isinstance(part, str):
        return DARK.get(part, part)
    if isinstance(part, list):
        return [in_dark(one) for one in part]
    if isinstance(part, dict):
        return {key: one if key == "datasets" else in_dark(one) for key, one in part.items()}
    return part


def finish(chart: AnyChart, *, about: str = "", **tables: pd.DataFrame) -> AnyChart:
    """The chart in the package's style, with the rows that it draws, by the names that its marks use.

    It shows itself wherever notebooks are read, and saves itself. `about` says what it shows, for readers who do not
    see it.
    """
    text = {"labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": 600}
    chart = chart.configure(
        font=FONT,
        background="white",
        axis=alt.AxisConfig(gridColor=GRID, domainColor=HAIRLINE, tickColor=HAIRLINE, titlePadding=8, **text),
        legend=alt.LegendConfig(symbolOpacity=1, symbolStrokeWidth=2, columnPadding=16, **text),
        header=alt.HeaderConfig(**text),
        title=alt.TitleConfig(color=INK, fontSize=12, fontWeight=600),
        view=alt.ViewConfig(stroke=None),
    )
    chart.datasets = {name: records(table) for name, table in tables.items()}
    if about:
        chart.description = about
    return showing_itself(chart)
