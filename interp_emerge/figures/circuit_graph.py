"""The circuit as a layered graph: which node feeds which, and how large the effect of each edge is.

It fits on one screen, at most 1,000 by 860 pixels, whatever the circuit. The weakest edges of a large circuit are left
out and counted; nodes without a drawn edge are folded into a number on the left of their layer.
"""

from collections.abc import Mapping

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import CIRCUIT_EDGES
from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._layout import BOX_HEIGHT, Layout, lay_out
from interp_emerge.figures._rows import hover, named
from interp_emerge.figures._theme import DASHED, INK, MUTED, OKABE_ITO, PALE, SOLID, WIDTH, finish
from interp_emerge.figures.base import checked, once, only

INTO = {"q": "queries", "k": "keys", "v": "values", "mlp": "MLP input", "logits": "logits"}
COLOURS = {"queries": 0, "keys": 1, "values": 2, "MLP input": 4, "logits": 7}
TOWARD, AWAY = "toward clean (+)", "away from clean (−)"
EDGE_HOVER = ("writer", "reader", "score", "size", "step", "seed", "ability")
NODE_HOVER = {
    "node": "node",
    "kind": "kind",
    "label": "role",
    "edges_in": "edges in",
    "score_in": "their sum, in",
    "strongest_in": "strongest in",
    "edges_out": "edges out",
    "score_out": "their sum, out",
    "strongest_out": "strongest out",
}
FOLD_HOVER = {"where": "not drawn", "nodes": "nodes"}
MOST = 120
"""Most edges that are drawn; more are not told apart on one screen."""
SLIDER_FROM = 20
"""Fewest edges that get a slider for the threshold."""


@shelf.add
def circuit_graph(
    circuit_edges: pd.DataFrame,
    *,
    most: int = MOST,
    roles: pd.DataFrame | Mapping[str, str] | None = None,
) -> ChartType:
    """One model's circuit, with embedding at the bottom and logits on top; a click on a node keeps its edges in view.

    An edge's width shows the size of its score (its effect on the metric), its colour the input that it feeds. It is
    dashed if it moves the metric away from the clean run. A head's queries enter its box on the left, keys in the
    middle, values on the right. Pointing at a node highlights its edges, and the slider hides weak ones.

    Args:
        circuit_edges: the table, of one model.
        most: most edges that are drawn, the strongest; the others are counted below the figure.
        roles: names of roles, written below those of the nodes: `{node: role}`, or a table with the columns `node` and
            `role` such as `ie.role_table(model)`, of which the roles that a head plays count.

    Raises:
        InputError: a column is missing, a node's name is unknown, `most` is not positive, or the table has the circuits
            of several models.
    """
    rows = checked(circuit_edges, CIRCUIT_EDGES)
    for column in ("ability", "size", "step", "seed"):
        only(rows, column, CIRCUIT_EDGES)
    once(rows, ["writer", "reader"], CIRCUIT_EDGES)
    if most < 1:
        raise InputError(f"most cannot be {most}; draw at least one edge")
    layout = lay_out(rows, width=WIDTH - 150, most=most, labels=_labels(roles))
    drawn = described(layout.edges)
    layers = graph_layers(drawn, layout)
    size = str(rows["size"].iloc[0])
    below = alt.TitleParams(layout.note, orient="bottom", anchor="start", fontWeight="normal", color=MUTED, offset=8)
    chart = alt.layer(*layers, width=layout.width, height=layout.height, **({"title": below} if layout.note else {}))
    return finish(
        chart.resolve_scale(color="independent"),
        about=f"The circuit{f' of {size}' if size else ''}, from the embedding to the logits",
        edges=drawn.drop(columns="into"),
        nodes=layout.nodes.drop(columns="rank"),
        folds=layout.folds,
    )


def described(edges: pd.DataFrame) -> pd.DataFrame:
    """The edges with what their marks show, weak ones first, so that strong ones lie above them."""
    edges = edges.assign(
        feeds=edges["into"].map(INTO),
        sign=(edges["score"] < 0).map({True: AWAY, False: TOWARD}),
        strength=edges["score"].abs(),
        edge=edges["writer"] + " → " + edges["reader"],
    )
    return edges.sort_values("strength", kind="stable", ignore_index=True)


def graph_layers(drawn: pd.DataFrame, layout: Layout) -> list[alt.Chart]:
    """The marks of a graph: its edges, then its nodes, which lie above them."""
    return [*_edges(drawn, layout), *_nodes(layout)]


def _labels(roles: pd.DataFrame | Mapping[str, str] | None) -> dict[str, str]:
    """The text below the names of nodes: roles, joined by a comma."""
    if roles is None:
        return {}
    if isinstance(roles, Mapping):
        return {str(node): str(role) for node, role in roles.items()}
    missing = [column for column in ("node", "role") if column not in roles]
    if missing:
        raise InputError(f"roles lacks column {missing[0]!r}; give ie.role_table(...) or {{node: role}}")
    played = roles[roles["plays"].astype(bool)] if "plays" in roles else roles
    names = played.groupby("node", sort=False)["role"].unique()
    return {str(node): ", ".join(str(role).replace("_", " ") for role in all_of) for node, all_of in names.items()}


