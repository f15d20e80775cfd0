"""The circuit as a layered graph: which node feeds which, and how large the effect of each edge is.

It fits on one screen, at most 1,000 by 860 pixels, whatever the circuit. The weakest edges of a large circuit are left
out and counted; nodes without a drawn edge are folded into a number on the left of their layer. Heads of one role can
be folded into one node.
"""

from collections.abc import Mapping

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import CIRCUIT_EDGES
from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._finding import SEARCHED, SEEKING, how_many, is_found, search_field, searched_text
from interp_emerge.figures._layout import BOX_HEIGHT, Layout, lay_out
from interp_emerge.figures._rows import hover, named
from interp_emerge.figures._supernodes import Within
from interp_emerge.figures._theme import (
    DASHED,
    INK,
    INPUT_COLOURS,
    MUTED,
    NODE_COLOURS,
    OKABE_ITO,
    PALE,
    ROLE_TINTS,
    SOLID,
    WIDTH,
    finish,
)
from interp_emerge.figures.base import checked, only

INTO = {"q": "queries", "k": "keys", "v": "values", "mlp": "MLP input", "logits": "logits"}
TOWARD, AWAY = "toward clean (+)", "away from clean (−)"
EDGE_HOVER = ("writer", "reader", "score", "size", "step", "seed", "ability")
FORM_HOVER = ("writer", "reader", "score", "n_edges", *EDGE_HOVER[3:])
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
SUPERNODE_HOVER = {**NODE_HOVER, "members": "members"}
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
    fold: Within | str = "layer",
) -> ChartType:
    """One model's circuit, with embedding at the bottom and logits on top; a click on a node keeps its edges in view.

    An edge's width shows the size of its score (its effect on the metric), its colour the input that it feeds. It is
    dashed if it moves the metric away from the clean run. A head's box has the colour of its first role. Its queries
    enter on the left, keys in the middle, values on the right. Pointing at a node highlights its edges, and the slider
    hides weak ones. What is written into the search field outlines the nodes whose name or role contains it.

    If several heads of a layer play the same role, a box below the figure folds them into one node, whose edges have
    the sums of the scores. A click on such a node unfolds it, a click on the minus sign of a head folds it again. On
    the figure's page Tab leads to the nodes, arrow keys go from one to the next, and Enter clicks.

    Args:
        circuit_edges: the table, of one model.
        most: most edges that are drawn, the strongest; the others are counted below the figure.
        roles: names of roles, written below those of the nodes: `{node: role}`, or a table with the columns `node` and
            `role` such as `ie.role_table(model)`, of which the roles that a head plays count.
        fold: where heads of the same role fold into one node: in each `layer`, or in the whole `graph`, where an edge
            may then lead downward.

    Raises:
        InputError: a column is missing, a node's name is unknown, `most` is not positive, or the table has the circuits
            of several models.
        UnknownNameError: `fold` is another text.
    """
    rows = checked(circuit_edges, CIRCUIT_EDGES)
    for column in ("ability", "size", "step", "seed"):
        only(rows, column, CIRCUIT_EDGES)
    if most < 1:
        raise InputError(f"most cannot be {most}; draw at least one edge")
    layout = lay_out(rows, width=WIDTH - 150, most=most, labels=_labels(roles), within=fold)
    drawn = described(layout)
    layers = graph_layers(drawn, layout)
    size = str(rows["size"].iloc[0])
    below = alt.TitleParams(layout.note, orient="bottom", anchor="start", fontWeight="normal", color=MUTED, offset=8)
    chart = alt.layer(*layers, width=layout.width, height=layout.height, **({"title": below} if layout.note else {}))
    return finish(
        chart.resolve_scale(color="independent"),
        about=f"The circuit{f' of {size}' if size else ''}, from the embedding to the logits",
        edges=drawn.drop(columns="into"),
        **data_of(layout),
    )


def data_of(layout: Layout) -> dict[str, pd.DataFrame]:
    """The rows of a graph's nodes, by the names that its marks use."""
    nodes = layout.nodes
    if len(layout.supernodes):
        nodes = pd.concat([nodes, layout.supernodes.assign(handle=layout.supernodes["node"])], ignore_index=True)
    first = nodes["label"].astype(object).str.split(", ").str[0].str.replace("_", " ")
    shade = first.where(first.isin([*BOXES]), nodes["kind"])
    nodes = nodes.drop(columns="rank").assign(**{SEARCHED: searched_text(nodes)}, shade=shade)
    return {"nodes": nodes, "folds": layout.folds}


