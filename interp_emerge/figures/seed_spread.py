"""Do training runs of one size agree? The accuracy of each seed, and how the seeds are spread."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.tables import SEEDS
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, hover, in_order, named
from interp_emerge.figures._theme import MUTED, OKABE_ITO, WIDTH, finish
from interp_emerge.figures.base import Panel, checked

HOVER = ("ability", "size", "n_seeds", "n_success", "p", "ci_low", "ci_high", "p_alike", "shape", "value")
IN_A_ROW = 3


@shelf.add
def seed_spread(seeds: pd.DataFrame) -> ChartType:
    """The accuracy of every training run by size, with the number that succeed: one panel for each ability.

    Each ring is a run; the bar spans the lowest to the highest. Above it stands how many runs of the size succeed. A
    size whose runs differ (p below 0.05 that all have the same accuracy) is drawn in the second colour.

    Raises:
        InputError: a column is missing, or the accuracies of the runs are not numbers.
    """
    rows = checked(seeds, SEEDS)
    rows["succeed"] = rows["n_success"].astype(str) + " of " + rows["n_seeds"].astype(str)
    rows["spread"] = (rows["p_alike"] < 0.05).map({True: "runs differ", False: "no difference shown"})
    values = rows["values"].map(_accuracies)
    rows["lowest"], rows["highest"] = values.map(min), values.map(max)
    runs = rows.assign(value=values).explode("value", ignore_index=True)
    abilities = in_order(rows["ability"])
    panels = [_panel(name, rows, min(len(abilities), IN_A_ROW)) for name in abilities]
    chart = alt.concat(*panels, columns=IN_A_ROW, spacing=22).resolve_scale(color="shared")
    return finish(chart, about="Accuracy of each training run, by size", rows=rows, runs=runs)


def _accuracies(text: object) -> list[float]:
    """The accuracies of a size's runs, which the table holds as one text."""
    try:
        found = [float(part) for part in str(text).split()]
    except ValueError:
        found = []
    if not found:
        raise InputError(f"the values of seeds are accuracies divided by spaces, such as '0.88 0.22', not {text!r}")
    return found


def _panel(ability: str, rows: pd.DataFrame, columns: int) -> Panel:
    y = alt.Scale(domain=[0, 1.08], nice=False)
    axis = alt.Axis(title="accuracy, fraction of pairs", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    colours = alt.Scale(domain=["no difference shown", "runs differ"], range=[OKABE_ITO[0], OKABE_ITO[1]])
    sizes = alt.X("size:N", sort=in_order(rows["size"]), axis=alt.Axis(title="size", labelAngle=0, grid=False))
    colour = alt.Color("spread:N", scale=colours, legend=alt.Legend(title=None, orient="top"))
    models, runs = (
        alt.Chart(named(name)).transform_filter(equal(ability=ability)).encode(x=sizes, color=colour)
        for name in ("rows", "runs")
    )
    counted = models.transform_filter("datum.n_seeds > 1")
    return alt.layer(
        models.mark_rule(strokeWidth=1.5, opacity=0.6).encode(y=alt.Y("lowest:Q", scale=y, axis=axis), y2="highest:Q"),
        runs.mark_point(size=46, strokeWidth=1.6, opacity=1).encode(
            y=alt.Y("value:Q", scale=y, axis=axis), tooltip=hover(HOVER)
        ),
        counted.mark_text(dy=-11, fontSize=9.5, color=MUTED).encode(y=alt.Y("highest:Q", scale=y), text="succeed:N"),
        width=(WIDTH - 70 * columns) // columns,
        height=190,
        title=alt.TitleParams(ability.replace("_", " "), anchor="start", offset=6),
    )
