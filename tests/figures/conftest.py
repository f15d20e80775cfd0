"""Views and figures opened in Chromium with the network cut; nothing may be asked for or complained of meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.browser import FLAGS, PATIENCE_MS, chromium, watched

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a view, a figure, or any HTML, and returns its page once it is drawn."""
    pages: list[tuple[Page, list[str], list[str]]] = []

    def open_it(shown: Any, *, at: str = "", dark: bool = False, wait: bool = True) -> Page:
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(shown if isinstance(shown, str) else shown.to_html())
        context = browser.new_context(
            offline=True,
            viewport={"width": 1280, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        pages.append((page, *watched(page)))
        page.goto(path.as_uri() + at, wait_until="load")
        if wait:
            until_drawn(page)
        return page

    yield open_it
    for page, requests, errors in pages:
        page.context.close()
        assert (requests, errors) == ([], [])


def until_drawn(page: Page) -> None:
    page.wait_for_selector("html[data-state=drawn]", timeout=PATIENCE_MS)  # a function would need eval, which is off