def described(layout: Layout) -> pd.DataFrame:
    """The edges with what their marks show, weak ones first, so that strong ones lie above them."""
    nodes, edges = pd.concat([layout.nodes, layout.supernodes]), layout.edges
    searched = dict(zip(nodes["node"], searched_text(nodes), strict=True))
    edges = edges.assign(
        feeds=edges["into"].map(INTO),
        sign=(edges["score"] < 0).map({True: AWAY, False: TOWARD}),
        strength=edges["score"].abs(),
        edge=edges["writer"] + " → " + edges["reader"],
        **{f"{end}_{SEARCHED}": edges[end].map(searched) for end in ("writer", "target")},
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
    present = [name for name in INPUT_COLOURS if (drawn["feeds"] == name).any()]
    colours = alt.Scale(domain=present, range=[INPUT_COLOURS[name] for name in present])
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
    folding = "between" in drawn
    ends = ("writer", "target", *(("writer_group", "target_group") if folding else ()))
    touched = [_holds(way, end) for way in WAYS for end in ends] + [is_found(f"{end}_{SEARCHED}") for end in ends[:2]]
    touched += [f"(isValid({way}.node) && indexof(datum.between, {way}.node[0]) >= 0)" for way in WAYS if folding]
    chosen = " || ".join([f"isValid({way}.node)" for way in WAYS] + [SEEKING])
    hidden = f"({chosen}) && !({' || '.join(touched)})"
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
            tooltip=hover(FORM_HOVER if folding else EDGE_HOVER),
            description="edge:N",
        )
    )
    if folding:
        lines = lines.transform_filter(f"{_suits('writer')} && {_suits('target')}")
    if len(drawn) < SLIDER_FROM:
        return [lines]
    highest, step = float(f"{largest:.3g}"), float(f"{largest / 100:.1g}")
    by_hand = alt.binding_range(name="Least |score|  ", min=0, max=highest, step=step)
    slider = alt.param(name="least", value=0, bind=by_hand)
    return [lines.transform_filter("datum.strength >= least || !isValid(datum.strength)").add_params(slider)]


BOXES = {
    "head": NODE_COLOURS["head"],
    "supernode": NODE_COLOURS["head"],
    "key-value head": NODE_COLOURS["kv"],
    "mlp": NODE_COLOURS["mlp"],
    "embed": PALE,
    "logits": PALE,
    **{role.replace("_", " "): tint for role, tint in ROLE_TINTS.items()},
}
"""The colour of a node's box: that of the first role whose name stands in it, else that of its kind."""
NODE = "node"
"""What a mark that the keyboard reaches is called; the page's script looks for it."""
WAYS = ("pointed", "pinned")
"""Pointing at a node shows its edges for the moment; a click on it keeps them in view, a click beside it ends that."""


def _holds(way: str, column: str, field: str = "node") -> str:
    """A Vega expression: whether a selection holds the node in a column."""
    return f"(isValid({way}.{field}) && indexof({way}.{field}, datum.{column}) >= 0)"


def _is_folded(group: str) -> str:
    """A Vega expression: whether the supernode in a column is drawn in place of its members."""
    return f"(folding && isValid(datum.{group}) && !{_holds('opened', group, 'handle')})"


def _suits(end: str) -> str:
    """A Vega expression: whether this form of an edge suits what is folded at one of its ends."""
    return f"(datum.{end}_folded == {_is_folded(f'{end}_group')})"


