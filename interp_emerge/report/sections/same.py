"""Whether neighbouring sizes have the same circuit, compared with halves of prompts, random circuits and seeds."""

import pandas as pd

from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, tabled
from interp_emerge.report.verdicts.circuits import same_table
from interp_emerge.report.vocabulary import SAME, TERMS

READING = (
    "A low index may be “same” and a higher one “different”: a circuit of few edges cannot share many with a larger "
    "one. Heads are matched by their roles, depth and connections; classes are edges "
    "grouped by the roles of their ends. Circuits were sought, tested and followed in one seed of each size; of “other "
    "seeds” only the edges were scored, and their strongest are compared."
)
OF_SEEDS = "; the strongest edges of other training seeds of {} "


def same(study: StudyRecord) -> list[Block]:
    """The verdict on each two circuits, as a table."""
    found = study.table(COMPARISONS)
    return tabled(None, same_table(found), comparisons(found), name="circuits", reading=READING)


def comparisons(rows: pd.DataFrame) -> list[str]:
    """Whether the circuits of neighbouring sizes are the same, by edges and by classes of edges."""
    first = rows.drop_duplicates(["size_a", "seed_a", "size_b", "seed_b", "level"])
    return [
        f"{row['size_a']} and {row['size_b']}, {row['level']}: "
        f"{str(row['sentence']).replace('; other seeds ', OF_SEEDS.format(row['size_a']))}."
        for row in first.to_dict("records")
    ]


shelf.add(
    Section(
        name="same",
        place=70,
        title="The same circuit?",
        lead="Compare within a row: the corrected similarity runs from 0, as with exchanged heads, to 1, if nothing "
        "but noise and size differed. An index alone says nothing. Same: its whole interval lies above 0.90. "
        "Different: it does not, and p is at most 0.05.",
        reads=(COMPARISONS,),
        nothing="fewer than two sizes have a circuit",
        vocabularies=(SAME, TERMS),
        blocks=same,
    )
)
