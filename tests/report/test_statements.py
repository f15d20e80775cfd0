"""A stranger reads the page rightly from the page alone: words are defined, cells have reasons, numbers one form."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from html.parser import HTMLParser
from pathlib import Path

import pytest

from interp_emerge.circuits.tables import CircuitVerdict
from interp_emerge.emergence.forming.loss_changes import LossVerdict
from interp_emerge.emergence.forming.tables import DependenceVerdict
from interp_emerge.emergence.sameness.same_circuit.table import SameCircuitVerdict
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.emergence.scale.rise import RiseShape
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.emergence.scale.trends import TrendVerdict
from interp_emerge.report import build_report
from interp_emerge.report.sections import shelf
from interp_emerge.report.sentences.backing import backing
from interp_emerge.report.vocabulary import VOCABULARIES
from tests.report.telling_study import ANSWER, PROMPT, write_telling_study

NO_NUMBER = re.compile(r"(–|undefined|none|never|not reached|lost again)\b|–$")
VALUE = r"−?[\d,]*\d(?:\.(\d+))?"
INTERVAL = re.compile(rf"(?<![\w.]){VALUE} \[{VALUE}, {VALUE}\]")
SHARED_WORDS = (
    "not learned", "corrected similarity", "not reached", "cannot be told", "no final effect", "in sentences",
    "Tables:", "cells have no certain number", "other seeds", "same within a margin", "exchanged heads",
    "if nothing differed", "above random", "judged by",
)  # fmt: skip
VERDICTS = {
    "onset": OnsetVerdict, "jump": MirageVerdict, "shape": RiseShape, "form": TrendVerdict, "circuit": CircuitVerdict,
    "loss": LossVerdict, "dependence": DependenceVerdict, "same": SameCircuitVerdict,
}  # fmt: skip


@dataclass
class Cell:
    """A cell of a table: its text, and the target and hover text of the link in it."""

    table: str
    text: str = ""
    href: str = ""
    title: str = ""


@dataclass
class ReadPage(HTMLParser):
    """What a reader without scripts finds on the page."""

    ids: dict[str, str] = field(default_factory=dict)
    """Each anchor with the text that follows it, up to the next anchor."""
    links: list[tuple[str, str]] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._at, self._silent, self._table, self._in_cell = "", False, "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._silent = tag in ("script", "style")
        if "id" in given:
            self._at = given["id"]
            self.ids[self._at] = ""
        if given.get("class") == "table-block":
            self._table = given["id"]
        if tag == "td":
            self.cells.append(Cell(self._table))
            self._in_cell = True
        if tag == "a":
            self.links.append((given.get("href", ""), given.get("title", "")))
            if self._in_cell:
                self.cells[-1].href, self.cells[-1].title = self.links[-1]
        self.text += "" if tag in ("a", "strong") else "\n"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text += data
        self.ids[self._at] = self.ids.get(self._at, "") + data
        if self._in_cell:
            self.cells[-1].text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> ReadPage:
    read = ReadPage()
    read.feed(build_report(write_telling_study(tmp_path_factory.mktemp("telling"))).read_text())
    return read


def cell(page: ReadPage, table: str, start: str) -> Cell:
    return next(cell for cell in page.cells if cell.table == table and cell.text.startswith(start))


@pytest.mark.parametrize("name", VERDICTS)
def test_every_verdict_has_a_definition_in_its_vocabulary(name: str):
    verdicts: type[StrEnum] = VERDICTS[name]
    meanings = {word.replace(" ", "_"): meaning for word, meaning in VOCABULARIES[name].meanings.items()}
    assert all(meanings[str(verdict).replace(" ", "_")] for verdict in verdicts)


def test_every_word_is_defined_on_the_page_and_every_link_leads_somewhere(page: ReadPage):
    for vocabulary in VOCABULARIES.values():
        for word, meaning in vocabulary.meanings.items():
            assert meaning in page.ids[vocabulary.anchor(word)], word
    targets = {href[1:] for href, _ in page.links if href.startswith("#")}
    assert len(targets) > 100
    assert targets <= {*page.ids}


@pytest.mark.parametrize("word", ["steep", "sharp"])
def test_a_one_word_verdict_shows_its_definition_and_leads_to_it(word: str, page: ReadPage):
    found = cell(page, "scale-jump-table", word)
    assert found.href == f"#word-shape-{word}"
    assert found.title == f"{word}: {VOCABULARIES['shape'].meanings[word]}"


def test_every_cell_without_a_number_says_why_when_pointed_at_and_below_the_table(page: ReadPage):
    open_ = [cell for cell in page.cells if cell.table and NO_NUMBER.match(cell.text)]
    assert len({cell.table for cell in open_}) >= 7
    for found in open_:
        assert len(found.title) > 15, found
        assert len(page.ids[found.href.lstrip("#")]) > len(found.text) + 15, found


def test_a_dependence_that_is_not_reached_gives_the_costs_behind_it(page: ReadPage):
    found = cell(page, "formation-dependence-table", "not reached")
    said = (
        "lowers logit_diff by 26.80 [24.90, 28.90], not more than the 26.86 that 95% of 20 random choices (any heads, "
    )
    assert said in found.title and "which may share parts with it) cost at most, p = 0.29" in found.title
    assert said in page.ids[found.href[1:]]


def test_what_an_untrained_model_knows_too_is_not_read_as_learned(page: ReadPage):
    said = "yes, but not learned (trained 0.87, untrained 0.88)"
    found = next(one for one in page.cells if one.text == said)
    assert found.href == "#word-lead-yes-but-not-learned" and "untrained model" in found.title
    assert "from the start, not learned" in page.text
    assert "known before the ability, but so it is in an untrained model" in page.text


def test_edges_whose_order_is_open_are_not_counted_as_formed(page: ReadPage):
    assert (
        "of the circuit's 29 edges, 1 certainly after it, for 27 the order cannot be told, for 1 there is no final "
        "effect beyond noise"
    ) in page.text
    assert "29 edges reach" not in page.text


def test_how_to_read_the_comparison_of_sizes_stands_above_its_table(page: ReadPage):
    assert page.text.index("Compare within a row") < page.text.index("corrected similarity\n")
    assert cell(page, "same-circuits-table", "0.97 [").text == "0.97 [0.94, 1.00]"


def test_what_was_measured_on_other_seeds_is_said_beside_their_numbers(page: ReadPage):
    assert cell(page, "same-circuits-table", "0.60 [").text == "0.60 [0.60, 0.60] (2 seeds)"
    assert "of “other seeds” only the edges were scored" in page.text
    assert "the strongest edges of other training seeds of 200k 0.60 [0.60, 0.60] (n = 2, p = 1.00)" in page.text


def test_accuracies_that_differ_name_their_prompts(page: ReadPage):
    assert "These accuracies are from the 64 prompts that circuits are judged by." in page.text
    assert "from other prompts, 128 of the same ability" in page.text
    assert cell(page, "scale-accuracy-table", "128").text == "128"


def test_every_number_has_the_form_of_its_kind(page: ReadPage):
    text = page.text[: page.text.index("Every number above, one row per measurement")]
    text = text.replace(" ".join(PROMPT), "")
    assert re.findall(r"\d(?:\.\d+)?e[+-]?\d+", text) == []
    assert re.findall(r"[ \[(]-\d", text) == []
    assert re.findall(r"(?<=step )\d{4,}|(?<=steps )\d{4,}", text) == []
    intervals = INTERVAL.findall(text)
    assert len(intervals) > 100
    assert [one for one in intervals if len({len(decimals) for decimals in one}) > 1] == []


def test_a_prompt_is_given_to_the_letter(page: ReadPage):
    assert f"on the prompt “{' '.join(PROMPT)}”" in page.text


@pytest.mark.parametrize("sentence", ANSWER)
def test_every_sentence_of_the_answer_leads_to_tables_that_are_on_the_page(sentence: str, page: ReadPage):
    places = {place for place in backing(sentence) if place in page.ids}
    assert places
    links = [href for href, _ in page.links]
    answer = links[: links.index("#explorer", 1)]  # after the link that skips to the results; the sections' list begins
    assert {f"#{place}" for place in places} <= {*answer}


def test_a_sentence_of_another_make_is_given_without_tables():
    assert backing("Induction is at chance up to 60k.") == ()


def test_the_page_and_its_guide_use_the_same_words(page: ReadPage):
    guide = " ".join((Path(__file__).parents[2] / "docs" / "reading_a_report.md").read_text().split())
    shown = " ".join(page.text.split())
    for words in SHARED_WORDS:
        assert words in guide, words
        assert words in shown, words
    assert [section.title for section in shelf if section.title not in guide] == []
