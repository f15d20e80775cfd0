"""What holds for every section: it can be made with its tables present, absent and empty, and gives the reason."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.report.reading import StudyRecord, read_study
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block
from tests.report.fake_study import write_study

CASES = [(name, table.name) for name in shelf.names() for table in shelf[name].reads]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """A study with invented rows; tables without invented rows are empty, except that of compared circuits."""
    found = read_study(write_study(tmp_path_factory.mktemp("sections") / "study"))
    rows = {table.name: table.empty for section in shelf for table in section.reads} | found.rows
    compared = {"size_a": "500k", "seed_a": 0, "size_b": "1m", "seed_b": 0, "level": "edges", "sentence": "differs"}
    return replace(found, rows=rows | {COMPARISONS.name: COMPARISONS.shaped(pd.DataFrame([compared]))})


def notes(blocks: list[Block]) -> str:
    return " ".join(note for block in blocks for note in block.notes)


def drawn(blocks: list[Block]) -> bool:
    return any(block.pictures or block.table is not None for block in blocks)


@pytest.mark.parametrize("name", shelf.names())
def test_it_has_a_title_its_own_place_and_a_reason(name: str):
    section = shelf[name]
    assert section.title and section.lead.endswith(".") and section.nothing and not section.nothing.endswith(".")
    assert [other.place for other in shelf].count(section.place) == 1


@pytest.mark.parametrize("name", shelf.names())
def test_with_its_tables_it_shows_something_and_is_complete(name: str, study: StudyRecord):
    blocks = shelf[name].shown(study)
    assert drawn(blocks) or notes(blocks)
    assert "Nothing to show" not in notes(blocks) and "incomplete" not in notes(blocks)


@pytest.mark.parametrize(("name", "table"), CASES)
def test_without_a_table_it_says_which_one_the_study_has_not_written(name: str, table: str, study: StudyRecord):
    without = replace(study, rows={other: rows for other, rows in study.rows.items() if other != table})
    text = notes(shelf[name].shown(without))
    assert "the study has not written the table" in text and f"“{table}”" in text


@pytest.mark.parametrize(("name", "table"), CASES)
def test_an_empty_table_is_no_failure_and_the_first_one_leaves_a_reason(name: str, table: str, study: StudyRecord):
    section = shelf[name]
    blocks = section.shown(replace(study, rows={**study.rows, table: study.rows[table].head(0)}))
    if table == section.reads[0].name:
        assert not drawn(blocks)
        assert f"Nothing to show: {section.nothing}." in notes(blocks)
    else:
        assert "not written" not in notes(blocks)


def test_several_missing_tables_are_named_in_one_sentence(study: StudyRecord):
    section = shelf["scale"]
    text = notes(section.shown(replace(study, rows={"ability": study.rows["ability"]})))
    assert text == (
        "This section is incomplete: the study has not written the tables “jump”, “trends”, “correlations” and "
        "“seeds”; run the study to its end."
    )


def test_attention_that_was_not_kept_has_its_reason(study: StudyRecord):
    text = notes(shelf["attention"].shown(replace(study, attention=[])))
    assert text == f"Nothing to show: {shelf['attention'].nothing}."


def test_the_page_has_the_sections_in_their_order(report: Path):
    page = report.read_text()
    ordered = sorted(shelf, key=lambda section: section.place)
    places = [page.index(f'<section id="{section.name}"') for section in ordered]
    assert places == sorted(places)
