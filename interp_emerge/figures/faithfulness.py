"""Is the circuit better than chance? Its faithfulness, and that of random circuits of the same size."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import CIRCUITS
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import extent, hover, in_order, named
from interp_emerge.figures._theme import HAIRLINE, MUTED, OKABE_ITO, WIDTH, finish, upright_title
from interp_emerge.figures.base import checked, last_step, only

HOVER = ("size", "step", "seed", "ability", "method", "metric", "faithfulness", "ci_low", "ci_high", "random_median")
HOVER += ("random_p95", "n_random", "n_edges", "n_graph_edges", "edge_share", "clean", "corrupt", "verdict")
FOUND, MEDIAN, P95 = "circuit, 95% interval over prompts", "random circuits, median", "random circuits, 95th percentile"


@shelf.add
def faithfulness(circuits: pd.DataFrame) -> ChartType:
    """Faithfulness of each size's circuit (fraction of the clean-corrupt gap), with quantiles of random circuits.

    Bars are 95% intervals over prompts. If faithfulness is undefined, the figure says so at its place.

    Raises:
        InputError: a column is missing, or the table has several abilities or methods.
    """
    rows = last_step(checked(circuits, CIRCUITS))
    for column in ("ability", "method"):
        only(rows, column, CIRCUITS)
    seeds = rows.groupby("size")["seed"]
    rows["offset"] = seeds.rank("dense") - (seeds.transform("nunique") + 1) / 2
    most = int(seeds.nunique().max())
    models = alt.Chart(named("rows")).encode(
        x=alt.X("size:N", sort=in_order(rows["size"]), axis=alt.Axis(title="size", labelAngle=0, grid=False)),
        xOffset=alt.XOffset("offset:Q", scale=alt.Scale(domain=[-most / 2, most / 2])),
    )
    colours = alt.Scale(domain=[FOUND, MEDIAN, P95], range=[OKABE_ITO[0], MUTED, OKABE_ITO[1]])
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", labelLimit=320, columns=2)
    drawn_columns = ["faithfulness", "ci_low", "ci_high", "random_median", "random_p95"]
    limits = alt.Scale(domain=extent(rows, drawn_columns, include=(0.0, 1.0)), nice=True)
    unit = upright_title("Faithfulness, fraction of the clean-corrupt gap")

    def drawn(mark: alt.Chart, column: str, name: str) -> alt.Chart:
        colour = alt.Color("what:N", scale=colours, legend=legend)
        y = alt.Y(f"{column}:Q", axis=alt.Axis(**unit, tickCount=6), scale=limits)
        return mark.transform_calculate(what=f"'{name}'").encode(y=y, color=colour, tooltip=hover(HOVER))

    levels = alt.Chart(named("levels")).mark_rule(color=HAIRLINE, strokeWidth=1.5)
    tick = 26 if most == 1 else 14
    bars = models.mark_rule(strokeWidth=2).encode(y2="ci_high:Q")
    undefined = models.transform_filter("!isValid(datum.faithfulness)").mark_text(angle=270, fontSize=11, color=MUTED)
    chart = alt.layer(
        levels.encode(y=alt.Y("level:Q")),
        drawn(models.mark_tick(thickness=2.5, width=tick, orient="horizontal"), "random_median", MEDIAN),
        drawn(models.mark_tick(thickness=2.5, width=tick, orient="horizontal"), "random_p95", P95),
        drawn(bars, "ci_low", FOUND),
        drawn(models.mark_point(filled=True, size=70, opacity=1), "faithfulness", FOUND),
        undefined.encode(y=alt.datum(0.5), text=alt.value("undefined"), tooltip=hover(HOVER)),
        width=WIDTH // 2 - 40,
        height=300,
    )
    about = "Faithfulness of each size's circuit, and of random circuits"
    return finish(chart, about=about, rows=rows, levels=pd.DataFrame({"level": [0.0, 1.0]}))
