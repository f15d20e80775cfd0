"""What is written about the package agrees with it."""

import re
from pathlib import Path

import pytest

from interp_emerge import probing
from interp_emerge.patching import shelf
from interp_emerge.probing.tables import PROBE_SCORES
from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import as_markdown

PAGE = (Path(__file__).parents[1] / "docs" / "methods.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", shelf.names())
def test_every_method_has_its_formula_cost_warning_and_source_on_the_page(name: str):
    section, method = SECTIONS[name], shelf[name]
    for part in ("Formula", "Reads", "Cost", "Misleads", "Source"):
        assert f"**{part}" in section, f"{name} lacks {part}"
    assert method.source.url in " ".join(section.split())


@pytest.mark.parametrize("name", shelf.names())
def test_the_page_names_the_options_that_a_method_reads(name: str):
    (sentence,) = re.findall(r"\*\*Reads\*\* (.*)", SECTIONS[name])
    assert set(re.findall(r"`(\w+)`", sentence)) == set(shelf[name].declared)


def test_the_page_describes_no_method_that_is_not_there():
    assert set(shelf.names()) == {name for name in SECTIONS if "**Formula.**" in SECTIONS[name]}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(shelf.names())


def test_every_table_and_column_that_a_study_writes_is_on_the_page_of_tables():
    page = (Path(__file__).parents[1] / "docs" / "tables.md").read_text()
    assert page.endswith(as_markdown(all_tables().values())), "below its heading the page is as_markdown of all tables"


def test_the_page_of_probing_says_of_every_probe_when_it_misleads_and_of_every_control_what_it_is_for():
    page = (Path(__file__).parents[1] / "docs" / "probing.md").read_text()
    misleads = page.partition("## When each probe misleads")[2]
    assert set(re.findall(r"^- \*\*(\w+)\*\*:", misleads, re.MULTILINE)) == set(probing.shelf.names())
    controls = {
        "majority",
        "shuffled",
        "control",
        "untrained",
        "embedding",
        "description_length",
        "fragility",
        "q_value",
    }
    assert controls <= {*PROBE_SCORES.filled} and all(f"`{name}`" in page for name in controls)
    for question in ("known", "read", "used"):
        (row,) = re.findall(rf"^\| Is it \*{question}\*.*$", page, re.MULTILINE)
        assert {*re.findall(r"`(\w+)`", row)} == {one.name for one in probing.shelf if one.asks == question}
