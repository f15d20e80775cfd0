"""The report under a pointer and a keyboard."""

import pytest
from playwright.sync_api import Page

from tests.report.browser import open_every_fold, wait_until_drawn


@pytest.fixture
def page(opened: Page) -> Page:
    """The report as it opens, whatever a test before has pointed at and chosen."""
    opened.reload(wait_until="load")
    wait_until_drawn(opened)
    open_every_fold(opened)
    return opened


def test_the_axis_switches_to_loss(page: Page):
    assert "Non-embedding parameters" in page.inner_text("#scale")
    page.check("#scale input[value=loss]")
    page.wait_for_function("() => document.querySelector('#scale').textContent.includes('Held-out loss')")
    assert "Non-embedding parameters" not in page.inner_text("#scale")


def test_pointing_at_a_node_shows_its_values_and_singles_out_its_edges(page: Page):
    chosen = page.locator("#circuit [role=tabpanel]:not([hidden])")
    line = chosen.locator(".mark-line path[aria-label='embed → m0']")
    assert float(line.get_attribute("opacity") or 1) > 0.3
    chosen.locator(".mark-rect path[aria-label='a0.h1']").hover(position={"x": 8, "y": 8})
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "a0.h1" in page.inner_text("#vg-tooltip-element")
    page.wait_for_timeout(200)
    assert float(line.get_attribute("opacity") or 1) < 0.1


def test_tabs_are_walked_with_the_keyboard(page: Page):
    tabs = page.locator("#circuit [role=tab]")
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    assert tabs.nth(1).get_attribute("aria-selected") == "true"
    assert tabs.first.get_attribute("aria-selected") == "false"
    page.keyboard.press("End")
    assert tabs.last.get_attribute("aria-selected") == "true"


def test_an_undefined_value_is_undefined_under_the_pointer_and_not_zero(page: Page):
    page.locator("#chance .mark-text text", has_text="undefined").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    shown = page.inner_text("#vg-tooltip-element")
    assert "faithfulness\tundefined" in shown


def test_patterns_grow_again_when_the_window_does(page: Page):
    def width() -> float:
        page.wait_for_timeout(300)
        box = page.locator("#attention [role=tabpanel]:not([hidden]) canvas").last.bounding_box()
        assert box is not None
        return box["width"]

    at_first = width()
    page.set_viewport_size({"width": 420, "height": 900})
    assert width() < 400
    page.set_viewport_size({"width": 1280, "height": 900})
    assert width() == at_first
