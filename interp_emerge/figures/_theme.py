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
ROLE_COLOURS = {"previous_token": "#7a3e9d", "duplicate_token": "#2b7a78", "induction": "#b35900", "copying": "#a8326e"}
"""The colour of a role of heads, in figures and in the report's explorer: by its name, so it is the same everywhere."""
INPUT_COLOURS = {
    "queries": "#0072B2",
    "keys": "#D55E00",
    "values": "#009E73",
    "MLP input": "#9a6b00",
    "logits": "#444444",
}
"""The colour of an edge by the input that it feeds."""
NODE_COLOURS = {"head": "#e4edf6", "kv": "#f6eaf1", "mlp": "#fbf0d9"}
"""The colour of a node's box by its kind; a head that plays a role has that of the role over it."""
ROLE_TINT = 0.42
"""How strongly a role colours the box of a head."""
DIVERGING = ("#a8172b", "#dd6a54", "#f6c3aa", "#f7f7f6", "#b3d4e8", "#5499c7", "#1a5793")
"""Red below zero, blue above, white at zero: distinct under red-green colour blindness."""
GRID, UNDEFINED = "#eceff2", "#bdbdbd"
DARK = {
    "white": "#14181c", INK: "#f0f1f3", MUTED: "#b3bac3", HAIRLINE: "#4a515a", PALE: "#262d34", GRID: "#2a3037",
    UNDEFINED: "#6a7077", "#e4edf6": "#1f3347", "#f6eaf1": "#3d2735", "#fbf0d9": "#40341b", "#9a6b00": "#d6b25e",
    "#7a3e9d": "#c79be6", "#2b7a78": "#6cc7c3", "#b35900": "#f0a04b", "#a8326e": "#f08cbc",
    **dict(zip(OKABE_ITO, ("#4aa3df", "#f0803c", "#2fc79a", "#e09bc2", "#f0b840", "#8fd0f5", "#b8975a", "#b9bec5"),
               strict=True)),
    **dict(zip(DIVERGING, ("#ff8a80", "#d4554a", "#7d2f2f", "#23282e", "#1f4d70", "#3c8fc4", "#8fd0ff"), strict=True)),
}  # fmt: skip
"""What each colour of a figure becomes on a dark page."""


def blended(ground: str, colour: str, part: float) -> str:
    """A colour laid over a ground with an opacity; all as `#rrggbb`."""
    pairs = zip(bytes.fromhex(ground[1:]), bytes.fromhex(colour[1:]), strict=True)
    return "#" + "".join(f"{round(below + part * (above - below)):02x}" for below, above in pairs)


ROLE_TINTS = {role: blended(NODE_COLOURS["head"], colour, ROLE_TINT) for role, colour in ROLE_COLOURS.items()}
"""The colour of the box of a head that plays a role."""
DARK |= {
    ROLE_TINTS[role]: blended(DARK[NODE_COLOURS["head"]], DARK[of], ROLE_TINT) for role, of in ROLE_COLOURS.items()
}
FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, sans-serif"
WIDTH = 960
"""Width of a figure that fills the report's column, pixels."""
SOLID, DASHED, DOTTED = [1, 0], [6, 4], [1.5, 3]


def palette(values: list[Any]) -> alt.Scale:
    """A colour for each value; the same values in the same order always get the same colours."""
    return alt.Scale(domain=values, range=[OKABE_ITO[index % len(OKABE_ITO)] for index in range(len(values))])


def palette_of_quantities(values: list[Any]) -> alt.Scale:
    """A colour for each quantity: that of a role by its name, those of others by their order.

    Abilities are not quantities: one that is named like a role has no role's colour.
    """
    colours = [ROLE_COLOURS.get(value, OKABE_ITO[index % len(OKABE_ITO)]) for index, value in enumerate(values)]
    return alt.Scale(domain=values, range=colours)


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
