"""The sections of the report: each reads some tables and makes pictures, tables and sentences of them.

A section shows something only if the first table that it reads has rows. Otherwise the page says at this place why
there is nothing to show.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from interp_emerge.figures import shelf as figures
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.text import HtmlTable, joined
from interp_emerge.report.vocabulary import Vocabulary
from interp_emerge.tables.schema import Table


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of the page: its caption, and the Vega-Lite chart or the CircuitsVis data that draw it."""

    kind: Literal["chart", "attention"]
    label: str
    caption: str
    payload: dict[str, Any]
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """Pictures that belong together: one below the other, side by side, or in tabs named by their labels."""

    name: str = ""
    """What its anchor ends with; without a name its number in the section."""
    layout: Literal["stack", "pair", "tabs"] = "stack"
    heading: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    table: HtmlTable | None = None
    notes: list[str] = field(default_factory=list)
    reading: list[str] = field(default_factory=list)
    """How to read the table; the page shows it on demand."""
    words: list[str] = field(default_factory=list)
    """Sentences that say the same as the table; the page shows them on demand."""
    fold: str | None = None
    """What a folded block is called; it is opened by a click. Without a name the block is open."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section: its heading, a sentence on how to read it, and the blocks that it makes of the study's tables."""

    name: str
    """The name of its file, and of its anchor on the page."""
    place: int
    """Sections appear on the page in ascending order of this number."""
    title: str
    lead: str
    reads: tuple[Table, ...]
    """The tables that it reads. Without rows in the first there is nothing to show; the others add to it."""
    nothing: str
    """Why the first table may have no rows, as the end of a sentence."""
    vocabularies: tuple[Vocabulary, ...] = ()
    """The verdicts in its sentences, which lead to their definitions."""
    blocks: Callable[[StudyRecord], list[Block]]
    """Makes the blocks; called only if the first table has rows."""

    def shown(self, study: StudyRecord) -> list[Block]:
        """The blocks that the section shows of a study, or the reason why it shows none."""
        missing = [f"“{table.name}”" for table in self.reads if not study.has(table)]
        if self.reads and not study.has(self.reads[0]):
            return [Block(notes=[f"Nothing to show: {_not_written(missing[:1])}"])]
        blocks = [] if self.reads and study.table(self.reads[0]).empty else self.blocks(study)
        blocks = blocks or [Block(notes=[f"Nothing to show: {self.nothing}."])]
        return [*blocks, Block(notes=[f"This section is incomplete: {_not_written(missing)}"])] if missing else blocks


def _not_written(names: list[str]) -> str:
    return f"the study has not written the table{'s' * (len(names) > 1)} {joined(names)}; run the study to its end."


def chart(
    figure: str, table: pd.DataFrame, label: str, caption: str, link: str | None = None, **options: Any
) -> Picture:
    """One of the package's figures, drawn from a table's rows."""
    spec = figures[figure](table, **options).to_dict(
        validate=False
    )  # validating takes three times as long; the figures' tests do it
    spec["description"] = label
    return Picture(kind="chart", label=label, caption=caption, payload=spec, link=link)


def tabled(
    heading: str | None,
    table: HtmlTable | None,
    words: list[str],
    *,
    name: str = "",
    folded: bool = False,
    reading: str = "",
) -> list[Block]:
    """A block of a table, with how to read it and the same in sentences on demand; nothing if there is no table."""
    if table is None or not table.rows:
        return []
    return [
        Block(
            name=name,
            heading=None if folded else heading,
            fold=heading if folded else None,
            table=table,
            reading=[reading] if reading else [],
            words=words,
        )
    ]


def anchored(section: str, blocks: list[Block]) -> list[tuple[str, Block]]:
    """A section's blocks, each with its anchor on the page."""
    return [(f"{section}-{block.name or place}", block) for place, block in enumerate(blocks, 1)]


def parts(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[str | None, dict[str, str], pd.DataFrame]]:
    """The table's rows for each combination of the columns' values, in the order of the table.

    Each item is a heading with the ability and method (if the table has several), the values, and the rows.
    """
    several = [column for column in ("ability", "method") if column in columns and table[column].nunique() > 1]
    for values, rows in table.groupby(columns, sort=False):
        names = dict(zip(columns, map(str, values), strict=True))
        yield ", ".join(names[column] for column in several) or None, names, rows.reset_index(drop=True)
