"""Which roles the heads have, as a table of those that clear their baseline."""

from interp_emerge.circuits.roles.table import ROLE_TABLE
from interp_emerge.figures.base import last_step
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import html_table

SHOWN = ("size", "step", "seed", "node", "role", "score", "ci_low", "ci_high", "baseline", "in_circuit")
MOST = 40
"""Rows that the page shows; the file has them all."""


def roles(study: StudyRecord) -> list[Block]:
    """Heads above the baseline at the last step, the highest scores first."""
    rows = last_step(study.table(ROLE_TABLE))
    clear = rows[rows["clears_baseline"] == True].sort_values("score", ascending=False, kind="stable")  # noqa: E712
    if clear.empty:
        return []
    meanings = {column: ROLE_TABLE.columns[column] for column in SHOWN}
    some = f"These are the {MOST} highest of {len(clear)}. " if len(clear) > MOST else ""
    note = f"{some}The file has all {len(study.table(ROLE_TABLE)):,} scores."
    return [Block(table=html_table(clear.head(MOST), meanings), notes=[note])]


shelf.add(
    Section(
        name="roles",
        place=90,
        title="Roles of heads",
        lead="Heads whose interval lies above the baseline of random-init models at the last step.",
        reads=(ROLE_TABLE,),
        nothing="no head scores above the baseline of random-init models in any role",
        blocks=roles,
    )
)
