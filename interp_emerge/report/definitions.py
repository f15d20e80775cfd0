"""The list of definitions at the end of the page: what each verdict, term and column means, and what leads there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from interp_emerge.report.numbers import in_text
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections.base import Block, Section
from interp_emerge.report.text import HtmlTable
from interp_emerge.report.vocabulary import VOCABULARIES, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Group:
    """The columns of one table, or the words of one kind: their anchors, names and meanings."""

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
        groups = [_of_words(vocabulary) for vocabulary in VOCABULARIES.values()]
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


def linked(text: str, vocabularies: Iterable[Vocabulary], seen: set[str] | None = None) -> Markup:
    """A sentence with its numbers in the page's form, in which each word of the vocabularies leads to its definition.

    The vocabularies are applied one after the other, so a word of several leads to the first. Each word is a link once;
    words in `seen` are no links, and those that become links join it.
    """
    pieces: list[str | Markup] = [in_text(text)]
    seen = set() if seen is None else seen
    for vocabulary in vocabularies:
        pieces = [
            part if word is None else link(part, vocabulary, word)
            for piece in pieces
            for part, word in ([(piece, None)] if isinstance(piece, Markup) else vocabulary.split(piece, seen))
        ]
    return Markup("").join(pieces)


def link(text: str, vocabulary: Vocabulary, word: str) -> Markup:
    """Text that leads to the definition of a word, and shows it when it is pointed at."""
    meaning = f"{word}: {vocabulary.meanings[word]}"
    return Markup('<a href="#{}" title="{}">{}</a>').format(vocabulary.anchor(word), meaning, text)


def linked_cell(table: HtmlTable, column: str, text: str) -> Markup | str:
    """A cell's text; if the column has verdicts, it leads to the definition of the verdict."""
    vocabulary = VOCABULARIES.get((table.verdicts or {}).get(column, ""))
    word = vocabulary.find(text) if vocabulary else None
    return text if vocabulary is None or word is None else link(text, vocabulary, word)


def _of_words(vocabulary: Vocabulary) -> Group:
    entries = [(vocabulary.anchor(word), str(word), meaning) for word, meaning in vocabulary.meanings.items()]
    return Group(id=f"words-{vocabulary.name}", title=vocabulary.title, entries=entries)


def _of_table(table: str, column: str) -> str:
    return f"def-table-{_slug(table)}-{_slug(column)}"


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)
