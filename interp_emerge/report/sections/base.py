"""What a section of the page is: the tables it reads, how to read what it shows, and what it shows.

A section makes blocks of pictures, tables and sentences from what a study has written. It is asked only if the first
table that it reads has rows; otherwise the page says in its place why there is nothing to show.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from interp_emerge.figures import shelf as figures
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.text import HtmlTable, joined
from interp_emerge.tables.schema import Table


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of the page: its caption, and the Vega-Lite chart or the CircuitsVis properties that draw it."""

    kind: Literal["chart", "attention"]
    label: str
    caption: str
    payload: dict[str, Any]
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """Pictures that belong together: below each other, side by side, or behind tabs that bear their labels."""

    layout: Literal["stack", "pair", "tabs"] = "stack"
    heading: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    table: HtmlTable | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, a sentence on how to read what follows, and what is made of the study's tables."""

    name: str
    """That of its file, and of its place in the page's address."""
    place: int
    """Sections stand on the page in ascending order of this number."""
    title: str
    lead: str
    reads: tuple[Table, ...]
    """Without rows of the first there is nothing to show; the others add to it."""
    nothing: str
    """Why the first may have no row, as the end of a sentence."""
    blocks: Callable[[StudyRecord], list[Block]]
    """What it shows; called only if the first table has rows."""

    def shown(self, study: StudyRecord) -> list[Block]:
        """What the section shows of a study, or why it shows nothing."""
        missing = [f"“{table.name}”" for table in self.reads if not study.has(table)]
        if self.reads and not study.has(self.reads[0]):
            return [Block(notes=[f"Nothing to show: {_not_written(missing[:1])}"])]
        blocks = [] if self.reads and study.table(self.reads[0]).empty else self.blocks(study)
        blocks = blocks or [Block(notes=[f"Nothing to show: {self.nothing}."])]
        return [*blocks, Block(notes=[f"Something is left out: {_not_written(missing)}"])] if missing else blocks


def _not_written(names: list[str]) -> str:
    return f"the study has not written its table{'s' * (len(names) > 1)} {joined(names)}; run it to its end."


def chart(
    figure: str, table: pd.DataFrame, label: str, caption: str, link: str | None = None, **options: str
) -> Picture:
    """A figure of the shelf, drawn from a table's rows."""
    spec = figures[figure](table, **options).to_dict(validate=False)  # a third of the time; the figures' tests validate
    spec["description"] = label
    return Picture(kind="chart", label=label, caption=caption, payload=spec, link=link)


def noted(heading: str, notes: list[str]) -> list[Block]:
    """A block of sentences, where there are any."""
    return [Block(heading=heading, notes=notes)] if notes else []


def parts(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[str | None, dict[str, str], pd.DataFrame]]:
    """The table's rows for each combination of the columns' values, in the order of the table.

    Each comes with a heading of what tells it from the others (ability, method), if anything does, and its values.
    """
    several = [column for column in ("ability", "method") if column in columns and table[column].nunique() > 1]
    for values, rows in table.groupby(columns, sort=False):
        names = dict(zip(columns, map(str, values), strict=True))
        yield ", ".join(names[column] for column in several) or None, names, rows.reset_index(drop=True)
