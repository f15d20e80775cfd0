"""When does each part of the circuit appear in training, compared with the ability?"""

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.tables import ONSETS
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, hover, in_order, named
from interp_emerge.figures._theme import OKABE_ITO, WIDTH, finish
from interp_emerge.figures.base import Panel, checked, only

STEPS = ("last_without", "first_with", "ci_low", "ci_high")
HOVER = ("quantity", "component", "at", "ability", *STEPS, "threshold", "verdict", "reason")
TITLE = "training step (log scale beyond the first)"
LINE = 17
"""Height of a line in pixels."""
ABILITY, PART = "the ability", "part of the circuit"


@shelf.add
def onset_intervals(onsets: pd.DataFrame) -> ChartType:
    """The training steps between which each part and the ability appear: one panel for each size, one line for each.

    A dot is the first step that has the quantity, the thin bar its 95% interval, the thick bar the gap between the
    checkpoints, within which nothing was measured. The pale band continues the ability's gap through the panel.
    Quantities that never appear have a cross at the last step of the panel.

    Raises:
        InputError: a column is missing, the table has several abilities, or no onset over training steps.
    """
    rows = checked(onsets, ONSETS)
    ability = only(rows, "ability", ONSETS)
    rows = rows[rows["axis"] == "step"].reset_index(drop=True)
    if rows.empty:
        raise InputError("table 'onsets' has no onset over training steps; give the models of several steps")
    rows[list(STEPS)] = rows[list(STEPS)].apply(pd.to_numeric)
    never = rows["first_with"].isna()
    rows["gap_low"] = rows["last_without"].where(~never).fillna(rows["first_with"])
    rows["gap_high"], rows["never"] = rows["first_with"], rows["last_without"].where(never)
    rows["part"] = rows["component"].astype(str) + ": " + rows["quantity"].astype(str).str.replace("_", " ")
    rows["what"] = np.where(rows["component"] == "model", ABILITY, PART)
    rows["at"] = rows["at"].astype(str)
    models = [own for _, own in rows.groupby("at", sort=False)]
    panels = [_panel(rows, own, TITLE if own is models[-1] else None) for own in models]
    chart = alt.vconcat(*panels, spacing=14).resolve_scale(color="shared", x="shared")
    return finish(chart, about=f"When {ability or 'the ability'} and the parts of its circuit appear", rows=rows)


def _panel(rows: pd.DataFrame, own: pd.DataFrame, title: str | None) -> Panel:
    steps = rows[list(STEPS)].to_numpy(dtype=float)
    largest = max(float(np.nanmax(steps)), 1.0) if np.isfinite(steps).any() else 1.0
    positive = steps[steps > 0]
    first = float(positive.min()) if len(positive) else 1.0
    scale = alt.Scale(type="symlog", constant=first, domain=[0, largest], nice=False, padding=8)
    marks = sorted({0.0, *steps[np.isfinite(steps)].tolist()})
    axis = alt.Axis(title=title, values=marks, labelExpr="format(datum.value, '~s')", labelOverlap="greedy", grid=True)
    colours = alt.Scale(domain=[ABILITY, PART], range=[OKABE_ITO[1], OKABE_ITO[0]])
    order = in_order(own.sort_values("what", key=lambda what: what != ABILITY, kind="stable")["part"])
    data = alt.Chart(named("rows")).transform_filter(equal(at=own["at"].iloc[0]))
    parts = data.encode(
        y=alt.Y("part:N", sort=order, axis=alt.Axis(title=None, labelLimit=260)),
        color=alt.Color("what:N", scale=colours, legend=alt.Legend(title=None, orient="top")),
        tooltip=hover(HOVER),
    )

    def at(column: str) -> alt.X:
        return alt.X(f"{column}:Q", scale=scale, axis=axis)

    reached = parts.transform_filter("isValid(datum.first_with)")
    sure = reached.transform_filter("isValid(datum.ci_low) && isValid(datum.ci_high)")
    band = data.transform_filter(f"datum.what == {ABILITY!r} && isValid(datum.first_with)")
    return alt.layer(
        band.mark_rect(color=OKABE_ITO[1], opacity=0.1).encode(x=at("gap_low"), x2="gap_high:Q"),
        reached.mark_rule(strokeWidth=7, opacity=0.3).encode(x=at("gap_low"), x2="gap_high:Q"),
        sure.mark_rule(strokeWidth=1.6).encode(x=at("ci_low"), x2="ci_high:Q"),
        reached.mark_point(filled=True, size=42, opacity=1).encode(x=at("first_with")),
        parts.transform_filter("isValid(datum.never)").mark_point(shape="cross", size=36).encode(x=at("never")),
        width=WIDTH - 360,
        height=alt.Step(LINE),
        title=alt.TitleParams(str(own["at"].iloc[0]), anchor="start", offset=4),
    )