def _edges(drawn: pd.DataFrame, layout: Layout) -> list[alt.Chart]:
    present = [name for name in COLOURS if (drawn["feeds"] == name).any()]
    colours = alt.Scale(domain=present, range=[OKABE_ITO[COLOURS[name]] for name in present])
    signs = [sign for sign in (TOWARD, AWAY) if (drawn["sign"] == sign).any()]
    dashes = alt.Scale(domain=signs, range=[SOLID if sign == TOWARD else DASHED for sign in signs])
    largest = float(drawn["strength"].max()) or 1.0
    light = min(1.0, 60 / max(len(drawn), 1))
    widths = alt.Scale(domain=[0, largest], range=[0.4 + 0.4 * light, 4.5 + 2.5 * light])
    thickness = alt.Legend(title="|score|", values=_marks(largest), symbolType="stroke", symbolSize=300)
    faint = alt.Scale(domain=[0, largest / 2], range=[0.18 + 0.22 * light, 0.85], clamp=True)
    by_strength = alt.Opacity("strength:Q", scale=faint, legend=None)
    by_sign = alt.Legend(title="effect", symbolType="stroke", symbolSize=300)
    by_input = alt.Legend(title="edge feeds", symbolType="stroke", symbolSize=300)
    touched = " || ".join(_holds(way, end) for way in WAYS for end in ("writer", "target"))
    chosen = " || ".join(f"isValid({way}.node)" for way in WAYS)
    hidden = f"({chosen}) && !({touched})"
    lines = (
        alt.Chart(named("edges"))
        .transform_flatten(["xs", "ys"], ["px", "py"])
        .mark_line(interpolate="natural", strokeCap="butt")
        .encode(
            x=alt.X("px:Q", scale=_pixels(layout.width), axis=None),
            y=alt.Y("py:Q", scale=_pixels(layout.height), axis=None),
            detail="edge:N",
            color=alt.Color("feeds:N", scale=colours, legend=by_input),
            strokeDash=alt.StrokeDash("sign:N", scale=dashes, legend=by_sign),
            strokeWidth=alt.StrokeWidth("strength:Q", scale=widths, legend=thickness),
            opacity=alt.when(hidden).then(alt.value(0.03)).otherwise(by_strength),
            order=alt.Order("py:Q"),
            tooltip=hover(EDGE_HOVER),
            description="edge:N",
        )
    )
    if len(drawn) < SLIDER_FROM:
        return [lines]
    highest, step = float(f"{largest:.3g}"), float(f"{largest / 100:.1g}")
    by_hand = alt.binding_range(name="Least |score|  ", min=0, max=highest, step=step)
    slider = alt.param(name="least", value=0, bind=by_hand)
    return [lines.transform_filter("datum.strength >= least || !isValid(datum.strength)").add_params(slider)]


WAYS = ("pointed", "pinned")
"""Pointing at a node shows its edges for the moment; a click on it keeps them in view, a click beside it ends that."""


def _holds(way: str, column: str) -> str:
    """A Vega expression: whether a selection holds the node in a column."""
    return f"(isValid({way}.node) && indexof({way}.node, datum.{column}) >= 0)"


def _nodes(layout: Layout) -> list[alt.Chart]:
    nodes = alt.Chart(named("nodes")).encode(tooltip=hover(NODE_HOVER), description="node:N")
    pointed = alt.selection_point(name="pointed", fields=["node"], on="pointerover", clear="pointerout", empty=False)
    pinned = alt.selection_point(name="pinned", fields=["node"], on="click", empty=False)
    kinds = alt.Scale(
        domain=["head", "key-value head", "mlp", "embed", "logits"], range=["#e4edf6", "#f6eaf1", "#fbf0d9", PALE, PALE]
    )
    x = alt.X("x:Q", scale=_pixels(layout.width), axis=None)
    y = alt.Y("y:Q", scale=_pixels(layout.height), axis=None)
    edge = alt.when(_holds("pinned", "node")).then(alt.value(2.5)).otherwise(alt.value(1))
    boxes = nodes.mark_rect(cornerRadius=min(5, layout.box / 4), stroke=MUTED).encode(
        x=alt.X("left:Q", scale=_pixels(layout.width), axis=None),
        x2="right:Q",
        y=alt.Y("bottom:Q", scale=_pixels(layout.height), axis=None),
        y2="top:Q",
        color=alt.Color("kind:N", scale=kinds, legend=None),
        strokeWidth=edge,
    )
    size, roomy = min(11.0, layout.box - 2), layout.box > BOX_HEIGHT
    text = nodes.encode(x=x, y=y)
    name = {"fontSize": size, "fontWeight": 600, "color": INK}
    labelled = "isValid(datum.label)"
    if roomy:
        names = [
            text.transform_filter(labelled).mark_text(**name, dy=-6).encode(text="name:N"),
            text.transform_filter(f"!{labelled}").mark_text(**name).encode(text="name:N"),
            text.transform_filter(labelled).mark_text(fontSize=9, color=INK, dy=8, limit=74).encode(text="label:N"),
        ]
    else:
        names = [text.mark_text(**name).encode(text="name:N")]
    folds = alt.Chart(named("folds")).mark_text(align="left", dx=2, fontSize=9, color=MUTED)
    folded = folds.encode(x=x, y=y, text=alt.Text("label:N"), tooltip=hover(FOLD_HOVER), description="where:N")
    return [boxes.add_params(pointed, pinned), *names, *([folded] if len(layout.folds) else [])]


def _pixels(extent: int) -> alt.Scale:
    """The scale of a coordinate that is already in pixels."""
    return alt.Scale(domain=[0, extent], nice=False, zero=False)


def _marks(largest: float) -> list[float]:
    """Values in the legend of widths: a quarter, a half and all of the largest score."""
    return [float(f"{largest * part:.2g}") for part in (0.25, 0.5, 1)]
