"""Where each quantity first appears, as a table."""

from interp_emerge.emergence.forming.tables import ONSETS
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import html_table

SHOWN = ("ability", "quantity", "component", "axis", "at", "last_without", "first_with", "ci_low", "ci_high")
SHOWN += ("threshold", "verdict")
EMPTY = {"at": "–", "last_without": "none", "first_with": "never", "ci_low": "–", "ci_high": "–"}


def onsets(study: StudyRecord) -> list[Block]:
    """Every onset, over sizes and over training."""
    meanings = {column: ONSETS.columns[column] for column in SHOWN}
    return [Block(table=html_table(study.table(ONSETS), meanings, EMPTY, source=ONSETS.name))]


shelf.add(
    Section(
        name="onsets",
        place=80,
        title="Onsets",
        lead="Over sizes, all training seeds count together; over training steps, only the first seed of each size.",
        reads=(ONSETS,),
        nothing="no onset was sought",
        blocks=onsets,
    )
)
