"""Where each quantity first appears, as a table."""

from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.tables import ONSETS
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.report.numbers import is_missing, number, step
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import Because, html_table, words
from interp_emerge.report.vocabulary import ONSET, TERMS
from interp_emerge.stats.intervals import UNDEFINED

SHOWN = ("ability", "quantity", "component", "axis", "at", "last_without", "first_with", "threshold", "verdict")
READING = (
    "Accuracies are from the prompts of “Ability over scale”, parts of circuits from those that circuits are judged by."
)
LAST_WITHOUT, NEVER = "none", "never"
NO_POINT = "the first point of the axis has it, so there is no point without it"


def onsets(study: StudyRecord) -> list[Block]:
    """Every onset, over sizes and over training."""
    meanings = {column: ONSETS.columns[column] for column in SHOWN}
    meanings["first_with"] = (
        "first point of the axis with the quantity, with its 95% interval from one-sided tests at each point. “Never” "
        "is an end beyond the last point"
    )
    meanings["at"] = "the size, if the axis is step; over sizes all of them"
    rows = [_cells(row) for row in study.table(ONSETS).to_dict("records")]
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    numbers = ("last_without", "first_with", "threshold")
    table = html_table(frame, meanings, source=ONSETS.name, numbers=numbers, verdicts={"verdict": "onset"}, n_labels=5)
    return [Block(table=table, reading=[READING])]


def _cells(row: dict[Any, Any]) -> dict[str, Any]:
    """What the table says of one onset; where a number is missing or open, why."""
    verdict, why = str(row["verdict"]), _why(row)
    without, first = row["last_without"], row["first_with"]
    undefined = verdict.startswith(UNDEFINED)
    none = Because(UNDEFINED, why) if undefined else Because(LAST_WITHOUT, NO_POINT)
    never = Because(UNDEFINED if undefined else NEVER, why)
    return {
        **{name: words(row[name]) for name in ("ability", "quantity", "axis")},
        "component": row["component"],
        "at": "all sizes" if is_missing(row["at"]) else row["at"],
        "last_without": none if is_missing(without) else step(without),
        "first_with": never if is_missing(first) else _first(row),
        "threshold": Because(UNDEFINED, why) if is_missing(row["threshold"]) else number(row["threshold"]),
        "verdict": Because(verdict, why) if row["reason"] and not is_missing(row["reason"]) else verdict,
    }


def _first(row: dict[Any, Any]) -> str:
    """The first point with a quantity and its interval, if the table has one."""
    low, high = row["ci_low"], row["ci_high"]
    ends = f" [{step(low)}, {step(high)}]"
    return step(row["first_with"]) + ("" if is_missing(low) and is_missing(high) else ends)


def _why(row: dict[Any, Any]) -> str:
    """Why an onset has no step, or what is open about it."""
    verdict, reason = str(row["verdict"]), row["reason"]
    if not is_missing(reason) and reason:
        return str(reason)
    word, _, why = verdict.partition(": ")
    if why:
        return f"{why}, so half of it is undefined and so is its onset"
    if word == OnsetVerdict.NOT_REACHED:
        low = row["ci_low"]
        may = "certainly so at every one" if is_missing(low) else f"but within noise it may be from {step(low)} on"
        return f"above the threshold at no measured point, {may}"
    return str(ONSET.meanings.get(word, verdict))


shelf.add(
    Section(
        name="onsets",
        place=80,
        title="Onsets",
        lead="Over sizes, all training seeds count together; over training steps, only the first seed of each size.",
        reads=(ONSETS,),
        nothing="no onset was sought",
        vocabularies=(ONSET, TERMS),
        blocks=onsets,
    )
)
