"""Does the ability appear suddenly, and does it still when the metric is continuous? Ability against size.

Two panels side by side, since a thresholded metric can make a smooth improvement look like a jump (Schaeffer, Miranda
and Koyejo, "Are Emergent Abilities of Large Language Models a Mirage?", 2023, https://arxiv.org/abs/2304.15004):
accuracy with its chance level, and the log-probability of the right answer.
"""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, extent, hover, in_order, named
from interp_emerge.figures._theme import DASHED, DOTTED, SOLID, WIDTH, finish, palette, upright_title
from interp_emerge.figures.base import Panel, checked, last_step

PANELS = {
    "accuracy": "Thresholded: accuracy, fraction of pairs",
    "log_prob": "Continuous: log-probability of the answer, nats",
}
HOVER = ("ability", "control", "size", "step", "seed", "n_parameters", "loss", "metric", "value", "ci_low", "ci_high")
VALUES = ("value", "ci_low", "ci_high")
BY_SIZE, BY_LOSS = "parameters", "loss"
LINES = alt.Scale(domain=["ability", "control", "chance"], range=[SOLID, DASHED, DOTTED])


@shelf.add
def ability_curve(ability: pd.DataFrame) -> ChartType:
    """Each ability against size at the last step: accuracy and log-probability, a point per seed, a line through means.

    Bars are 95% intervals over prompts. The horizontal axis switches between non-embedding parameters and held-out
    loss, if the table has the loss of every model.

    Raises:
        InputError: a column is missing, or the table holds neither accuracy nor log_prob.
    """
    rows = last_step(checked(ability, "ability"))
    metrics = [metric for metric in PANELS if (rows["metric"] == metric).any()]
    if not metrics:
        raise InputError(f"table 'ability' holds none of the metrics that this figure draws: {', '.join(PANELS)}")
    rows["line"] = rows["control"].map({True: "control", False: "ability"})
    colours = palette(in_order(rows["ability"]))
    switchable = bool(rows["loss"].notna().all())
    width = WIDTH // 2 - 40
    panels = [_panel(rows[rows["metric"] == metric], metric, colours, switchable, width) for metric in metrics]
    keys = ["metric", "ability", "line", "size"]
    means = rows.groupby(keys, sort=False)[["n_parameters", "loss", "value"]].mean().reset_index()
    chance = rows.loc[rows["metric"] == "accuracy", ["ability", "chance"]].drop_duplicates().assign(line="chance")
    chart = alt.hconcat(*panels, spacing=48)
    if switchable:
        switch = alt.binding_radio(
            options=[BY_SIZE, BY_LOSS], labels=["parameters", "held-out loss"], name="Horizontal axis  "
        )
        chart = chart.add_params(alt.param(name="x_axis", value=BY_SIZE, bind=switch))
    return finish(chart, rows=rows[rows["metric"].isin(metrics)], means=means, chance=chance)


def _panel(rows: pd.DataFrame, metric: str, colours: alt.Scale, switchable: bool, width: int) -> Panel:
    x, title = _horizontal(rows, switchable)
    limits = alt.Scale(domain=[0, 1]) if metric == "accuracy" else alt.Scale(domain=extent(rows, VALUES), nice=True)
    y = alt.Y("value:Q", scale=limits, axis=alt.Axis(**upright_title(PANELS[metric]), tickCount=6))
    below = {"title": None, "orient": "bottom"}
    colour = alt.Color("ability:N", scale=colours, legend=alt.Legend(**below, columns=6, symbolSize=120))
    dash = alt.StrokeDash("line:N", scale=LINES, legend=alt.Legend(**below, symbolType="stroke", symbolSize=225))
    place = "x_axis == 'loss' ? datum.loss : datum.n_parameters" if switchable else "datum.n_parameters"

    measured = (
        alt.Chart(named("rows"))
        .transform_filter(equal(metric=metric))
        .transform_calculate(x=place)
        .encode(x=x, color=colour)
    )
    bars = measured.mark_rule(strokeWidth=1.5, opacity=0.7).encode(y=alt.Y("ci_low:Q"), y2="ci_high:Q")
    columns = (*HOVER, "chance", "ceiling", "n_pairs")
    points = measured.mark_point(filled=True, size=44, opacity=1).encode(y=y, tooltip=hover(columns))
    means = alt.Chart(named("means")).transform_filter(equal(metric=metric)).transform_calculate(x=place)
    line = means.mark_line(strokeWidth=2)
    layers = [line.encode(x=x, y=y, color=colour, strokeDash=dash), bars, points]
    if metric == "accuracy":
        level = alt.Chart(named("chance")).mark_rule(strokeWidth=1.5)
        text = hover({"ability": "chance of", "chance": "accuracy"})
        layers.insert(0, level.encode(y="chance:Q", color=colour, strokeDash=dash, tooltip=text))
    return alt.layer(*layers, width=width, height=300, title=title)


def _horizontal(rows: pd.DataFrame, switchable: bool) -> tuple[alt.X, alt.TitleParams]:
    """The horizontal axis, and its title; a title that follows the switch cannot be the axis's own."""
    sizes = "Non-embedding parameters (log scale)"
    losses = "Held-out loss, nats per token (log scale, falling)"
    marks = _log_marks(rows["n_parameters"])

    def either(by_loss: Any, by_size: Any) -> Any:
        return {"expr": f"x_axis == 'loss' ? {by_loss!r} : {by_size!r}"} if switchable else by_size

    axis = alt.Axis(
        title=None,
        values=either(_even_marks(rows["loss"]) if switchable else [], marks),
        labelExpr="format(datum.value, datum.value < 100 ? '.3~f' : '.2~s')",
        labelOverlap="greedy",
        grid=False,
    )
    scale = alt.Scale(type="log", nice=False, padding=18)
    if switchable:
        scale.reverse = {"expr": "x_axis == 'loss'"}
    below = alt.TitleParams(text=either(losses, sizes), orient="bottom", anchor="middle", offset=10)
    return alt.X("x:Q", scale=scale, axis=axis), below


def _log_marks(values: pd.Series) -> list[float]:
    """One and three times each power of ten within the values."""
    powers = range(int(np.floor(np.log10(values.min()))), int(np.ceil(np.log10(values.max()))) + 1)
    marks = [digit * 10.0**power for power in powers for digit in (1, 3)]
    return [mark for mark in marks if values.min() * 0.8 <= mark <= values.max() * 1.25]


def _even_marks(values: pd.Series) -> list[float]:
    """About five round values at even distances within the values."""
    span = float(values.max() - values.min()) or float(values.max())
    unit = 10.0 ** np.floor(np.log10(span / 5))
    step = float(next(unit * digit for digit in (1, 2, 5, 10) if span / (unit * digit) <= 6))
    first = np.floor(values.min() / step)
    return [round(float(index * step), 10) for index in np.arange(first, values.max() / step + 1) if index > 0]
