"""The index over studies: a row a study, sortable, offline, in light and dark; names that would be markup are text."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from interp_emerge import cli
from interp_emerge.core.errors import InputError
from interp_emerge.report import build_index
from tests.report.browser import browse
from tests.report.fake_study import provenance

EVIL = "javascript:alert(1) <img src=x onerror=alert(1)>"
ANSWERS = {"a": "It emerges at 60k.", "b": "</script><img src=x onerror=alert(1)> emerges.", EVIL: "Never."}


def write(folder: Path) -> Path:
    """Three studies, one of them without a report, a broken one, and one that has not finished."""
    for place, (name, answer) in enumerate(ANSWERS.items()):
        study = folder / name
        study.mkdir(parents=True)
        models = [
            {"family": "mini", "size": f"{size}k", "step": 1, "seed": 0, "revision": ""} for size in range(9 + place)
        ]
        record = {
            **provenance(),
            "answer": [answer, "More."],
            "models": models,
            "finished": f"2026-0{3 - place}-05T00:00:00",
        }
        (study / "provenance.json").write_text(json.dumps(record))
        if name != "a":
            (study / "report.html").write_text("<title>report</title>")
    for name, file in (("broken", "provenance.json"), ("waiting", "study.json")):
        (folder / name).mkdir()
        (folder / name / file).write_text("{}")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[Page]:
    with browse(build_index(folder)) as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """The page as it opens, whatever a test before has sorted or filtered."""
    address = opened.url.partition("#")[0]
    opened.goto("about:blank")
    opened.goto(address, wait_until="load")
    opened.wait_for_selector("tbody tr")
    return opened


def column(page: Page, place: int) -> list[str]:
    return page.locator(f"tbody tr:visible td:nth-child({place})").all_inner_texts()


def test_a_row_says_what_a_study_asked_found_and_how_large_it_is(page: Page):
    assert column(page, 1) == ["a (no report)", "b", "broken (no report)", EVIL]
    assert column(page, 4)[:2] == ["It emerges at 60k.", ANSWERS["b"]]
    assert column(page, 4)[2].startswith("Cannot be read: ") and "lacks 'question'" in column(page, 4)[2]
    assert (column(page, 5), column(page, 8)) == (
        ["9", "10", "unknown", "11"],
        ["2026-03-05", "2026-02-05", "unknown", "2026-01-05"],
    )
    assert "Not finished, so not in the table: waiting." in page.inner_text("main")
    assert page.locator("img").count() == 0


def test_columns_sort_by_number_and_rows_filter_by_keyboard(page: Page):
    page.locator("th[data-name=sizes] .sort").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert column(page, 5) == ["unknown", "11", "10", "9"]
    page.get_by_label("Filter rows of Studies").fill("never")
    assert column(page, 4) == ["Never."]
    page.get_by_label("Filter rows of Studies").fill("")


def test_a_link_leads_to_the_studys_report_whatever_its_name(page: Page, folder: Path):
    links = page.eval_on_selector_all("tbody a", "all => all.map(one => one.href)")
    assert {*links} == {(folder / name / "report.html").as_uri() for name in ANSWERS if name != "a"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("answer", 5), ("answer", "text"), ("answer", [None]), ("models", None), ("models", [1]), ("models", []),
     ("settings", [1]), ("versions", 0), ("finished", 5)],
)  # fmt: skip
def test_a_malformed_record_has_a_row_that_says_so(field: str, value: object, tmp_path: Path):
    write(tmp_path)
    record = json.loads((tmp_path / "b" / "provenance.json").read_text())
    (tmp_path / "b" / "provenance.json").write_text(json.dumps({**record, field: value}))
    assert f"unusable &#39;{field}&#39;" in build_index(tmp_path).read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(page: Page, axe: str, theme: str):
    if page.evaluate("document.documentElement.dataset.theme || 'light'") != theme:
        page.locator("#theme").click()
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]] == []


def test_the_command_builds_it_and_a_folder_without_a_study_is_refused(
    folder: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["interp-emerge", "report", str(folder)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code and capsys.readouterr().out.strip() == str(folder / "index.html")
    with pytest.raises(InputError, match="holds no study"):
        build_index(tmp_path)
