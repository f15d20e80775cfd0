"""How does the held-out loss fall, and where does its slope change?"""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.tables import LOSS_CHANGES
from interp_emerge.figures import shelf
from interp_emerge.figures._ordering import apart
from interp_emerge.figures._rows import extent, hover, in_order, named
from interp_emerge.figures._theme import DASHED, INK, MUTED, WIDTH, finish, upright_title
from interp_emerge.figures.ability_by_checkpoint import SMALL_TO_LARGE
from interp_emerge.figures.ability_curve import rows_of
from interp_emerge.figures.formation import steps_axis

RUN = ["size", "seed"]
HOVER = ("size", "step", "seed", "loss", "tokens")
CHANGE = ("size", "seed", "before", "after", "ci_low", "ci_high", "slope_before", "slope_after", "jump", "p_value")
APART = 15
"""Least distance of the names of two lines, pixels."""
RIGHT, HEIGHT = WIDTH - 120, 320


@shelf.add
def loss_over_training(ability: pd.DataFrame, *, changes: pd.DataFrame | None = None) -> ChartType:
    """Held-out loss over training steps (symmetric log, to show step 0): a line for each run, sizes at the ends.

    Args:
        ability: the table, or what `ie.measure_grid` returns; its losses are drawn.
        changes: the study's table `loss_changes`. A dashed line with a bar over its 95% interval marks each change of
            slope.

    Raises:
        InputError: a column is missing, or no loss is known.
    """
    rows = rows_of(ability)[list(HOVER)].drop_duplicates([*RUN, "step"]).dropna(subset=["loss"])
    if rows.empty:
        raise InputError("table 'ability' has no held-out loss; give a study with passages to measure it on")
    rows = rows.reset_index(drop=True)
    marks = _changes(rows, changes)
    limits = extent(rows, ["loss"])
    ends = rows.loc[rows.groupby(RUN, sort=False)["step"].idxmax()].reset_index(drop=True)
    ends = ends.groupby("size", sort=False, as_index=False)["loss"].median()
    gap = APART / HEIGHT * (limits[1] - limits[0])
    at = apart(ends["loss"].to_numpy() - limits[0], gap=gap, span=limits[1] - limits[0]) + limits[0]
    ends = ends.assign(at=at)
    axis = alt.Axis(**upright_title("Held-out loss, nats per token"), tickCount=6)
    scale = alt.Scale(domain=limits, nice=True)
    x = steps_axis(rows["step"], title="training step")
    colour = alt.Color("size:O", sort=in_order(rows["size"]), scale=alt.Scale(scheme=SMALL_TO_LARGE), legend=None)
    runs = alt.Chart(named("rows")).encode(
        x=x, y=alt.Y("loss:Q", scale=scale, axis=axis), color=colour, detail="seed:N", tooltip=hover(HOVER)
    )
    names = alt.Chart(named("ends"))
    layers = [
        runs.mark_line(strokeWidth=1.6, opacity=0.8),
        runs.mark_point(filled=True, size=20, opacity=1),
        names.mark_rule(strokeWidth=1).encode(
            x=alt.value(RIGHT + 2), x2=alt.value(RIGHT + 16), y=alt.Y("loss:Q", scale=scale), y2="at:Q", color=colour
        ),
        names.mark_text(align="left", fontSize=11, color=INK).encode(
            x=alt.value(RIGHT + 19), y=alt.Y("at:Q", scale=scale), text="size:N"
        ),
    ]
    if len(marks):
        found = alt.Chart(named("changes")).encode(color=colour, tooltip=hover(CHANGE))
        layers += [
            found.mark_rule(strokeDash=DASHED, strokeWidth=1.2).encode(x=alt.X("place:Q", scale=x["scale"])),
            found.mark_rule(strokeWidth=5, opacity=0.35).encode(x="ci_low:Q", x2="ci_high:Q", y=alt.Y("loss:Q")),
        ]
    note = alt.TitleParams(
        _said(rows, changes, marks), orient="bottom", anchor="start", fontWeight="normal", color=MUTED
    )
    chart = alt.layer(*layers, width=RIGHT, height=HEIGHT, title=note)
    return finish(chart, about="Held-out loss over training steps", rows=rows, ends=ends, changes=marks)


def _changes(rows: pd.DataFrame, changes: pd.DataFrame | None) -> pd.DataFrame:
    """The changes of the runs that are drawn, with the place of their line, and the loss at which the bar is drawn."""
    if changes is None or changes.empty:
        return pd.DataFrame(columns=pd.Index([*CHANGE, "place", "loss"]))
    found = LOSS_CHANGES.check(changes)
    found = found[found["before"].notna() & found["after"].notna()][list(CHANGE)]
    after = rows.rename(columns={"step": "after"})[[*RUN, "after", "loss"]]
    found = found.astype({"after": rows["step"].dtype}).merge(after, on=[*RUN, "after"], how="inner")
    middle = ((1 + found["before"].astype(float)) * (1 + found["after"].astype(float))) ** 0.5 - 1
    return found.assign(place=middle)


def _said(rows: pd.DataFrame, changes: pd.DataFrame | None, marks: pd.DataFrame) -> str:
    if changes is None:
        return ""
    n_runs = len(rows.drop_duplicates(RUN))
    with_change = len(marks.drop_duplicates(RUN))
    return f"Dashed: changes of slope, with their 95% intervals; {with_change} of {n_runs} runs have one"
