"""Tables on the page sort, filter and download; every column leads to its definition; dark and light are accessible."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.report.browser import wait_until_drawn

TABLE = "#circuit-1-table"


@pytest.fixture
def page(opened: Page, report: Path) -> Page:
    """The report with its table of circuits open."""
    opened.goto("about:blank")
    opened.goto(report.resolve().as_uri() + "#open=circuit-1-rows", wait_until="load")
    wait_until_drawn(opened)
    return opened


def column(page: Page, name: str) -> list[str]:
    """The shown cells of a column."""
    names = page.eval_on_selector_all(f"{TABLE} th", "all => all.map((one) => one.dataset.name)")
    rows = page.locator(f"{TABLE} tbody tr:visible")
    return rows.locator(f"td:nth-child({names.index(name) + 1})").all_inner_texts()


def test_a_click_sorts_by_number_and_undefined_comes_last(page: Page):
    sort = page.locator(f"{TABLE} th[data-name=faithfulness] .sort")
    sort.click()
    values = column(page, "faithfulness")
    known = [float(value.split()[0]) for value in values if value != "undefined"]
    assert known == sorted(known) and 0 < len(known) < len(values)
    assert set(values[len(known) :]) == {"undefined"}
    sort.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.locator(f"{TABLE} th[data-name=faithfulness]").get_attribute("aria-sort") == "none"


def test_a_filter_keeps_rows_with_all_of_its_words(page: Page):
    field = page.get_by_role("searchbox", name="Filter rows of The circuit")
    field.focus()
    page.keyboard.type("200k FAITHFUL")
    assert set(column(page, "size")) == {"200k"}
    assert "3 of 13 rows" in page.inner_text(f"{TABLE} .count")


def test_the_shown_rows_are_saved_as_csv(page: Page, tmp_path: Path):
    page.get_by_role("searchbox", name="Filter rows of The circuit").fill("1m")
    with page.expect_download() as saved:
        page.locator(TABLE).get_by_role("button", name="Save as CSV").click()
    saved.value.save_as(tmp_path / "table.csv")
    (row,) = csv.DictReader((tmp_path / "table.csv").open(newline=""))
    assert (row["size"], row["n_edges"], row["verdict"]) == ("1m", "142", "faithful")


def test_the_name_of_a_column_leads_to_its_definition(page: Page):
    targets = page.eval_on_selector_all("a.definition", "all => all.map((one) => one.getAttribute('href').slice(1))")
    assert targets and all(page.locator(f"[id='{target}']").count() == 1 for target in set(targets))
    page.locator(f"{TABLE} th[data-name=stability] a.definition").click()
    assert page.evaluate("document.activeElement.tagName") == "DT"
    assert page.locator("dt:focus + dd").inner_text().startswith("expected Jaccard index")


def test_the_keyboard_leads_from_a_cell_without_a_number_to_its_reason(page: Page):
    link = page.locator(f"{TABLE} tbody a", has_text="undefined").first
    assert link.get_attribute("title") == "undefined: the gap is within noise"
    link.focus()
    page.keyboard.press("Enter")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.id").startswith("circuit-1-table-why-")
    assert "Undefined: the gap is within noise." in page.evaluate(f"{focused}.innerText")


def test_without_scripts_the_answer_and_the_tables_are_still_there(page: Page, report: Path):
    browser = page.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(report.resolve().as_uri())
    assert "Induction is at chance" in plain.inner_text("body")
    assert plain.locator(f"{TABLE} tbody tr").count() == 13
    plain.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(theme: str, page: Page, axe: str, report: Path):
    page.goto("about:blank")
    opened = "circuit-1-rows,models,settings,table-files,onsets-1-words"
    page.goto(f"{report.resolve().as_uri()}#theme={theme}&step=512&open={opened}", wait_until="load")
    wait_until_drawn(page)
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]] == []
    assert len(found["passes"]) > 30
