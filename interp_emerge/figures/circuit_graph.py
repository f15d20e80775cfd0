"""The circuit as a layered graph: which node feeds which, and how large the effect of each edge is."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import CIRCUIT_EDGES
from interp_emerge.figures import shelf
from interp_emerge.figures._layout import Layout, lay_out
from interp_emerge.figures._rows import hover, named
from interp_emerge.figures._theme import DASHED, INK, MUTED, OKABE_ITO, PALE, SOLID, WIDTH, finish
from interp_emerge.figures.base import checked, only

INTO = {"q": "queries", "k": "keys", "v": "values", "mlp": "MLP input", "logits": "logits"}
COLOURS = {"queries": 0, "keys": 1, "values": 2, "MLP input": 4, "logits": 7}
TOWARD, AWAY = "toward clean (+)", "away from clean (−)"
EDGE_HOVER = ("writer", "reader", "score", "size", "step", "seed", "ability")
NODE_HOVER = {
    "node": "node",
    "kind": "kind",
    "edges_in": "edges in",
    "score_in": "their score",
    "edges_out": "edges out",
    "score_out": "their score, out",
}
TOUCHED = (
    "!isValid(pointed.node) || indexof(pointed.node, datum.writer) >= 0 || indexof(pointed.node, datum.target) >= 0"
)


@shelf.add
def circuit_graph(circuit_edges: pd.DataFrame) -> ChartType:
    """One model's circuit, with embedding at the bottom and logits on top; pointing at a node highlights its edges.

    An edge's width shows the size of its score (its effect on the metric), its colour the input that it feeds. It is
    dashed if it moves the metric away from the clean run. A head's queries enter its box on the left, keys in the
    middle, values on the right.

    Raises:
        InputError: a column is missing, a node's name is unknown, or the table has the circuits of several models.
    """
    rows = checked(circuit_edges, CIRCUIT_EDGES)
    for column in ("ability", "size", "step", "seed"):
        only(rows, column, CIRCUIT_EDGES)
    layout = lay_out(rows, width=WIDTH - 150)
    drawn = layout.edges.assign(
        feeds=layout.edges["into"].map(INTO),
        sign=(layout.edges["score"] < 0).map({True: AWAY, False: TOWARD}),
        strength=layout.edges["score"].abs(),
        edge=layout.edges["writer"] + " → " + layout.edges["reader"],
    )
    drawn = drawn.sort_values("strength", kind="stable", ignore_index=True)
    boxes, labels = _nodes(layout)
    chart = alt.layer(_edges(drawn, layout), boxes, labels, width=layout.width, height=layout.height)
    return finish(
        chart.resolve_scale(color="independent"),
        about="The circuit, from the embedding to the logits",
        edges=drawn.drop(columns="into"),
        nodes=layout.nodes.drop(columns="rank"),
    )


def _edges(drawn: pd.DataFrame, layout: Layout) -> alt.Chart:
    present = [name for name in COLOURS if (drawn["feeds"] == name).any()]
    colours = alt.Scale(domain=present, range=[OKABE_ITO[COLOURS[name]] for name in present])
    signs = [sign for sign in (TOWARD, AWAY) if (drawn["sign"] == sign).any()]
    dashes = alt.Scale(domain=signs, range=[SOLID if sign == TOWARD else DASHED for sign in signs])
    largest = float(drawn["strength"].max()) or 1.0
    widths = alt.Scale(domain=[0, largest], range=[0.8, 7])
    thickness = alt.Legend(title="|score|", values=_marks(largest), symbolType="stroke", symbolSize=300)
    fading = alt.Opacity(
        "strength:Q", scale=alt.Scale(domain=[0, largest / 2], range=[0.4, 0.85], clamp=True), legend=None
    )
    return (
        alt.Chart(named("edges"))
        .transform_flatten(["xs", "ys"], ["px", "py"])
        .mark_line(interpolate="natural", strokeCap="butt")
        .encode(
            x=alt.X("px:Q", scale=_pixels(layout.width), axis=None),
            y=alt.Y("py:Q", scale=_pixels(layout.height), axis=None),
            detail="edge:N",
            color=alt.Color(
                "feeds:N", scale=colours, legend=alt.Legend(title="edge feeds", symbolType="stroke", symbolSize=300)
            ),
            strokeDash=alt.StrokeDash(
                "sign:N", scale=dashes, legend=alt.Legend(title="effect", symbolType="stroke", symbolSize=300)
            ),
            strokeWidth=alt.StrokeWidth("strength:Q", scale=widths, legend=thickness),
            opacity=alt.when(TOUCHED).then(fading).otherwise(alt.value(0.04)),
            order=alt.Order("py:Q"),
            tooltip=hover(EDGE_HOVER),
            description="edge:N",
        )
    )


def _nodes(layout: Layout) -> tuple[alt.Chart, alt.Chart]:
    nodes = alt.Chart(named("nodes")).encode(tooltip=hover(NODE_HOVER), description="node:N")
    pointed = alt.selection_point(name="pointed", fields=["node"], on="pointerover", clear="pointerout", empty=False)
    kinds = alt.Scale(
        domain=["head", "key-value head", "mlp", "embed", "logits"], range=["#e4edf6", "#f6eaf1", "#fbf0d9", PALE, PALE]
    )
    boxes = nodes.mark_rect(cornerRadius=5, stroke=MUTED, strokeWidth=1).encode(
        x=alt.X("left:Q", scale=_pixels(layout.width), axis=None),
        x2="right:Q",
        y=alt.Y("bottom:Q", scale=_pixels(layout.height), axis=None),
        y2="top:Q",
        color=alt.Color("kind:N", scale=kinds, legend=None),
    )
    labels = nodes.mark_text(fontSize=11, fontWeight=600, color=INK).encode(
        x=alt.X("x:Q", scale=_pixels(layout.width), axis=None),
        y=alt.Y("y:Q", scale=_pixels(layout.height), axis=None),
        text="node:N",
    )
    return boxes.add_params(pointed), labels


def _pixels(extent: int) -> alt.Scale:
    """The scale of a coordinate that is already in pixels."""
    return alt.Scale(domain=[0, extent], nice=False, zero=False)


def _marks(largest: float) -> list[float]:
    """Values in the legend of widths: a quarter, a half and all of the largest score."""
    return [float(f"{largest * part:.2g}") for part in (0.25, 0.5, 1)]
