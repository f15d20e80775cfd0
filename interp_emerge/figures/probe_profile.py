"""Where in a model a variable can be decoded: layer by position, with the levels of the controls below."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, hover, in_order, named
from interp_emerge.figures._theme import INK, MUTED, WIDTH, finish
from interp_emerge.figures.base import Panel, checked, last_step, only
from interp_emerge.probing.tables import PROBE_SCORES

HOVER = (
    *("variable", "place", "position", "size", "step", "seed", "method", "accuracy", "ci_low", "ci_high"),
    *("majority", "shuffled", "selectivity", "untrained", "embedding", "gain", "compression", "fragility", "depth"),
)
UNTRAINED, EMBEDDING = "untrained", "embedding"
CELL, LABELS = 26, 90
"""Side of a cell, and the room for labels of positions, in pixels."""


@shelf.add
def probe_profile(probe_scores: pd.DataFrame) -> ChartType:
    """Heat maps of accuracy by layer and position at the last step: a row for each variable, a panel for each size.

    The two lowest lines of each map are controls on the same scale: the best layer of an untrained model, and the
    embedding alone. A dot marks a layer that decodes certainly more than the embedding (95% interval of the gain). Of
    several seeds the first is drawn.

    Raises:
        InputError: a column is missing, or the table has several abilities, probes or kinds of sites.
    """
    rows = last_step(checked(probe_scores, PROBE_SCORES))
    for column in ("ability", "method", "site"):
        only(rows, column, PROBE_SCORES)
    rows = rows[rows["seed"] == rows.groupby("size")["seed"].transform("min")].reset_index(drop=True)
    drawn = pd.concat([rows.assign(place=rows["layer"].astype(str)), *_controls(rows)], ignore_index=True)
    lines = [_lines(drawn, variable, in_order(rows["size"])) for variable in in_order(rows["variable"])]
    about = "What probes decode from each layer"
    return finish(alt.vconcat(*lines, spacing=26).resolve_scale(color="shared"), about=about, rows=drawn)


def _lines(drawn: pd.DataFrame, variable: str, sizes: list[str]) -> alt.VConcatChart:
    """The panels of one variable, with as many sizes side by side as fit into the figure's width."""
    each = LABELS + CELL * drawn.loc[drawn["variable"] == variable, "position"].nunique()
    many = max(1, (WIDTH - LABELS) // each)
    lines = [
        alt.hconcat(*(_panel(drawn, variable, size) for size in sizes[start : start + many]), spacing=18)
        for start in range(0, len(sizes), many)
    ]
    return alt.vconcat(*lines, spacing=14, title=alt.TitleParams(variable, anchor="start", offset=6))


def _controls(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """For each variable, position and size, the accuracy of the untrained model's best layer, and of the embedding."""
    keys = ["size", "step", "seed", "variable", "position", "method"]
    best = rows.groupby(keys, sort=False)[[UNTRAINED, EMBEDDING, "majority"]].max().reset_index()
    return [best.assign(place=name, accuracy=best[name]) for name in (UNTRAINED, EMBEDDING)]


def _panel(drawn: pd.DataFrame, variable: str, size: str) -> Panel:
    own = drawn[(drawn["variable"] == variable) & (drawn["size"].astype(str) == size)]
    layers = sorted({int(layer) for layer in own["layer"].dropna()}, reverse=True)
    order = [*map(str, layers), UNTRAINED, EMBEDDING]
    positions = in_order(own["position"])
    across = alt.Axis(title=None, labelAngle=-40, ticks=False, domain=False, labelLimit=LABELS, orient="bottom")
    cells = (
        alt.Chart(named("rows"))
        .transform_filter(equal(variable=variable, size=size))
        .encode(
            x=alt.X("position:N", sort=positions, axis=across),
            y=alt.Y("place:N", sort=order, axis=alt.Axis(title="layer", ticks=False, domain=False)),
            tooltip=hover(HOVER),
        )
    )
    legend = alt.Legend(title="accuracy", gradientLength=120, orient="right")
    colour = alt.Color("accuracy:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=legend)
    defined = alt.when("isValid(datum.accuracy)").then(colour).otherwise(alt.value("#bdbdbd"))
    dot = alt.when("datum.accuracy > 0.6").then(alt.value("white")).otherwise(alt.value(INK))
    return alt.layer(
        cells.mark_rect(stroke="white", strokeWidth=1.5).encode(color=defined),
        cells.transform_filter("isValid(datum.gain_low) && datum.gain_low > 0")
        .mark_point(filled=True, size=9, opacity=0.85)
        .encode(color=dot),
        width=alt.Step(CELL),
        height=alt.Step(CELL - 6),
        title=alt.TitleParams(size, anchor="start", offset=4, fontWeight="normal", color=MUTED),
    )
