"""When each variable is known and used, one row for each variable at each position."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.tables import PROBE_ONSETS, Question
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.report.numbers import between, is_missing, number, step
from interp_emerge.report.text import Because, HtmlTable, html_table
from interp_emerge.stats.intervals import UNDEFINED, Interval

Row = Mapping[Any, Any]
NO_ROW = Because("–", "the study has no row for this question")
NOT_LEARNED, PARTLY_LEARNED = "not learned", "partly learned"


def known_and_used_table(onsets: pd.DataFrame) -> HtmlTable:
    """The onsets over one axis: of knowledge, of use and of the ability, with what comes first."""
    meanings = {
        "variable": PROBE_ONSETS.columns["variable"],
        "position": PROBE_ONSETS.columns["position"],
        "known from": "where a probe first decodes it, with its 95% interval; “not learned” where an untrained model "
        "decodes it as well",
        "trained": "accuracy of the probe at the last point, in the best layer of the trained model, with its 95% "
        "interval",
        "untrained": PROBE_ONSETS.columns["untrained"],
        "embedding alone": "where a probe of the embedding first decodes it, with its 95% interval; what it decodes is "
        "known without any layer",
        "used from": "where the ability first uses it, with its 95% interval",
        "ability from": "where the ability is first there, with its 95% interval",
        "before use": "whether it is known before it is used, as the 95% intervals of both onsets say",
        "before ability": "whether it is known before the ability is there, as the 95% intervals of both onsets say; a "
        "variable that was not learned counts as known from the start",
    }
    rows = []
    for (variable, position), of in onsets.groupby(["variable", "position"], sort=False):
        found = {row["question"]: row for row in of.to_dict("records")}
        known, embedded, used, ability = (found.get(question) for question in (
            Question.KNOWN, Question.EMBEDDING, Question.USED, Question.ABILITY))  # fmt: skip
        rows.append({
            "variable": variable,
            "position": position,
            "known from": onset_of(known, learned(known)),
            "trained": NO_ROW if known is None else _level(known),
            "untrained": _untrained(known),
            "embedding alone": onset_of(embedded),
            "used from": onset_of(used),
            "ability from": onset_of(ability),
            "before use": lead_of(used, known),
            "before ability": lead_of(ability, known),
        })  # fmt: skip
    verdicts: dict[str, str] = dict.fromkeys(("known from", "embedding alone", "used from", "ability from"), "probe")
    verdicts |= dict.fromkeys(("before use", "before ability"), "lead")
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    return html_table(frame, meanings, numbers=("trained", "untrained"), verdicts=verdicts, n_labels=2)


def learned(known: Row | None) -> str:
    """Whether training made a variable known: `not learned` or `partly learned` if an untrained model decodes it too.

    It is not learned if the untrained accuracy lies above the threshold and the trained interval not above it.
    """
    if known is None or is_missing(known["untrained"]) or is_missing(known["first_with"]):
        return ""
    if known["untrained"] <= known["threshold"]:
        return ""
    lowest = known["level"] if is_missing(known["level_low"]) else known["level_low"]
    return PARTLY_LEARNED if lowest > known["untrained"] else NOT_LEARNED


def accuracies(known: Row) -> str:
    """The accuracy of the trained and of the untrained model, in words."""
    return f"trained {between(Interval.of(known, 'level'))}, untrained {number(known['untrained'])}"


def onset_of(row: Row | None, doubt: str = "") -> str | Because:
    """Where something begins, as a table's cell: `1,000 [800, 1,400]`, or the verdict, with the reason for it."""
    if row is None:
        return NO_ROW
    verdict, reason = str(row["verdict"]), "" if is_missing(row["reason"]) else str(row["reason"])
    if verdict == UNDEFINED:
        return Because(verdict, reason or "it was not measured")
    if verdict == OnsetVerdict.NOT_REACHED:
        last = f"{between(Interval.of(row, 'level'))} at the last point"
        return Because(verdict, f"{last}, at no point above the threshold of {number(row['threshold'])}")
    if verdict == OnsetVerdict.FROM_THE_START:
        return f"{verdict}, {doubt}" if doubt else verdict
    found = f"{step(row['first_with'])} [{end(row['ci_low'])}, {end(row['ci_high'])}]"
    doubtful = (OnsetVerdict.LOST_AGAIN, OnsetVerdict.COMES_AND_GOES, OnsetVerdict.UNDECIDED)
    said = ", ".join([found, *([verdict] if verdict in doubtful else []), *([doubt] if doubt else [])])
    return Because(said, reason) if reason and verdict == OnsetVerdict.UNDECIDED else said


def lead_of(row: Row | None, known: Row | None) -> str | Because:
    """Whether knowledge comes before this, as a table's cell; what is never known comes neither before nor after."""
    if row is None or known is None or is_missing(row["lead"]):
        return NO_ROW
    if row["lead"] == UNDEFINED:
        reason = next((str(one["reason"]) for one in (row, known) if str(one["verdict"]) == UNDEFINED), "")
        return Because(UNDEFINED, f"one of the two has no onset: {reason}" if reason else "one of the two has no onset")
    if row["lead"] == "lags" and known["verdict"] == OnsetVerdict.NOT_REACHED:
        return "no, never known"
    if row["lead"] == "leads" and (doubt := learned(known)):
        return f"yes, but {doubt} (trained {number(known['level'])}, untrained {number(known['untrained'])})"
    return {"leads": "yes", "lags": "no, after it"}.get(row["lead"], "cannot be told")


def end(value: object) -> str:
    """An end of an interval of onsets; an onset may lie beyond the first or the last point."""
    return "open" if is_missing(value) else step(value)


def _level(known: Row) -> str | Because:
    """The accuracy of the trained model."""
    if is_missing(known["level"]):
        return Because(UNDEFINED, str(known["reason"]) or "it was not measured")
    return between(Interval.of(known, "level"))


def _untrained(known: Row | None) -> str | Because:
    """The accuracy of an untrained model; without one, why."""
    if known is None:
        return NO_ROW
    if is_missing(known["untrained"]):
        return Because(UNDEFINED, "no untrained model was probed for it")
    return number(known["untrained"])
