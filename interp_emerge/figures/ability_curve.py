"""Does the ability appear suddenly, and also under a continuous metric? Ability over scale.

There are two panels, since a thresholded metric can make a smooth improvement look like a jump (Schaeffer, Miranda
and Koyejo, "Are Emergent Abilities of Large Language Models a Mirage?", 2023, https://arxiv.org/abs/2304.15004):
accuracy with its chance level, and the log-probability of the correct answer.
"""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.abilities.tables import ABILITY
from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, extent, hover, in_order, named
from interp_emerge.figures._scale import AXES, Switch, switch_over
from interp_emerge.figures._theme import DASHED, DOTTED, SOLID, WIDTH, finish, palette, upright_title
from interp_emerge.figures.base import Panel, checked, last_step
from interp_emerge.stats.intervals import mean_interval
from interp_emerge.tables.schema import Table

PANELS = {
    "accuracy": "Thresholded: accuracy, fraction of pairs",
    "log_prob": "Continuous: log-probability of the answer, nats",
}
PLACES = [axis.column for axis in AXES.values()]
VALUES = ("value", "ci_low", "ci_high")
HOVER = ("ability", "control", "size", "step", "seed", *PLACES, "metric", *VALUES)
LINES = alt.Scale(domain=["ability", "control", "chance"], range=[SOLID, DASHED, DOTTED])


@shelf.add
def ability_curve(ability: pd.DataFrame, *, axis: str = "parameters") -> ChartType:
    """Accuracy and log-probability of each ability over scale at the last step; points are seeds, lines join means.

    Bars are 95% intervals over prompts. The horizontal axis switches between non-embedding parameters, tokens and FLOPs
    of training, and held-out loss. An axis is not offered if a model's place on it is unknown or all places are equal;
    so tokens are not offered if all sizes were trained on the same number.

    Args:
        ability: the table, or what `ie.measure_grid` returns: the same with a row for each prompt.
        axis: the axis shown first: `parameters`, `tokens`, `flops` or `loss`; if it is not offered, parameters.

    Raises:
        InputError: a column is missing, or the table has neither accuracy nor log_prob, or is that of one model's
            prompts, as `ie.abilities.measure` returns it.
        UnknownNameError: there is no such axis.
    """
    rows = last_step(rows_of(ability))
    metrics = [metric for metric in PANELS if (rows["metric"] == metric).any()]
    if not metrics:
        raise InputError(f"table 'ability' has none of the metrics that this figure draws: {', '.join(PANELS)}")
    rows["line"] = rows["control"].map({True: "control", False: "ability"})
    colours = palette(in_order(rows["ability"]))
    switch = switch_over(rows, AXES, start=axis, always=["parameters"])
    panels = [_panel(rows[rows["metric"] == metric], metric, colours, switch) for metric in metrics]
    keys = ["metric", "ability", "line", "size"]
    means = rows.groupby(keys, sort=False)[[*PLACES, "value"]].mean().reset_index()
    chance = rows.loc[rows["metric"] == "accuracy", ["ability", "chance"]].drop_duplicates().assign(line="chance")
    chart = alt.hconcat(*panels, spacing=48, params=switch.params)
    about = "Each ability over model size, at the last step"
    return finish(chart, about=about, rows=rows[rows["metric"].isin(metrics)], means=means, chance=chance)


def rows_of(ability: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table of abilities, whether they are means over prompts or values of single prompts.

    Raises:
        InputError: the rows are neither.
    """
    return checked(_over_prompts(ability) if "pair" in ability else ability, ABILITY)


def _over_prompts(measured: pd.DataFrame) -> pd.DataFrame:
    """The table of abilities for values of single prompts: means with their 95% intervals.

    What such values do not say is undefined: chance, ceiling, and the tokens and FLOPs of training. No ability counts
    as a control.

    Raises:
        InputError: the values are not those of several models.
    """
    keys = [*ABILITY.key]
    lacks = [name for name in (*keys, "n_parameters", "value") if name not in measured]
    if lacks:
        raise InputError(
            f"values of single prompts without {lacks[0]!r} cannot be drawn over scale; give the table that "
            "ie.measure_grid(family, abilities) returns, which has the models of several sizes"
        )
    Table(name="ability", row="a prompt", key=(*keys, "pair"), filled={}).require_unique(measured)
    rows = []
    for names, own in measured.groupby(keys, sort=False):
        about = dict(zip(keys, names, strict=True))
        interval = mean_interval(own["value"].to_numpy(dtype=float), share=about["metric"] == "accuracy")
        places = {name: own[name].iloc[0] for name in PLACES if name in own}
        rows.append({**about, **places, "control": False, **interval.columns("value", "ci"), "n_pairs": len(own)})
    return pd.DataFrame(rows, columns=pd.Index([*ABILITY.columns]))


def _panel(rows: pd.DataFrame, metric: str, colours: alt.Scale, switch: Switch) -> Panel:
    x = switch.x()
    limits = alt.Scale(domain=[0, 1]) if metric == "accuracy" else alt.Scale(domain=extent(rows, VALUES), nice=True)
    y = alt.Y("value:Q", scale=limits, axis=alt.Axis(**upright_title(PANELS[metric]), tickCount=6))
    below = {"title": None, "orient": "bottom"}
    colour = alt.Color("ability:N", scale=colours, legend=alt.Legend(**below, columns=6, symbolSize=120))
    dash = alt.StrokeDash("line:N", scale=LINES, legend=alt.Legend(**below, symbolType="stroke", symbolSize=225))
    points, means = (
        alt.Chart(named(name))
        .transform_filter(equal(metric=metric))
        .transform_calculate(x=switch.place)
        .transform_filter("datum.x > 0")
        .encode(x=x, color=colour)
        for name in ("rows", "means")
    )
    bars = points.mark_rule(strokeWidth=1.5, opacity=0.7).encode(y=alt.Y("ci_low:Q"), y2="ci_high:Q")
    columns = (*HOVER, "chance", "ceiling", "n_pairs")
    seeds = points.mark_point(filled=True, size=44, opacity=1).encode(y=y, tooltip=hover(columns))
    layers = [means.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash), bars, seeds]
    if metric == "accuracy":
        level = alt.Chart(named("chance")).mark_rule(strokeWidth=1.5)
        text = hover({"ability": "chance of", "chance": "accuracy"})
        layers.insert(0, level.encode(y="chance:Q", color=colour, strokeDash=dash, tooltip=text))
    return alt.layer(*layers, width=WIDTH // 2 - 40, height=300, title=switch.title)
