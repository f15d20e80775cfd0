"""Which role does each head play? Heads by layer, one map for each size."""

from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.circuits.tables import ROLE_TABLE
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, hover, in_order, named
from interp_emerge.figures._theme import HAIRLINE, INK, MUTED, PALE, WIDTH, finish, palette_of_quantities
from interp_emerge.figures.base import Panel, checked, last_step

HOVER = {
    "node": "head", "size": "size", "step": "step", "seed": "seed", "plays_all": "plays", "scores": "scores",
    "in_circuit": "in circuit",
}  # fmt: skip
NONE = "none of these"


@shelf.add
def role_map(roles: pd.DataFrame) -> ChartType:
    """The roles that each head plays at the last step, by layer and head: one map for each size and seed.

    A letter and a colour stand for the first role that the head plays; a head with several bears several letters. A
    thick border marks a head of the circuit. The scores of all roles are in the hover text.

    Raises:
        InputError: a column is missing, or a score stands twice.
    """
    rows = last_step(checked(roles, ROLE_TABLE))
    names = in_order(rows["role"])
    heads = pd.DataFrame([_head(dict(zip(KEY, key, strict=True)), own) for key, own in rows.groupby(KEY, sort=False)])
    models = [(str(size), seed, own) for (size, seed), own in heads.groupby(["size", "seed"], sort=False)]
    alone = heads.groupby("size")["seed"].nunique()
    panels = [_panel(own, size if alone[size] == 1 else f"{size}, seed {seed}", names) for size, seed, own in models]
    lines, free = [], 0
    for panel, (_, _, own) in zip(panels, models, strict=True):
        width = own["index"].nunique() * _step(own) + 75
        if width > free:
            lines.append([])
            free = WIDTH - 130
        lines[-1].append(panel)
        free -= width
    chart = alt.vconcat(*(alt.hconcat(*line, spacing=22) for line in lines), spacing=20).resolve_scale(color="shared")
    return finish(chart, about="The role that each head plays, by layer and size", rows=heads)


KEY = ["size", "step", "seed", "node", "layer", "index"]


def _head(key: dict[str, object], rows: pd.DataFrame) -> dict[str, object]:
    """One head: the roles that it plays, their letters, and all its scores as text."""
    played = [str(role) for role in rows.loc[rows["plays"].astype(bool), "role"]]
    scores = ", ".join(
        f"{role.replace('_', ' ')} {'undefined' if pd.isna(score) else format(score, '.2g')}"
        for role, score in zip(rows["role"], rows["score"], strict=True)
    )
    return {
        **key,
        "role": played[0] if played else NONE,
        "letters": "".join(role[0].upper() for role in played),
        "plays_all": ", ".join(played).replace("_", " ") or NONE,
        "scores": scores,
        "in_circuit": bool(rows["in_circuit"].astype(bool).any()),
    }


def _step(own: pd.DataFrame) -> int:
    return max(12, min(30, 560 // max(own["index"].nunique(), own["layer"].nunique())))


def _panel(own: pd.DataFrame, title: str, names: list[str]) -> Panel:
    plain: dict[str, Any] = {"ticks": False, "domain": False, "labelOverlap": False}
    colours = palette_of_quantities([*names, NONE])
    colours.range = [*colours.range[: len(names)], PALE]
    letters = "{" + ", ".join(f"{name!r}: {name[0].upper() + ' · ' + name.replace('_', ' ')!r}" for name in names) + "}"
    legend = alt.Legend(
        title="role", orient="right", symbolType="square", labelExpr=f"({letters})[datum.label] || datum.label"
    )
    cells = (
        alt.Chart(named("rows"))
        .transform_filter(equal(size=own["size"].iloc[0], seed=own["seed"].iloc[0]))
        .encode(
            x=alt.X("index:O", axis=alt.Axis(title="head", orient="bottom", labelAngle=0, **plain)),
            y=alt.Y("layer:O", sort="descending", axis=alt.Axis(title="layer", **plain)),
            tooltip=hover(HOVER),
            description=alt.value({"expr": "datum.node + ': ' + datum.plays_all"}),
        )
    )
    ink = alt.when(f"datum.role == {NONE!r}").then(alt.value(MUTED)).otherwise(alt.value("white"))
    step, colour = _step(own), alt.Color("role:N", scale=colours, legend=legend)
    return alt.layer(
        cells.mark_rect(stroke=HAIRLINE, strokeWidth=0.6).encode(color=colour),
        cells.transform_filter("datum.in_circuit").mark_rect(filled=False, stroke=INK, strokeWidth=2),
        cells.mark_text(fontSize=min(11, step - 5), fontWeight=600).encode(text="letters:N", color=ink),
        width=alt.Step(step),
        height=alt.Step(step),
        title=alt.TitleParams(title, anchor="start", offset=6),
    )
