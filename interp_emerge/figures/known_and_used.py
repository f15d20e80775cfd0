"""What comes first: known, used, or the ability, over sizes and over training, as intervals on one axis."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.emergence.forming.tables import PROBE_ONSETS, Question
from interp_emerge.figures import shelf
from interp_emerge.figures._rows import equal, hover, in_order, named
from interp_emerge.figures._theme import WIDTH, finish, palette
from interp_emerge.figures.base import Panel, checked, only

DRAWN = (Question.KNOWN, Question.USED, Question.ABILITY)
HOVER = ("thing", "question", "axis", "at", "first_with", "ci_low", "ci_high", "verdict", "level", "lead", "answer")
THE_ABILITY = "the ability"
LINE, IN_A_ROW, LABELS = 26, 3, 230
"""Height of a line in pixels, number of panels in a row, and the room for names of variables in pixels."""


@shelf.add
def known_and_used(probe_onsets: pd.DataFrame) -> ChartType:
    """Onsets with their 95% intervals: over sizes, and over training steps (symmetric log) in a panel for each size.

    A line is a variable at a position; its colours are known and used. The lowest line is the ability. Nothing is drawn
    where an onset was not reached or is undefined, and no interval where one of its ends is open.

    Raises:
        InputError: a column is missing, or the table has several abilities.
    """
    rows = checked(probe_onsets, PROBE_ONSETS)
    only(rows, "ability", PROBE_ONSETS)
    sizes = in_order(rows.loc[rows["axis"] == "step", "at"])
    rows = rows[rows["question"].isin(DRAWN)].reset_index(drop=True)
    of_ability = rows["question"] == Question.ABILITY
    rows["thing"] = (rows["variable"] + " at " + rows["position"]).where(~of_ability, THE_ABILITY)
    rows = rows.drop_duplicates(["thing", "question", "axis", "at"]).reset_index(drop=True)
    things = [*(thing for thing in in_order(rows["thing"]) if thing != THE_ABILITY), THE_ABILITY]
    ends = ["first_with", "ci_low", "ci_high"]
    over_sizes, over_steps = (rows[rows["axis"] == axis].reset_index(drop=True) for axis in ("size", "step"))
    over_steps[ends] = over_steps[ends].apply(pd.to_numeric, errors="coerce")
    over_sizes[ends] = over_sizes[ends].astype(object).where(over_sizes[ends].astype(str) != "", None)
    known = [str(value) for value in pd.unique(over_sizes[ends].to_numpy().ravel()) if pd.notna(value)]
    order = [*dict.fromkeys([*sizes, *known])]
    at_sizes = alt.X(
        "first_with:N", sort=order, scale=alt.Scale(domain=order), axis=alt.Axis(title="size", labelAngle=0)
    )
    panels: list[ChartType] = [_panel("sizes", at_sizes, things, None, width=WIDTH - LABELS)] if order else []
    x = _steps(over_steps)
    for start in range(0, len(sizes), IN_A_ROW):
        line = [
            _panel("steps", x, things, size, width=(WIDTH - LABELS) // IN_A_ROW - 20, named_lines=place == 0)
            for place, size in enumerate(sizes[start : start + IN_A_ROW])
        ]
        panels.append(alt.hconcat(*line, spacing=20))
    about = "Where each variable is known and used, and the ability there"
    return finish(alt.vconcat(*panels, spacing=24), about=about, sizes=over_sizes, steps=over_steps)


def _panel(data: str, x: alt.X, things: list[str], size: str | None, *, width: int, named_lines: bool = True) -> Panel:
    """One panel: a line for each variable and position; `size` chooses the rows over steps of that size."""
    y = alt.Y(
        "thing:N",
        sort=things,
        scale=alt.Scale(domain=things),
        axis=alt.Axis(title=None, labels=named_lines, labelLimit=LABELS, grid=True),
    )
    colour = alt.Color(
        "question:N", scale=palette([str(one) for one in DRAWN]), legend=alt.Legend(title=None, orient="top")
    )
    base = alt.Chart(named(data))
    base = base if size is None else base.transform_filter(equal(at=size))
    base = base.encode(
        y=y,
        yOffset=alt.YOffset("question:N", sort=[str(one) for one in DRAWN]),
        color=colour,
        tooltip=hover(HOVER),
    )
    between = base.transform_filter("isValid(datum.ci_low) && isValid(datum.ci_high)")
    low = x.copy()
    low.shorthand = x.shorthand.replace("first_with", "ci_low")
    return alt.layer(
        between.mark_rule(strokeWidth=3, opacity=0.55, aria=False).encode(x=low, x2="ci_high"),
        base.transform_filter("isValid(datum.first_with)").mark_point(filled=True, size=44, opacity=1).encode(x=x),
        width=width,
        height=alt.Step(LINE, **{"for": "position"}),
        title=alt.TitleParams("over sizes, all seeds" if size is None else size, anchor="start", offset=6),
    )


def _steps(rows: pd.DataFrame) -> alt.X:
    """The axis of steps: linear up to the first step after 0, then logarithmic, with ticks at powers of ten."""
    steps = rows[["first_with", "ci_low", "ci_high"]].to_numpy(dtype=float)
    positive = steps[steps > 0]
    first, last = (int(positive.min()), int(positive.max())) if len(positive) else (1, 1)
    marks = [0, *(10**power for power in range(12) if first <= 10**power <= last)]
    scale = alt.Scale(type="symlog", constant=first, domain=[0, last], nice=False, padding=6)
    return alt.X(
        "first_with:Q",
        scale=scale,
        axis=alt.Axis(title="training step", values=marks, labelExpr="format(datum.value, '~s')"),
    )
