"""The roles of heads: a table of the heads that play one."""

from interp_emerge.circuits.tables import ROLE_TABLE
from interp_emerge.figures.base import last_step
from interp_emerge.report.numbers import Kind, between, is_missing, number
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import Because, html_table, words
from interp_emerge.stats.intervals import UNDEFINED, Interval

SHOWN = ("size", "step", "seed", "node", "role", "score", "baseline", "in_circuit")


def roles(study: StudyRecord) -> list[Block]:
    """Heads that play a role at the last step, the highest scores first."""
    rows = last_step(study.table(ROLE_TABLE))
    clear = rows[rows["plays"] == True].sort_values("score", ascending=False, kind="stable")  # noqa: E712
    if clear.empty:
        return []
    meanings = {column: ROLE_TABLE.columns[column] for column in SHOWN}
    meanings["score"] += ", with its 95% interval over prompts"
    all_scores = number(len(study.table(ROLE_TABLE)), Kind.COUNT)
    reading = f"The file of this table has all {all_scores} scores, of heads that play no role as well."
    shown = clear.assign(
        role=clear["role"].map(words),
        score=[between(Interval.of(row, "score", "ci")) for row in clear.to_dict("records")],
        baseline=clear["baseline"].map(_baseline),
    )
    table = html_table(shown, meanings, source=ROLE_TABLE.name, numbers=("score", "baseline"), n_labels=5)
    return [Block(table=table, reading=[reading])]


def _baseline(value: float) -> str | Because:
    """The baseline of untrained models; a missing one has its reason."""
    none = "no untrained model of this size gave a score to compare with"
    return Because(UNDEFINED, none) if is_missing(value) else number(value)


shelf.add(
    Section(
        name="roles",
        place=90,
        title="Roles of heads",
        lead="Heads at the last step that show all that a role requires: a score whose 95% interval lies above the "
        "baseline of untrained models and above what the role's source asks for, and what else the role requires.",
        reads=(ROLE_TABLE,),
        nothing="no head plays any of the roles",
        blocks=roles,
    )
)
