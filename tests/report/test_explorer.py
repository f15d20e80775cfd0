"""The explorer in a real browser: its sliders drive all views, and the address keeps what was chosen."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from interp_emerge.report import build_report
from tests.figures.invented import LAST, STEPS
from tests.report.browser import wait_until_drawn
from tests.report.fake_study import EDGES, EVIL, write_study


@pytest.fixture
def page(opened: Page, report: Path) -> Page:
    """The report as it opens, whatever a test before has chosen."""
    opened.goto("about:blank")
    opened.goto(report.resolve().as_uri(), wait_until="load")
    wait_until_drawn(opened)
    return opened


def go(page: Page, at: str) -> None:
    """Open the page anew, as an address with this state does."""
    address = page.url.split("#")[0]
    page.goto("about:blank")
    page.goto(f"{address}#{at}", wait_until="load")
    wait_until_drawn(page)


def status(page: Page) -> str:
    return page.inner_text("#explorer-status")


def classes(page: Page, writer: str, reader: str) -> set[str]:
    """The classes of an edge of the graph."""
    found = page.locator("#explorer-graph path.edge").filter(has_text=f"{writer} → {reader}:")
    return set((found.get_attribute("class") or "").split())


def attention(page: Page) -> str:
    page.wait_for_function("() => document.getElementById('explorer-canvas').dataset.drawn")
    return page.evaluate("document.getElementById('explorer-canvas').dataset.drawn") + page.inner_text(
        "#explorer-ranked"
    )


def test_every_edge_is_pale_until_it_reaches_half_of_its_final_effect(page: Page):
    slider = page.locator("#explorer-step")
    slider.focus()
    page.keyboard.press("Home")
    for step in STEPS:
        assert f"step {step:,}." in status(page)
        for (writer, reader), begins in EDGES.items():
            assert ("now" if step >= begins else "later") in classes(page, writer, reader)
        page.keyboard.press("ArrowRight")


def test_an_edge_that_vanished_is_pale_in_its_own_way_and_a_negative_one_is_dashed(page: Page):
    go(page, "step=2048")
    assert {"gone", "negative"} <= classes(page, "m0", "logits")
    go(page, f"step={LAST}")
    assert {"now", "negative"} <= classes(page, "m0", "logits")


def test_heads_are_there_from_half_of_their_final_score_on(page: Page):
    first = {}
    for step in STEPS:
        go_to = f"document.getElementById('explorer-step').value = {STEPS.index(step)}"
        page.evaluate(f"{go_to}; document.getElementById('explorer-step').dispatchEvent(new Event('input'))")
        for role, head in (("previous token", "a0.h1"), ("induction", "a3.h0")):
            if f"{role}: {head}" in status(page):
                first.setdefault(role, step)
    assert first["previous token"] < first["induction"]


def test_the_step_changes_attention_where_it_was_recorded(page: Page):
    go(page, "head=a0.h1&token=3&step=512")
    assert attention(page).startswith("a0.h1 512")
    assert "0.25" in attention(page), "all heads are uniform at this step"
    go(page, f"head=a0.h1&token=3&step={LAST}")
    assert "0.9" in attention(page)
    go(page, "head=a0.h1&step=64")
    assert "recorded at step 512, 4000 only" in page.inner_text("#explorer-attention-none")
    assert not page.locator("#explorer-canvas").is_visible()


def test_heads_that_were_not_followed_are_hatched_and_say_why(page: Page):
    go(page, "map=induction&step=512")
    cell = page.locator("[data-key='cell-a2.h2']")
    assert "unmeasured" in (cell.get_attribute("class") or "")
    assert "only heads that play the role are followed" in (cell.get_attribute("title") or "")
    go(page, f"map=induction&step={LAST}")
    assert page.locator("[data-key='cell-a2.h2']").inner_text() == "0.04"


def test_a_head_is_chosen_by_click_and_by_arrow_keys(page: Page):
    page.locator("[data-key='node-a3.h0']").click()
    assert page.inner_text("#explorer-head-name") == "a3.h0"
    assert "a0.h1 → keys" in page.inner_text("#explorer-edges-in")
    page.locator("[data-key='cell-a0.h1']").click()
    assert "a3.h0.k" in page.inner_text("#explorer-edges-out")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#explorer-head-name") == "a0.h2"
    assert page.evaluate("document.activeElement.dataset.key") == "cell-a0.h2"


def test_edges_of_a_head_are_listed_by_weight(page: Page):
    go(page, f"head=a3.h0&step={LAST}")
    shown = page.locator("#explorer-edges-in td.number").all_inner_texts()
    weights = [abs(float(text.replace("−", "-"))) for text in shown if text != "–"]
    assert weights == sorted(weights, reverse=True) and len(weights) > 1


def test_a_size_without_a_circuit_says_so(page: Page):
    go(page, "size=3k")
    assert f"Verdict at step {LAST:,}: undefined: the gap is within noise" in page.inner_text("#explorer-graph")
    go(page, "size=60k&seed=1")
    assert "seed 1" in status(page)


def test_the_address_restores_everything(page: Page):
    chosen = f"size=500k&step={LAST}&head=a3.h0&map=induction&token=4&theme=dark&open=circuit-1-rows,models"
    go(page, f"{chosen}&tab.circuit-2-tabs=1&table.circuit-1-table=n_edges~down~500k")
    assert "500k, step 4,000" in status(page)
    assert page.inner_text("#explorer-head-name") == "a3.h0"
    assert page.input_value("#explorer-map") == "induction"
    assert page.input_value("#explorer-token") == "4"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#models").get_attribute("open") is not None
    assert page.locator("#circuit-2-tabs [role=tab]").nth(1).get_attribute("aria-selected") == "true"
    assert page.locator("#circuit-1-table tbody tr:visible").count() == 1
    assert page.locator("#circuit-1-table th[aria-sort=descending]").get_attribute("data-name") == "n_edges"


@pytest.mark.parametrize("nonsense", ["%", "top=-5", "top=0.5&tab.circuit-2-tabs=-1", "step=%E0%A4%A&size=nine"])
def test_an_address_without_sense_shows_the_page_as_it_opens(page: Page, nonsense: str):
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    go(page, nonsense)
    assert status(page) and page.locator("#explorer-graph path.edge").count() > 0
    assert page.locator("#circuit-2-tabs [role=tab][aria-selected=true]").count() == 1
    assert not errors


def test_what_is_chosen_stands_in_the_address(page: Page):
    page.locator("#explorer-size").focus()
    page.keyboard.press("Home")
    page.locator("#models > summary").click()
    page.get_by_role("button", name="Dark mode").click()
    page.wait_for_function("() => location.hash.includes('theme=dark')")
    assert "size=3k" in page.evaluate("location.hash") and "open=models" in page.evaluate("location.hash")
    page.reload(wait_until="load")
    wait_until_drawn(page)
    assert status(page).startswith("3k")
    page.get_by_role("link", name="Definitions", exact=True).click()
    page.wait_for_function("() => location.hash.includes('at=definitions')")
    assert "size=3k" in page.evaluate("location.hash")


def test_names_that_would_like_to_be_markup_are_text(page: Page, tmp_path: Path):
    evil = "<img src=x onerror=alert(1)></script>\u202eabc😀" + "x" * 200
    study = write_study(tmp_path / "study", sizes=("200k", "1m"), renamed={"1m": evil})
    page.goto(f"{build_report(study).resolve().as_uri()}#step=512", wait_until="load")
    wait_until_drawn(page)
    assert page.locator("img").count() == 0
    assert evil in (page.text_content("#explorer-status") or "")
    tokens = page.locator("#explorer-token option").all_text_contents()
    assert any("<img src=x onerror" in text for text in tokens) and len(tokens) == len(EVIL)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_run_of_one_step_names_its_heads_and_counts_no_edge_as_half_formed(page: Page, tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",), empty=("onsets",), only_last=True)
    page.goto(build_report(study).resolve().as_uri(), wait_until="load")
    wait_until_drawn(page)
    said = page.inner_text("#explorer-status")
    assert "previous token: a0.h1" in said and "no head yet" not in said
    assert "final effect" not in said
