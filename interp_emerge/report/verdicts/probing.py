"""When each variable is known and used, one row for each variable at each position."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.tables import PROBE_ONSETS, Question
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.report.text import HtmlTable, html_table
from interp_emerge.stats.intervals import UNDEFINED

Row = Mapping[Any, Any]
NO_ROW = "–"


def known_and_used_table(onsets: pd.DataFrame) -> HtmlTable:
    """The onsets over one axis: of knowledge, of use and of the ability, with what comes first."""
    meanings = {
        "variable": PROBE_ONSETS.columns["variable"],
        "position": PROBE_ONSETS.columns["position"],
        "known from": "where a probe first decodes it, with its 95% interval",
        "used from": "where the ability first uses it, with its 95% interval",
        "ability from": "where the ability is first there, with its 95% interval",
        "before use": f"whether it is known before it is used: {PROBE_ONSETS.columns['lead']}",
        "before ability": f"whether it is known before the ability is there: {PROBE_ONSETS.columns['lead']}",
        "embedding alone": "where a probe of the embedding first decodes it, with its 95% interval",
        "untrained": PROBE_ONSETS.columns["untrained"],
    }
    rows = []
    for (variable, position), of in onsets.groupby(["variable", "position"], sort=False):
        found = {row["question"]: row for row in of.to_dict("records")}
        known, embedded, used, ability = (found.get(question) for question in (
            Question.KNOWN, Question.EMBEDDING, Question.USED, Question.ABILITY))  # fmt: skip
        rows.append({
            "variable": variable,
            "position": position,
            "known from": onset_of(known),
            "used from": onset_of(used),
            "ability from": onset_of(ability),
            "before use": lead_of(used, known),
            "before ability": lead_of(ability, known),
            "embedding alone": onset_of(embedded),
            "untrained": None if known is None else known["untrained"],
        })  # fmt: skip
    return html_table(pd.DataFrame(rows, columns=pd.Index([*meanings])), meanings)


def onset_of(row: Row | None) -> str:
    """Where something begins, as a table's cell: `1,000 [800, 1,400]`, or the verdict. The sentences say why."""
    if row is None:
        return NO_ROW
    verdict = str(row["verdict"])
    if verdict in (UNDEFINED, OnsetVerdict.NOT_REACHED, OnsetVerdict.FROM_THE_START):
        return verdict
    found = f"{point(row['first_with'])} [{end(row['ci_low'])}, {end(row['ci_high'])}]"
    doubtful = (OnsetVerdict.LOST_AGAIN, OnsetVerdict.COMES_AND_GOES, OnsetVerdict.UNDECIDED)
    return f"{found}, {verdict}" if verdict in doubtful else found


def lead_of(row: Row | None, known: Row | None) -> str:
    """Whether knowledge comes before this, as a table's cell; what is never known comes neither before nor after."""
    if row is None or not isinstance(row["lead"], str) or not row["lead"]:
        return NO_ROW
    if known is not None and row["lead"] == "lags" and known["verdict"] == OnsetVerdict.NOT_REACHED:
        return "no, never known"
    return {"leads": "yes", "lags": "no, after it", UNDEFINED: UNDEFINED}.get(row["lead"], "cannot be told")


def point(value: object) -> str:
    """A size, or a step with separators."""
    text = str(value)
    return f"{int(text):,}" if text.isdigit() else text


def end(value: object) -> str:
    """An end of an interval of onsets; an onset may lie beyond the first or the last point."""
    return "open" if value in (None, "") or value != value else point(value)
