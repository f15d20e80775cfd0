"""A search field of a graph: the nodes whose text contains what the reader writes, and how many there are."""

import altair as alt
import pandas as pd

from interp_emerge.figures._rows import named
from interp_emerge.figures._theme import MUTED, ROLE_COLOURS

SEARCHED = "searched"
"""The column with the text of a node that is searched: its name, its role and its members."""
SEEKING = "trim(sought) != ''"
"""A Vega expression: whether the reader searches for something."""


def search_field(nodes: pd.DataFrame) -> alt.Parameter:
    """The field, empty with an example of what it finds among the nodes; its content is the parameter `sought`."""
    field = alt.BindInput(input="search", name="Find a node or role  ", placeholder=example(nodes))
    return alt.param(name="sought", value="", bind=field)


def example(nodes: pd.DataFrame) -> str:
    """The name of a head that plays a role, and the role; without such a head, the name of some node."""
    labels = nodes["label"].astype(object).fillna("").astype(str)
    nodes = nodes.assign(role=labels.str.split(", ").str[0].str.replace("_", " "))
    heads = nodes[nodes["kind"] == "head"]
    playing = heads[heads["role"].isin([role.replace("_", " ") for role in ROLE_COLOURS])]
    first = next(rows.iloc[0] for rows in (playing, heads, nodes) if len(rows))
    return f"{first['name']} or {first['role']}" if len(playing) else f"{first['name']}"


def searched_text(nodes: pd.DataFrame) -> pd.Series:
    """The text of each node that is searched."""
    known = nodes[[column for column in ("node", "label", "members") if column in nodes]].fillna("").astype(str)
    return known.agg(" ".join, axis=1).str.replace("_", " ").str.lower()


def is_found(column: str = SEARCHED) -> str:
    """A Vega expression: whether the text in a column contains what the reader searches for."""
    return f"({SEEKING} && indexof(datum[{column!r}], lower(trim(sought))) >= 0)"


def how_many(shown: str) -> alt.Chart:
    """A text in the upper left corner that says how many of the shown nodes are found.

    Args:
        shown: a Vega expression for whether a node is shown.
    """
    counted = (
        alt.Chart(named("nodes"))
        .transform_calculate(hit=f"{is_found()} && {shown} ? 1 : 0")
        .transform_aggregate(hits="sum(hit)")
        .transform_filter(SEEKING)
        .transform_calculate(said="datum.hits + (datum.hits == 1 ? ' node found' : ' nodes found')")
    )
    return counted.mark_text(align="left", baseline="top", fontSize=11, color=MUTED).encode(
        x=alt.value(2), y=alt.value(2), text="said:N"
    )
