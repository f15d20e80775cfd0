"""Which heads matter: the effect of putting each head's and each MLP's clean value into the corrupt run."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, hover, named, shown
from interp_emerge.figures._theme import INK, MUTED, UNDEFINED, WIDTH, diverging, finish
from interp_emerge.figures.base import Panel, checked, last_step, only
from interp_emerge.patching.scores import NODE_SCORES

HOVER = ("node", "size", "step", "seed", "ability", "method", "metric", "score", "ci_low", "ci_high", "share")
MLP = "MLP"
HIGHEST = 640
"""Height of the tallest map, pixels, down to cells of 11 pixels."""
CLIPPED = 0.01
"""Largest share of the cells that may lie beyond the end of the colours; one cell always may."""
NAMED = 4
"""Most cells beyond the end of the colours that are named."""


@shelf.add
def head_effects(node_scores: pd.DataFrame) -> ChartType:
    """Heat maps of effects by layer and head at the last step, one for each size and seed; MLPs are an extra column.

    Colour is the score in the metric's unit, on one scale for all sizes; it is blue where the clean value raises the
    metric. A dot marks an effect whose 95% interval excludes zero. The embedding is not drawn: its effect, which is
    that of the whole prompt, is much larger than the others.

    The colours end at twice the effect that 1% of the cells (at least one cell) exceed, if an effect is larger. The
    cells beyond are outlined, and named with their effects below the figure.

    Raises:
        InputError: a column is missing, the table has no head or MLP, or several abilities, methods or metrics.
    """
    rows = last_step(checked(node_scores, NODE_SCORES, optional=["share"]))
    for column in ("ability", "method", "metric"):
        only(rows, column, NODE_SCORES)
    rows = rows[rows["kind"] != "embed"].reset_index(drop=True)
    if rows.empty:
        raise InputError("table 'node_scores' has no head and no MLP; score a model that has layers")
    rows["column"] = rows["index"].astype(str).where(rows["kind"] == "head", MLP)
    bound = _bound(rows["score"].abs())
    rows["beyond"] = rows["score"].abs() > bound
    models = list(rows.groupby(["size", "seed"], sort=False))
    alone = {size: len(seeds) == 1 for size, seeds in rows.groupby("size")["seed"].unique().items()}
    panels = [
        _panel(model, str(size) if alone[size] else f"{size}, seed {seed}", bound) for (size, seed), model in models
    ]
    lines = [alt.hconcat(*line, spacing=26) for line in _lines(panels, [_columns(model) for _, model in models])]
    note = _beyond(rows, bound)
    below = alt.TitleParams(note, orient="bottom", anchor="start", fontWeight="normal", color=MUTED, offset=10)
    chart = alt.vconcat(*lines, spacing=22, **({"title": below} if note else {})).resolve_scale(color="shared")
    return finish(chart, about="Effect of each head and MLP, by layer", rows=rows)


def _bound(strength: pd.Series) -> float:
    """The effect at which the colours end: the largest, unless a few cells would make all others look white."""
    ranked = strength.dropna().sort_values(ascending=False).to_numpy()
    if not len(ranked):
        return 1.0
    others = ranked[min(max(1, int(CLIPPED * len(ranked))), len(ranked) - 1)]
    return float(ranked[ranked <= 2 * others].max()) if others > 0 else float(ranked[0])


def _beyond(rows: pd.DataFrame, bound: float) -> str:
    """Which cells are beyond the end of the colours, with their effects; empty if none is."""
    cells = rows[rows["beyond"]]
    if cells.empty:
        return ""
    several = rows["size"].nunique() > 1
    named = [
        f"{cell.node}{f' of {cell.size}' if several else ''} ({cell.score:+.2g})" for cell in cells[:NAMED].itertuples()
    ]
    more = f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    return f"Colours end at ±{bound:.2g}. Beyond, outlined: {', '.join(named)}{more}"


def _columns(model: pd.DataFrame) -> list[str]:
    """Labels of the grid's columns: the heads by index, then the MLP."""
    heads = sorted(model.loc[model["kind"] == "head", "index"].unique())
    return [str(head) for head in heads] + ([MLP] if (model["kind"] == "mlp").any() else [])


def _panel(model: pd.DataFrame, title: str, bound: float) -> Panel:
    columns = _columns(model)
    layers = sorted(model["layer"].unique().tolist(), reverse=True)
    upright = alt.Axis(title="head", orient="bottom", labelAngle=0, ticks=False, domain=False, labelOverlap=False)
    of_model = equal(size=model["size"].iloc[0], seed=model["seed"].iloc[0])
    cells = (
        alt.Chart(named("rows"))
        .transform_filter(of_model)
        .encode(
            x=alt.X("column:N", sort=columns, axis=upright),
            y=alt.Y("layer:O", sort=layers, axis=alt.Axis(title="layer", ticks=False, domain=False)),
            tooltip=hover(HOVER),
            description=alt.value({"expr": f"datum.node + ': ' + {shown('datum.score')}"}),
        )
    )
    gradient = alt.Legend(
        title=f"effect on {model['metric'].iloc[0] or 'the metric'}", gradientLength=160, orient="right"
    )
    colours = alt.Color("score:Q", scale=diverging(bound), legend=gradient)
    undefined = cells.transform_filter("!isValid(datum.score)")
    certain = cells.transform_filter("isValid(datum.ci_low) && (datum.ci_low > 0 || datum.ci_high < 0)")
    dark = f"abs(datum.score) > {0.6 * bound}"
    dot = alt.when(dark).then(alt.value("white")).otherwise(alt.value(INK))
    step = _step(len(columns))
    return alt.layer(
        cells.mark_rect(stroke="white", strokeWidth=1.5).encode(color=colours),
        undefined.mark_rect(stroke="white", strokeWidth=1.5, color=UNDEFINED),
        cells.transform_filter("datum.beyond").mark_rect(filled=False, stroke=INK, strokeWidth=2.5),
        certain.mark_point(filled=True, size=9, opacity=0.85).encode(color=dot),
        width=alt.Step(step),
        height=alt.Step(min(step, max(11, HIGHEST // len(layers)))),
        title=alt.TitleParams(title, anchor="start", offset=6),
    )


def _step(n_columns: int) -> int:
    """Side of a cell in pixels: wide enough for the label MLP in small models, narrow enough for many heads."""
    return max(14, min(30, 600 // n_columns))


def _lines(panels: list[Panel], columns: list[list[str]]) -> list[list[Panel]]:
    """The panels in lines, with as many side by side as fit into the figure's width."""
    lines, free = [], 0
    for panel, labels in zip(panels, columns, strict=True):
        width = len(labels) * _step(len(labels)) + 75
        if width > free:
            lines.append([])
            free = WIDTH - 90
        lines[-1].append(panel)
        free -= width
    return lines
