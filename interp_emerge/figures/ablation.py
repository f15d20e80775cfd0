"""Does the model need the circuit's heads? Accuracy without them, and without random heads of the same layers."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import ABLATION
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import hover, in_order, named
from interp_emerge.figures._theme import WIDTH, finish, palette, upright_title
from interp_emerge.figures.base import checked, last_step, only

HOVER = ("size", "step", "seed", "ability", "condition", "draw", "heads", "accuracy", "ci_low", "ci_high")
NOTHING = "none"
"""The condition in which nothing is ablated."""


@shelf.add
def ablation(ablation: pd.DataFrame) -> ChartType:
    """Accuracy of each size with nothing, the circuit's heads, or random heads ablated; points are draws and seeds.

    Bars are 95% intervals over prompts. If a condition has several draws, a tick marks their mean instead.

    Raises:
        InputError: a column is missing, or the table has several abilities.
    """
    rows = last_step(checked(ablation, ABLATION))
    only(rows, "ability", ABLATION)
    sizes, conditions = in_order(rows["size"]), in_order(rows["condition"])
    conditions.sort(key=lambda condition: condition != NOTHING)
    draws = rows.groupby(["size", "condition"], sort=False)["draw"].transform("nunique")
    rows["repeated"] = draws > 1
    colour = alt.Color(
        "condition:N",
        scale=palette(conditions),
        legend=alt.Legend(title="ablated", orient="bottom", labelLimit=320, symbolType="circle"),
    )
    models = alt.Chart(named("rows")).encode(
        x=alt.X("size:N", sort=sizes, axis=alt.Axis(title="size", labelAngle=0, grid=False)),
        xOffset=alt.XOffset("condition:N", sort=conditions),
        color=colour,
    )
    axis = alt.Axis(**upright_title("Accuracy, fraction of pairs"), tickCount=6)
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), axis=axis)
    single = models.transform_filter("!datum.repeated").mark_rule(strokeWidth=2)
    size = alt.when("datum.repeated").then(alt.value(22)).otherwise(alt.value(70))
    faint = alt.when("datum.repeated").then(alt.value(0.45)).otherwise(alt.value(1))
    points = models.mark_point(filled=True).encode(y=y, size=size, opacity=faint, tooltip=hover(HOVER))
    means = models.transform_filter("datum.repeated").mark_tick(thickness=2.5, width=16, orient="horizontal")
    chart = alt.layer(
        single.encode(y=alt.Y("ci_low:Q", axis=axis), y2="ci_high:Q"),
        points,
        means.encode(y=alt.Y("mean(accuracy):Q", axis=axis)),
        width=WIDTH // 2 - 40,
        height=300,
    )
    return finish(chart, about="Accuracy without the circuit's heads, and without random heads", rows=rows)
