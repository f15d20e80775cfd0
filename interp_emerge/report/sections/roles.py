"""The roles of heads: a table of the heads that play one."""

from interp_emerge.circuits.tables import ROLE_TABLE
from interp_emerge.figures.base import last_step
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import html_table

SHOWN = ("size", "step", "seed", "node", "role", "score", "ci_low", "ci_high", "baseline", "in_circuit")


def roles(study: StudyRecord) -> list[Block]:
    """Heads that play a role at the last step, the highest scores first."""
    rows = last_step(study.table(ROLE_TABLE))
    clear = rows[rows["plays"] == True].sort_values("score", ascending=False, kind="stable")  # noqa: E712
    if clear.empty:
        return []
    meanings = {column: ROLE_TABLE.columns[column] for column in SHOWN}
    note = f"The file has all {len(study.table(ROLE_TABLE)):,} scores, of heads that play no role as well."
    return [Block(table=html_table(clear, meanings, source=ROLE_TABLE.name), notes=[note])]


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
