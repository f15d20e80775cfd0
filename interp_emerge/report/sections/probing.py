"""What a model knows of the ability's variables, what it uses, and which comes first."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.tables import PROBE_ONSETS, Question
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.probing.tables import PROBE_SCORES
from interp_emerge.report.numbers import between, number, step
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, parts, tabled
from interp_emerge.report.verdicts.probing import accuracies, end, known_and_used_table, learned
from interp_emerge.report.vocabulary import PROBE, TERMS
from interp_emerge.stats.intervals import UNDEFINED, Interval

Row = Mapping[Any, Any]
KNOWN_AND_USED = (
    "A variable is known where a probe of the best layer has an accuracy half-way from the most frequent class to 1. "
    "It is used where exchanging it moves the clean-corrupt gap beyond placebos, half as far as at the last point. "
    "Where an untrained model decodes a variable as well, the table calls it not learned, and “before” says nothing "
    "about training."
)
NEVER = {"size": "at no size", "step": "at no step"}


def what_is_known(study: StudyRecord) -> list[Block]:
    """Maps of accuracy, onsets of knowledge and use, and a sentence for each variable at each position."""
    blocks = []
    onsets = study.table(PROBE_ONSETS)
    for heading, names, rows in parts(study.table(PROBE_SCORES), ["ability", "method"]):
        caption = (
            f"Accuracy of {names['method']} probes on held-out prompts, at the last step of each size's first seed. "
            "The two lowest lines are controls: the best layer of an untrained model, and the embedding alone. A dot "
            "marks a layer that decodes certainly more than the embedding."
        )
        picture = chart("probe_profile", rows, f"What is known, {names['ability']}", caption)
        blocks.append(Block(pictures=[picture], fold=f"Figure: what is known{_of(heading)}"))
    for heading, names, rows in parts(onsets, ["ability"]):
        caption = (
            "Where each variable is first known and first used, and where the ability is first there. Bars are 95% "
            "intervals; an onset without a bar has an open end. Known is an accuracy half-way from the most frequent "
            "class to 1, in the best layer; used is half of the last share of the clean-corrupt gap that an exchange "
            "moves beyond placebos."
        )
        picture = chart("known_and_used", rows, f"Known, used and there, {names['ability']}", caption)
        blocks.append(Block(pictures=[picture], fold=f"Figure: known, used and there{_of(heading)}"))
    over_sizes, over_steps = onsets[onsets["axis"] == "size"], _of_largest(onsets)
    return [
        *tabled("Over sizes", known_and_used_table(over_sizes), [*sentences(over_sizes)], reading=KNOWN_AND_USED),
        *tabled(
            "Over the training of the largest size",
            known_and_used_table(over_steps),
            [*sentences(over_steps)],
            folded=True,
        ),
        *blocks,
    ]


def _of(heading: str | None) -> str:
    return f", {heading}" if heading else ""


def sentences(onsets: pd.DataFrame) -> Iterator[str]:
    """For each variable and position, when it is known, used, and decoded by the embedding alone, and the leads."""
    keys = ["variable", "position", "axis", "at"]
    for values, rows in onsets.groupby(keys, sort=False):
        variable, position, axis, at = map(str, values)
        by_question = {row["question"]: row for row in rows.to_dict("records")}
        known, embedded, used, ability = (by_question.get(question) for question in (
            Question.KNOWN, Question.EMBEDDING, Question.USED, Question.ABILITY))  # fmt: skip
        where = f" ({at})" if axis == "step" else ""
        said = [] if known is None else [f"is {onset(known, 'decodable', axis)}{_untrained(known)}"]
        said += [f"this was {doubt}: {accuracies(known)}"] if known is not None and (doubt := learned(known)) else []
        said += [] if used is None else [onset(used, "used", axis)]
        said += [] if embedded is None else [_alone(embedded, axis)]
        if known is None or known["verdict"] != OnsetVerdict.NOT_REACHED:  # what is never known has no lead
            said += [lead for lead in (_lead(used, "use", known), _lead(ability, "ability", known)) if lead]
        yield f"{variable.capitalize()} at the position “{position}”{where} {'; '.join(said)}."


def onset(row: Row, what: str, axis: str) -> str:
    """Where something begins with its interval, or why that is not told: `used from step 4,000 [3,200, 5,600]`."""
    verdict = str(row["verdict"])
    if verdict == UNDEFINED:
        return f"{what}: {UNDEFINED} ({row['reason']})"
    level = f"{between(Interval.of(row, 'level'))} at the last"
    if verdict == OnsetVerdict.NOT_REACHED:
        return f"{what} {NEVER[axis]} ({level})"
    if verdict == OnsetVerdict.FROM_THE_START:
        return f"{what} from the start ({level})"
    found = f"{what} from {axis} {step(row['first_with'])} [{end(row['ci_low'])}, {end(row['ci_high'])}] on"
    if verdict in (OnsetVerdict.LOST_AGAIN, OnsetVerdict.COMES_AND_GOES):
        later = "lost again" if verdict == OnsetVerdict.LOST_AGAIN else "not at all later points"
        return f"{found}, but {later} ({level})"
    if verdict == OnsetVerdict.UNDECIDED:
        return f"{found}, undecided ({row['reason']})"
    return found


def _alone(row: Row, axis: str) -> str:
    """Whether the embedding alone decodes the variable."""
    verdict = str(row["verdict"])
    if verdict == UNDEFINED:
        return f"from the embedding alone: {UNDEFINED}"
    if verdict == OnsetVerdict.NOT_REACHED:
        return f"the embedding alone does not decode it ({number(row['level'])})"
    if verdict == OnsetVerdict.FROM_THE_START:
        return "the embedding alone decodes it from the start"
    return f"from the embedding alone it is {onset(row, 'decodable', axis)}"


def _untrained(row: Row) -> str:
    if pd.isna(row["untrained"]) or learned(row):
        return ""
    return f", in an untrained model with accuracy {number(row['untrained'])}"


def _lead(row: Row | None, what: str, known: Row | None) -> str:
    """The lead of knowledge over use or ability, in words; empty if one of them is undefined."""
    if row is None or not isinstance(row["lead"], str) or row["lead"] in ("", UNDEFINED):
        return ""
    answer = {"leads": "it is known before", "lags": "it is known after"}.get(row["lead"])
    thing = "its use" if what == "use" else "the ability"
    if answer and row["lead"] == "leads" and known is not None and learned(known):
        return f"{answer} {thing}, but so it is in an untrained model"
    return f"{answer} {thing}" if answer else f"whether it is known before {thing} cannot be told"


def _of_largest(onsets: pd.DataFrame) -> pd.DataFrame:
    """The rows over the steps of the largest size that has several steps."""
    over_steps = onsets[onsets["axis"] == "step"]
    return over_steps[over_steps["at"] == over_steps["at"].iloc[-1]] if len(over_steps) else over_steps


shelf.add(
    Section(
        name="probing",
        place=55,
        title="Known, used, done",
        lead="What can be decoded from a layer need not be used there. What can be decoded as well from an untrained "
        "model was not learned.",
        reads=(PROBE_SCORES, PROBE_ONSETS),
        nothing="no variable was probed: --n-probed is 0, the models have ten million parameters or more, or the pairs "
        "do not allow it",
        vocabularies=(PROBE, TERMS),
        blocks=what_is_known,
    )
)
