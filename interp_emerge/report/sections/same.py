"""Whether neighbouring sizes have the same circuit, compared with halves of prompts, random circuits and seeds."""

import pandas as pd

from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, tabled
from interp_emerge.report.verdicts.circuits import same_table
from interp_emerge.report.vocabulary import SAME

READING = (
    "A small circuit shares few edges with a large one even if nothing else differs, so an index of 0.60 may be the same "
    "where one of 0.66 is different. The corrected similarity takes this out: 1 if nothing but noise and size differs, 0 "
    "for exchanged heads. It decides on “same within a margin”, the p-value on “different”. Classes are edges grouped "
    "by the roles of their ends. Heads are matched by their roles, depth and connections."
)
SEEDS = (
    "Circuits were sought, tested and followed in the seeds that the rows name. Of other training seeds only the edges "
    "were scored; the column “other seeds” compares their strongest edges."
)
OF_SEEDS = "; the strongest edges of other training seeds of {} "


def same(study: StudyRecord) -> list[Block]:
    """The verdict on each two circuits, as a table."""
    found = study.table(COMPARISONS)
    return tabled(None, same_table(found), comparisons(found), name="circuits", notes=[READING, SEEDS])


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
        lead="Read along a row, not down a column: an index is high only if it is near “if nothing differed” beside it, "
        "and low only if it is near “exchanged heads”.",
        reads=(COMPARISONS,),
        nothing="fewer than two sizes have a circuit",
        vocabularies=(SAME,),
        blocks=same,
    )
)
