"""What forms before the ability, and what after? The lag of each part of the circuit behind the ability."""

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from interp_emerge.emergence.forming.tables import LAGS
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import hover, in_order, named
from interp_emerge.figures._theme import INK, MUTED, OKABE_ITO, WIDTH, finish
from interp_emerge.figures.base import Panel, checked, only

VERDICTS = {"leads": 0, "lags": 1, "unresolved": 7}
HOVER = ("quantity", "component", "size", "seed", "ability", "steps_low", "steps_high", "crossing", "crossing_low")
HOVER += ("crossing_high", "verdict", "answer")
TITLE = "lag behind the ability, difference of ln(1 + training step); left: before it, right: after it"
LINE = 17
"""Height of a line in pixels."""


@shelf.add
def lead_and_lag(lags: pd.DataFrame) -> ChartType:
    """The lag of each part behind the ability as an interval on one axis of training time, a panel for each run.

    The axis is the difference of ln(1 + step), so that 0.69 is twice the number of steps; parts left of the line at 0
    form before the ability. A thick bar is the interval that the checkpoints allow for certain; an arrow marks an end
    without a bound. A dot with a thin bar is the lag of the interpolated crossings with its 95% interval.

    Raises:
        InputError: a column is missing, or the table has several abilities.
    """
    rows = checked(lags, LAGS)
    ability = only(rows, "ability", LAGS)
    rows["part"] = _named(rows)
    rows["verdict"] = rows["verdict"].astype(str)
    rows["kind"] = rows["verdict"].where(rows["verdict"].isin(VERDICTS), "undefined")
    ends = rows[["log_low", "log_high", "log_crossing_low", "log_crossing_high"]].to_numpy(dtype=float)
    finite = np.abs(ends[np.isfinite(ends)])
    reach = float(finite.max()) * 1.1 if len(finite) and finite.max() > 0 else 1.0
    for end, sign in (("low", -1), ("high", 1)):
        bound = rows[f"log_{end}"].astype(float)
        rows[f"open_{end}"] = np.isinf(bound)
        rows[f"drawn_{end}"] = bound.where(~np.isinf(bound), sign * reach)
    runs = [own for _, own in rows.groupby(["size", "seed"], sort=False)]
    rows["run"] = rows["size"].astype(str) + _seeds(rows)
    panels = [_panel(rows.loc[own.index], reach, TITLE if own is runs[-1] else None) for own in runs]
    chart = alt.vconcat(*panels, spacing=12).resolve_scale(color="shared", x="shared")
    return finish(chart, about=f"When each part forms, compared with {ability or 'the ability'}", rows=rows)


def _named(rows: pd.DataFrame) -> pd.Series:
    """A part's name: its component, and the quantity that says what it is."""
    quantity = rows["quantity"].astype(str).str.replace("_", " ")
    return rows["component"].astype(str).where(rows["component"] != "circuit", "circuit") + ": " + quantity


def _seeds(rows: pd.DataFrame) -> pd.Series:
    several = rows.groupby("size")["seed"].transform("nunique") > 1
    return (", seed " + rows["seed"].astype(str)).where(several, "")


def _panel(rows: pd.DataFrame, reach: float, title: str | None) -> Panel:
    run = str(rows["run"].iloc[0])
    x = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(title=title, grid=True, tickCount=7)
    colours = alt.Scale(
        domain=[*VERDICTS, "undefined"], range=[*(OKABE_ITO[at] for at in VERDICTS.values()), "#bdbdbd"]
    )
    shapes = alt.Scale(domain=[*VERDICTS, "undefined"], range=["triangle-left", "triangle-right", "circle", "square"])
    legend = alt.Legend(title=None, orient="top")
    parts = (
        alt.Chart(named("rows"))
        .transform_filter(alt.FieldEqualPredicate(field="run", equal=run))
        .encode(
            y=alt.Y("part:N", sort=in_order(rows["part"]), axis=alt.Axis(title=None, labelLimit=260)),
            color=alt.Color("kind:N", scale=colours, legend=legend),
            tooltip=hover(HOVER),
        )
    )
    certain = parts.transform_filter("isValid(datum.drawn_low) && isValid(datum.drawn_high)")
    crossing = parts.transform_filter("isValid(datum.log_crossing)")
    arrows = [
        certain.transform_filter(f"datum.open_{end}")
        .mark_text(text=arrow, fontSize=13, dx=shift)
        .encode(x=alt.X(f"drawn_{end}:Q", scale=x, axis=axis))
        for end, arrow, shift in (("low", "◂", 2), ("high", "▸", -2))
    ]
    return alt.layer(
        alt.Chart().mark_rule(color=INK, strokeWidth=1.2).encode(x=alt.datum(0, scale=x)),
        certain.mark_rule(strokeWidth=7, opacity=0.3).encode(
            x=alt.X("drawn_low:Q", scale=x, axis=axis), x2="drawn_high:Q"
        ),
        *arrows,
        crossing.mark_rule(strokeWidth=1.5).encode(
            x=alt.X("log_crossing_low:Q", scale=x, axis=axis), x2="log_crossing_high:Q"
        ),
        crossing.mark_point(filled=True, size=42, opacity=1).encode(
            x=alt.X("log_crossing:Q", scale=x, axis=axis), shape=alt.Shape("kind:N", scale=shapes, legend=legend)
        ),
        width=WIDTH - 360,
        height=alt.Step(LINE),
        title=alt.TitleParams(run, anchor="start", offset=4, color=MUTED),
        data=named("rows"),
    )
