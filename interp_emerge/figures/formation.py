"""How the circuit forms: each measured quantity over training steps."""

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from interp_emerge.emergence.forming.tables import FORMATION
from interp_emerge.figures import shelf
from interp_emerge.figures._ordering import apart
from interp_emerge.figures._rows import equal, extent, hover, in_order, named
from interp_emerge.figures._theme import WIDTH, finish, palette_of_quantities
from interp_emerge.figures.base import checked, only

HOVER = ("quantity", "component", "size", "seed", "step", "ability", "value", "ci_low", "ci_high")
MODEL_QUANTITIES = {
    "accuracy": "The ability and its circuit, fraction",
    "faithfulness": "The ability and its circuit, fraction",
    "log_prob": "Log-probability of the answer, nats",
    "logit_diff": "Logit difference, nats",
}
ATTENTION = "Attention of heads to what their role attends to, fraction"
COPYING = "Copying by heads, rise of the predicted token's logit, nats"
EFFECTS = {
    "effect": "Effects of the circuit's heads and MLPs, rise of the metric",
    "edge effect": "Effects of the circuit's edges, rise of the metric",
}
SPACING, HEIGHT, LETTERS = 44, 170, 12
"""Space between panels, where the names of lines stand; height of a panel, and of a name, in pixels."""
PARTS = (ATTENTION, COPYING, *EFFECTS.values())
"""Rows with a line for each part of the circuit."""


@shelf.add
def formation(formation: pd.DataFrame) -> ChartType:
    """Values over training steps (symmetric log, to show step 0): one column for each size, one row for each kind.

    In the rows of parts, each line is one head's score for one role, or the effect of one node or edge. For each model,
    the line that is highest at the last step is drawn strongly and named; the others are faint, so that many can be
    seen at once. Bands are 95% intervals over prompts; faint lines have their intervals in the hover text.

    Raises:
        InputError: a column is missing, or the table has several abilities.
    """
    rows = checked(formation, FORMATION)
    only(rows, "ability", FORMATION)
    rows["row"] = rows["quantity"].map({**MODEL_QUANTITIES, **EFFECTS, "copying": COPYING}).fillna(ATTENTION)
    rows["faint"], rows["label"] = _highlights(rows)
    sizes = in_order(rows["size"])
    titles = [title for title in dict.fromkeys([*MODEL_QUANTITIES.values(), *PARTS]) if (rows["row"] == title).any()]
    rows["label_at"] = _heights(rows)
    lines = [_line_of_panels(rows[rows["row"] == title], title, sizes, rows["step"]) for title in titles]
    chart = alt.vconcat(*lines, spacing=34).resolve_scale(color="independent")
    return finish(chart, about="How the circuit forms over training steps", rows=rows)


def _highlights(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Whether each row's part is not the highest of its model; and the name of the highest, once for each size."""
    last = rows["step"] == rows.groupby(["size", "seed"])["step"].transform("max")
    ends = rows["value"].where(last & rows["row"].isin(PARTS))
    line = [rows[column] for column in ("size", "seed", "quantity", "component")]
    end = ends.groupby(line).transform("max")
    faint = rows["row"].isin(PARTS) & (end != end.groupby(line[:3]).transform("max"))
    highest = ends.dropna().groupby([rows["size"], rows["quantity"]]).idxmax()
    return faint, rows["component"].astype(object).where(rows.index.isin(highest), None)


def _heights(rows: pd.DataFrame) -> pd.Series:
    """Where the name of a line stands: at the height of its end, or as near to it as the names of others allow."""
    named_lines, heights = rows[rows["label"].notna()], pd.Series(np.nan, index=rows.index)
    for title, own in named_lines.groupby("row", sort=False):
        low, high = extent(rows[rows["row"] == title], ["value", "ci_low", "ci_high"], include=(0.0,))
        for _, panel in own.groupby("size", sort=False):
            gap = LETTERS / HEIGHT * (high - low)
            heights[panel.index] = low + apart(panel["value"].to_numpy(dtype=float) - low, gap=gap, span=high - low)
    return heights


def _line_of_panels(rows: pd.DataFrame, title: str, sizes: list[str], steps: pd.Series) -> alt.FacetChart:
    quantities = in_order(rows["quantity"])
    colour = alt.Color(
        "quantity:N",
        scale=palette_of_quantities(quantities),
        legend=alt.Legend(title=None, orient="top", symbolType="stroke", offset=18),
    )
    base = alt.Chart().encode(
        x=steps_axis(steps), color=colour, detail=[alt.Detail("component:N"), alt.Detail("seed:N")]
    )
    axis = alt.Axis(title=None, tickCount=5)
    zero = () if title in MODEL_QUANTITIES.values() and "nats" in title else (0.0,)
    limits = alt.Scale(domain=extent(rows, ["value", "ci_low", "ci_high"], include=zero), nice=True)
    y = alt.Y("value:Q", axis=axis, scale=limits)
    width = max(80, min(380, (WIDTH - 40) // len(sizes) - (SPACING if rows["label"].notna().any() else 26)))
    names = base.transform_filter("isValid(datum.label)")
    clear, faint = base.transform_filter("!datum.faint"), base.transform_filter("datum.faint")
    panels = alt.layer(
        faint.mark_line(strokeWidth=1, opacity=0.22).encode(y=y),
        faint.mark_point(filled=True, size=8, opacity=0.22).encode(y=y, tooltip=hover(HOVER)),
        clear.mark_area(opacity=0.16).encode(y=alt.Y("ci_low:Q", axis=axis, scale=limits), y2="ci_high:Q"),
        clear.mark_line(strokeWidth=1.8).encode(y=y),
        clear.mark_point(filled=True, size=20, opacity=0.9).encode(y=y, tooltip=hover(HOVER)),
        names.mark_text(align="left", dx=5, fontSize=10).encode(
            y=alt.Y("label_at:Q", axis=axis, scale=limits), text="label:N"
        ),
        width=width,
        height=HEIGHT,
        data=named("rows"),
    )
    header = alt.Header(
        title="training step",
        titleOrient="bottom",
        titlePadding=4,
        labelPadding=4,
        labelAnchor="start",
        labelFontWeight=600,
        labelFontSize=12,
    )
    return panels.transform_filter(equal(row=title)).facet(
        column=alt.Column("size:N", sort=sizes, header=header),
        spacing=SPACING if rows["label"].notna().any() else 26,
        title=alt.TitleParams(title, anchor="start", offset=8),
    )


def steps_axis(steps: pd.Series, *, title: str | None = None) -> alt.X:
    """The axis of steps: linear up to the first step after 0, then logarithmic, with ticks at powers of ten."""
    largest, positive = int(steps.max()), steps[steps > 0]
    first = int(positive.min()) if len(positive) else 1
    marks = [0, *(10**power for power in range(12) if first <= 10**power <= largest)]
    scale = alt.Scale(type="symlog", constant=first, domain=[int(min(steps.min(), 0)), max(largest, 1)], nice=False)
    axis = alt.Axis(title=title, values=marks, labelExpr="format(datum.value, '~s')", labelFlush=True, grid=False)
    return alt.X("step:Q", scale=scale, axis=axis)
