"""Whether neighbouring sizes have the same circuit, compared with halves of prompts, random circuits and seeds."""

import pandas as pd

from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, tabled
from interp_emerge.report.verdicts.circuits import same_table


def same(study: StudyRecord) -> list[Block]:
    """The verdict on each two circuits, as a table."""
    found = study.table(COMPARISONS)
    return tabled(None, same_table(found), comparisons(found))


def comparisons(rows: pd.DataFrame) -> list[str]:
    """Whether the circuits of neighbouring sizes are the same, by edges and by classes of edges."""
    first = rows.drop_duplicates(["size_a", "seed_a", "size_b", "seed_b", "level"])
    return [
        f"{row['size_a']} and {row['size_b']}, {row['level']}: {row['sentence']}." for row in first.to_dict("records")
    ]


shelf.add(
    Section(
        name="same",
        place=70,
        title="The same circuit?",
        lead="Heads are matched by their roles, depth and connections. Two circuits are different if halves of the "
        "prompts share less across the models than the noise within each model explains. They are the same within a "
        "margin if they share nearly all that noise leaves, counted from what exchanged heads of each layer share.",
        reads=(COMPARISONS,),
        nothing="fewer than two sizes have a circuit",
        blocks=same,
    )
)
