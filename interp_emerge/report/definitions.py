"""The list of definitions at the end of the page: what each column means, and the anchor that leads there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import HtmlTable


@dataclass(frozen=True, kw_only=True)
class Group:
    """The columns of one table: their anchors, names and meanings."""

    id: str
    title: str
    entries: list[tuple[str, str, str]]


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The groups in the order of the page, and where the columns of each table on the page are defined."""

    groups: list[Group]
    places: dict[tuple[str, str, str], str]
    """The anchor of a column: by the table's source, the column's name and its meaning."""

    @classmethod
    def of(cls, shown: Iterable[tuple[Section, list[Block]]], study: StudyRecord) -> "Definitions":
        """The definitions of every column on the page, and of all columns of the study's tables."""
        groups: list[Group] = []
        places: dict[tuple[str, str, str], str] = {}
        for section, blocks in shown:
            entries: list[tuple[str, str, str]] = []
            for table in (block.table for block in blocks if block.table is not None):
                for name, meaning in table.columns:
                    key = (table.source, name, meaning)
                    if table.source in study.described or key in places or not meaning:
                        continue
                    places[key] = f"def-{_slug(section.name)}-{len(entries)}-{_slug(name)}"
                    entries.append((places[key], name, meaning))
            if entries:
                groups.append(
                    Group(id=f"defs-{_slug(section.name)}", title=f"On this page: {section.title}", entries=entries)
                )
        for name, table in study.described.items():
            entries = [(_of_table(name, column), column, meaning) for column, meaning in table.columns.items()]
            groups.append(
                Group(id=f"defs-table-{_slug(name)}", title=f"Table {name}: a row is {table.row}", entries=entries)
            )
        return cls(groups=groups, places=places)

    def anchor(self, table: HtmlTable, column: str) -> str:
        """The anchor of the definition of a column of a table on the page."""
        meaning = dict(table.columns)[column]
        return self.places.get((table.source, column, meaning), _of_table(table.source, column))


def _of_table(table: str, column: str) -> str:
    return f"def-table-{_slug(table)}-{_slug(column)}"


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)
