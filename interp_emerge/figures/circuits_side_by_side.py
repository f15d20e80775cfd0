"""The circuits of two models side by side, with the matching of their heads and their overlap against its null."""

from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import CIRCUIT_EDGES
from interp_emerge.core.errors import InputError
from interp_emerge.figures import shelf
from interp_emerge.figures._layout import Layout, lay_out
from interp_emerge.figures._matrix import below, number
from interp_emerge.figures._rows import named
from interp_emerge.figures._theme import INK, WIDTH, finish
from interp_emerge.figures.base import checked, only
from interp_emerge.figures.circuit_graph import data_of, described, graph_layers

MODEL = ["size", "step", "seed"]
GAP, ROOM = 48, 150
"""Space between the circuits and for the legends, pixels."""
INDEX = ("similarity", "jaccard", "index")
"""The names under which tables of overlap hold it."""


@shelf.add
def circuits_side_by_side(
    circuit_edges: pd.DataFrame,
    *,
    match: pd.DataFrame | None = None,
    overlap: pd.DataFrame | None = None,
    most: int = 60,
) -> ChartType:
    """Two circuits, each from the embedding at the bottom to the logits on top; matched heads name each other.

    The first model of the table is on the left. Edges are drawn as in `circuit_graph`, widths on one scale.

    Args:
        circuit_edges: the table, of two models: two sizes, steps or seeds.
        match: which heads correspond, `match_heads(...).to_frame()`: the columns `a` and `b` name heads of the first
            and the second model. `≙` in a box comes before the name of the partner, `?` after it says that the partner
            is not identifiable.
        overlap: what the circuits share and what random circuits share, `overlap_by_match(...).to_frame()` or
            `overlap(...).to_frame()`; printed below the figure.
        most: most edges of each circuit that are drawn.

    Raises:
        InputError: a column is missing, the table has not two models, or several abilities.
    """
    rows = checked(circuit_edges, CIRCUIT_EDGES)
    only(rows, "ability", CIRCUIT_EDGES)
    models = [own.reset_index(drop=True) for _, own in rows.groupby(MODEL, sort=False)]
    if len(models) != 2:
        raise InputError(f"table 'circuit_edges' has the circuits of {len(models)} models; pass those of two")
    if most < 1:
        raise InputError(f"most cannot be {most}; draw at least one edge")
    titles, partners = _titles(models), _partners(match)
    width = (WIDTH - ROOM - GAP) // 2
    sides = [
        _moved(lay_out(own, width=width, most=most, labels=labels), title, float(at * (width + GAP)))
        for at, (own, labels, title) in enumerate(zip(models, partners, titles, strict=True))
    ]
    whole = replace(
        sides[0],
        nodes=pd.concat([side.nodes for side in sides], ignore_index=True),
        edges=pd.concat([side.edges for side in sides], ignore_index=True),
        folds=pd.concat([side.folds for side in sides], ignore_index=True),
        width=2 * width + GAP,
        height=max(side.height for side in sides) + 26,
        box=min(side.box for side in sides),
    )
    drawn = described(whole)
    heads = pd.DataFrame({"title": titles, "x": [width / 2, 1.5 * width + GAP], "y": whole.height - 9})
    named_models = alt.Chart(named("models")).mark_text(fontSize=14, fontWeight=700, color=INK).encode(
        x=alt.X("x:Q", scale=alt.Scale(domain=[0, whole.width]), axis=None),
        y=alt.Y("y:Q", scale=alt.Scale(domain=[0, whole.height]), axis=None),
        text="title:N",
    )  # fmt: skip
    layers = [*graph_layers(drawn, whole), named_models]
    left_out = [f"{title}: {side.note}" for title, side in zip(titles, sides, strict=True) if side.note]
    note = below("")
    note.text = [_shared(overlap), *left_out]
    chart = alt.layer(*layers, width=whole.width, height=whole.height, title=note)
    return finish(
        chart.resolve_scale(color="independent"),
        about=f"The circuits of {titles[0]} and {titles[1]} side by side",
        edges=drawn.drop(columns="into"),
        **data_of(whole),
        models=heads,
    )


def _titles(models: list[pd.DataFrame]) -> list[str]:
    """The names of both models: those fields in which they differ."""
    first, second = (own[MODEL].iloc[0] for own in models)
    differ = [name for name in MODEL if first[name] != second[name]]
    return [
        ", ".join(str(of[name]) if name == "size" else f"{name} {of[name]}" for name in differ)
        for of in (first, second)
    ]  # fmt: skip


def _partners(match: pd.DataFrame | None) -> list[dict[str, str]]:
    """What stands below the name of each head: its partner in the other model; for both models."""
    if match is None:
        return [{}, {}]
    missing = [name for name in ("a", "b") if name not in match]
    if missing:
        raise InputError(f"match lacks column {missing[0]!r}; give match_heads(...).to_frame()")
    pairs = match[(match["a"] != "") & (match["b"] != "")]
    sure = pairs["identifiable"].fillna(False).astype(bool) if "identifiable" in pairs else np.ones(len(pairs), bool)
    doubt = ["" if known else " ?" for known in sure]
    return [
        {one: f"≙ {other}{mark}" for one, other, mark in zip(pairs[here], pairs[there], doubt, strict=True)}
        for here, there in (("a", "b"), ("b", "a"))
    ]


def _moved(layout: Layout, title: str, by: float) -> Layout:
    """A layout further to the right, with names of nodes that tell the models apart."""
    shifted = {name: layout.nodes[name] + by for name in ("left", "right", "x")}
    edges = layout.edges.assign(
        xs=pd.Series([[x + by for x in xs] for xs in layout.edges["xs"]], index=layout.edges.index, dtype=object),
        writer=title + ": " + layout.edges["writer"],
        target=title + ": " + layout.edges["target"],
    )
    nodes = layout.nodes.assign(node=title + ": " + layout.nodes["node"], **shifted)
    return replace(layout, nodes=nodes, edges=edges, folds=layout.folds.assign(x=by))


def _shared(overlap: pd.DataFrame | None) -> str:
    """What the circuits share, and what random circuits do."""
    if overlap is None:
        return "Overlap: none given"
    index = next((name for name in INDEX if name in overlap), None)
    missing = [name for name in ("level", "random", "random_low", "random_high", "p_value") if name not in overlap]
    if index is None or missing or overlap.empty:
        lacking = f"lacks column {missing[0]!r}" if missing else f"has none of {', '.join(INDEX)}, or no rows"
        raise InputError(f"overlap {lacking}; give overlap_by_match(...).to_frame()")
    said = [
        f"{row['level']} {number(row[index])} (random circuits {number(row['random'])} "
        f"[{number(row['random_low'])}, {number(row['random_high'])}], p = {row['p_value']:.2g})"
        for row in overlap.to_dict("records")
    ]
    return "Overlap: " + "; ".join(said[:3])