def _nodes(layout: Layout) -> list[alt.Chart]:
    foldable = len(layout.supernodes) > 0
    shown = f"((datum.kind == 'supernode') == {_is_folded('group')})" if foldable else "true"
    about = SUPERNODE_HOVER if foldable else NODE_HOVER
    nodes = alt.Chart(named("nodes")).transform_filter(shown).encode(tooltip=hover(about), description="node:N")
    pointed = alt.selection_point(name="pointed", fields=["node"], on="pointerover", clear="pointerout", empty=False)
    pinned = alt.selection_point(name="pinned", fields=["node"], on="click", empty=False)
    x = alt.X("x:Q", scale=_pixels(layout.width), axis=None)
    y = alt.Y("y:Q", scale=_pixels(layout.height), axis=None)
    pins = [_holds("pinned", column) for column in ("node", *(["group"] if foldable else []))]
    width = alt.when(is_found()).then(alt.value(3)).when(" || ".join(pins)).then(alt.value(2.5))
    stacked = nodes.transform_filter("datum.kind == 'supernode'").mark_rect(
        cornerRadius=5, stroke=MUTED, xOffset=4, x2Offset=4, yOffset=-4, y2Offset=-4, aria=False
    )
    boxes = nodes.mark_rect(cornerRadius=min(5, layout.box / 4), ariaRoleDescription=NODE).encode(
        strokeWidth=width.otherwise(alt.value(1)),
        stroke=alt.when(is_found()).then(alt.value(OKABE_ITO[1])).otherwise(alt.value(MUTED)),
    )
    boxes, stacked = (
        box.encode(
            x=alt.X("left:Q", scale=_pixels(layout.width), axis=None),
            x2="right:Q",
            y=alt.Y("bottom:Q", scale=_pixels(layout.height), axis=None),
            y2="top:Q",
            color=alt.Color("shade:N", scale=alt.Scale(domain=[*BOXES], range=[*BOXES.values()]), legend=None),
        )
        for box in (boxes, stacked)
    )
    folds = alt.Chart(named("folds")).mark_text(align="left", dx=2, fontSize=9, color=MUTED)
    folded = folds.encode(x=x, y=y, text=alt.Text("label:N"), tooltip=hover(FOLD_HOVER), description="where:N")
    layers = [
        boxes.add_params(search_field(layout.nodes), pointed, pinned),
        *_names(nodes.encode(x=x, y=y), layout.box),
    ]
    layers += [folded] if len(layout.folds) else []
    return [*(_folding(layers, nodes, stacked, layout) if foldable else layers), how_many(shown)]


def _folding(layers: list[alt.Chart], nodes: alt.Chart, stacked: alt.Chart, layout: Layout) -> list[alt.Chart]:
    """The marks of nodes, of which heads of one role fold and unfold."""
    check = alt.param(name="folding", value=False, bind=alt.binding_checkbox(name="Fold heads of one role  "))
    opened = alt.selection_point(name="opened", fields=["handle"], on="click", toggle="true", clear=False, empty=False)
    member = f"folding && datum.kind != 'supernode' && {_holds('opened', 'group', 'handle')}"
    said = {"expr": "'Fold ' + datum.group"}
    minus = nodes.transform_filter(member).transform_calculate(handle="datum.group").mark_text(
        text="⊖", fontSize=12, color=INK, dx=-6, dy=1, ariaRoleDescription=NODE, cursor="pointer"
    )  # fmt: skip
    minus = minus.encode(
        x=alt.X("right:Q", scale=_pixels(layout.width), axis=None),
        y=alt.Y("top:Q", scale=_pixels(layout.height), axis=None),
        description=alt.value(said),
        tooltip=alt.value(said),
    )
    boxes, *others = layers
    return [stacked, boxes.add_params(check, opened), *others, minus]


def _names(text: alt.Chart, box: float) -> list[alt.Chart]:
    """The names of nodes, with their roles below them if boxes have the height for two lines."""
    name = {"fontSize": min(11.0, box - 2), "fontWeight": 600, "color": INK}
    if box <= BOX_HEIGHT:
        return [text.mark_text(**name).encode(text="name:N")]
    labelled = "isValid(datum.label)"
    return [
        text.transform_filter(labelled).mark_text(**name, dy=-6).encode(text="name:N"),
        text.transform_filter(f"!{labelled}").mark_text(**name).encode(text="name:N"),
        text.transform_filter(labelled).mark_text(fontSize=9, color=INK, dy=8, limit=74).encode(text="label:N"),
    ]


def _pixels(extent: int) -> alt.Scale:
    """The scale of a coordinate that is already in pixels."""
    return alt.Scale(domain=[0, extent], nice=False, zero=False)


def _marks(largest: float) -> list[float]:
    """Values in the legend of widths: a quarter, a half and all of the largest score."""
    return [float(f"{largest * part:.2g}") for part in (0.25, 0.5, 1)]
