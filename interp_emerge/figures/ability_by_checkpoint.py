"""Do models of different sizes with the same loss have the same abilities? Every size and step in one picture.

Over held-out loss, the checkpoints of all sizes lie on one curve if the loss alone decides what a model can do. If they
do not, size or training matters as well (Du et al., "Understanding Emergent Abilities of Language Models from the Loss
Perspective", 2024, https://arxiv.org/abs/2403.15796).
"""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, extent, hover, in_order, named
from interp_emerge.figures._scale import Switch, switch_over
from interp_emerge.figures._theme import DOTTED, MUTED, WIDTH, finish
from interp_emerge.figures.ability_curve import HOVER, PANELS, VALUES, rows_of

OFFERED = ("loss", "tokens", "flops")
"""The axes; parameters are not among them, since all checkpoints of a size have the same number."""
SMALL_TO_LARGE = alt.SchemeParams(name="viridis", extent=[0.92, 0.0])
"""Light to dark, for all kinds of colour vision, without the yellow that is too faint on white."""


@shelf.add
def ability_by_checkpoint(ability: pd.DataFrame, *, axis: str = "loss") -> ChartType:
    """Each ability at every checkpoint: one column for each ability, one row for each metric, one line for each run.

    Bars are 95% intervals over prompts. The horizontal axis switches between held-out loss, tokens and FLOPs of
    training, where the place of every checkpoint on the axis is known. Untrained models are drawn over loss only.

    Args:
        ability: the table, or what `ie.measure_grid` returns.
        axis: the axis shown first: `loss`, `tokens` or `flops`; if it is not offered, the first that is.

    Raises:
        InputError: a column is missing, the table has neither accuracy nor log_prob, or no axis can be drawn.
        UnknownNameError: there is no such axis.
    """
    rows = rows_of(ability)
    metrics = [metric for metric in PANELS if (rows["metric"] == metric).any()]
    if not metrics:
        raise InputError(f"table 'ability' has none of the metrics that this figure draws: {', '.join(PANELS)}")
    rows = rows.loc[rows["metric"].isin(metrics), [*HOVER, "chance"]]
    switch = switch_over(rows, OFFERED, start=axis)
    lines = [_line_of_panels(rows, metric, switch) for metric in metrics]
    chart = alt.vconcat(*lines, spacing=30, title=switch.title, params=switch.params)
    return finish(chart, about="Each ability at every checkpoint of every size", rows=rows)


def _line_of_panels(rows: pd.DataFrame, metric: str, switch: Switch) -> alt.FacetChart:
    abilities, here = in_order(rows["ability"]), rows[rows["metric"] == metric]
    limits = alt.Scale(domain=[0, 1]) if metric == "accuracy" else alt.Scale(domain=extent(here, VALUES), nice=True)
    vertical = alt.Axis(title=None, tickCount=5)
    y = alt.Y("value:Q", scale=limits, axis=vertical)
    size = alt.Color(
        "size:O",
        sort=in_order(rows["size"]),
        scale=alt.Scale(scheme=SMALL_TO_LARGE),
        legend=alt.Legend(title="size", orient="right", symbolType="circle", symbolSize=60),
    )
    runs = alt.Chart().encode(x=switch.x(padding=6), color=size, detail=alt.Detail("seed:N"))
    layers = [
        runs.mark_rule(strokeWidth=1, opacity=0.25).encode(y=alt.Y("ci_low:Q", axis=vertical), y2="ci_high:Q"),
        runs.mark_line(strokeWidth=1, opacity=0.45).encode(y=y, order="step:Q"),
        runs.mark_point(filled=True, size=16, opacity=0.9).encode(y=y, tooltip=hover((*HOVER, "chance"))),
    ]
    if metric == "accuracy":
        level = alt.Chart().mark_rule(strokeWidth=1.2, strokeDash=DOTTED, color=MUTED)
        layers.insert(0, level.encode(y=alt.Y("mean(chance):Q", axis=vertical)))
    width = max(90, min(380, (WIDTH - 110) // len(abilities) - 20))
    header = alt.Header(title=None, labelPadding=4, labelAnchor="start", labelFontWeight=600, labelFontSize=12)
    panels = alt.layer(*layers, width=width, height=150, data=named("rows"))
    return (
        panels.transform_filter(equal(metric=metric))
        .transform_calculate(x=switch.place)
        .transform_filter("datum.x > 0")
        .facet(
            column=alt.Column("ability:N", sort=abilities, header=header),
            spacing=20,
            bounds="flush",
            title=alt.TitleParams(PANELS[metric], anchor="start", offset=8),
        )
    )
