"""A page seen through headless Chromium: what it asked for, what it complained of, and what it drew."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Dialog, Page, Request, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCAL = ("file://", "data:", "blob:", "about:")
PATIENCE_MS = 60_000
INKED = "svg .mark-symbol path, svg .mark-rect path, svg .mark-line path, canvas"
"""Selects what a drawn figure has in it, beyond axes."""
COLOURS = """picture => {
    const { naturalWidth: width, naturalHeight: height } = picture;
    const copy = new OffscreenCanvas(Math.max(width, 1), Math.max(height, 1)).getContext("2d");
    copy.drawImage(picture, 0, 0);
    return new Set(new Uint32Array(copy.getImageData(0, 0, copy.canvas.width, copy.canvas.height).data.buffer)).size;
}"""
"""JavaScript: how many colours a picture has."""


@dataclass(frozen=True, kw_only=True)
class PageObservation:
    """What a page did: requests that would leave the machine, errors and warnings, figures drawn out of those it has.

    `n_empty` counts the figures in which nothing is drawn, `overflow` is by how many pixels the page is too wide for
    the window, `seconds` is from opening it until what is visible is drawn, `text` what can be
    read once all folds are open, `height` that of the page as it opens, in pixels.
    """

    title: str
    requests: list[str]
    errors: list[str]
    n_figures: int
    n_charts: int
    n_attention: int
    n_empty: int
    n_tabs: int
    text: str
    overflow: int
    seconds: float
    heap_mb: float
    height: int
    n_bytes: int


def chromium() -> str:
    """The browser's path: what CHROMIUM names, or the first that is installed.

    Without one the test is skipped, but under continuous integration it fails: there the report has to be seen.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        why = "no Chromium to open the report in: install it (apt-get install chromium) or set CHROMIUM to its path"
        assert not os.environ.get("CI"), why
        pytest.skip(why)
    return found


def open_page(path: Path, *, screenshot: Path | None = None, width: int = 1280) -> PageObservation:
    """Open a report from disk, choose every tab, and say what was seen; the screenshot is of the page as opened."""
    with _page(width) as (page, requests, errors):
        begun = time.perf_counter()
        page.goto(path.resolve().as_uri(), wait_until="load")
        wait_until_drawn(page)
        seconds = time.perf_counter() - begun
        height = page.evaluate("document.documentElement.scrollHeight")
        if screenshot:
            page.wait_for_timeout(500)
            page.screenshot(path=screenshot, full_page=True)
        open_every_fold(page)
        text = page.inner_text("body")
        n_tabs = _choose_every_tab(page)
        page.wait_for_timeout(300)
        drawings = page.query_selector_all(".drawing")
        return PageObservation(
            title=page.title(),
            requests=requests,
            errors=errors,
            n_figures=len(drawings),
            n_charts=_count(page, ".drawing.chart[data-state=drawn]"),
            n_attention=_count(page, ".drawing.attention[data-state=drawn]"),
            n_empty=sum(not drawing.query_selector(INKED) for drawing in drawings),
            n_tabs=n_tabs,
            text=text,
            overflow=page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
            seconds=seconds,
            heap_mb=page.evaluate("performance.memory.usedJSHeapSize / 1e6"),
            height=height,
            n_bytes=path.stat().st_size,
        )


def open_chart(path: Path) -> tuple[list[str], list[str]]:
    """Requests that would leave the machine, and errors, of a single chart's page once it is drawn."""
    with _page(1280) as (page, requests, errors):
        page.goto(path.resolve().as_uri(), wait_until="load")
        page.wait_for_selector(".vega-embed canvas, .vega-embed svg", timeout=PATIENCE_MS)
        return requests, errors


@contextmanager
def browse(path: Path, *, width: int = 1280, at: str = "") -> Iterator[Page]:
    """A report's page, open and drawn, for tests that point and click; nothing may complain until it is closed."""
    with _page(width) as (page, _, errors):
        page.goto(path.resolve().as_uri() + at, wait_until="load")
        wait_until_drawn(page)
        yield page
        assert errors == []


def wait_until_drawn(page: Page) -> None:
    """Wait until what is visible of a report is drawn."""
    page.wait_for_function("() => document.documentElement.dataset.state === 'drawn'", timeout=PATIENCE_MS)


@contextmanager
def _page(width: int) -> Iterator[tuple[Page, list[str], list[str]]]:
    """A page, and what it has asked for and complained of so far."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
            yield page, *watched(page)
        finally:
            browser.close()


def watched(page: Page) -> tuple[list[str], list[str]]:
    """What a page asks for outside this machine, and what it complains of, from now on."""
    requests: list[str] = []
    errors: list[str] = []

    def on_request(request: Request) -> None:
        if not request.url.startswith(LOCAL):
            requests.append(request.url)

    def on_console(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            errors.append(f"{said.type}: {said.text}")

    def on_dialog(dialog: Dialog) -> None:
        errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("request", on_request)
    page.on("console", on_console)
    page.on("dialog", on_dialog)
    page.on("pageerror", lambda error: errors.append(f"page: {error}"))
    return requests, errors


def open_every_fold(page: Page) -> None:
    """Open whatever is folded, so that figures in it are drawn."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    drawn = "(one) => one.dataset.state === 'drawn' || one.closest('[hidden]')"
    page.wait_for_function(f"() => [...document.querySelectorAll('.drawing')].every({drawn})", timeout=PATIENCE_MS)


def _count(page: Page, selector: str) -> int:
    return len(page.query_selector_all(selector))


def _choose_every_tab(page: Page) -> int:
    """Click through the tabs, so that what stands behind them is drawn too; returns how many there are."""
    tabs = page.query_selector_all("[role=tab]")
    for tab in tabs:
        tab.click()
        panel = tab.get_attribute("aria-controls")
        waited = f"() => document.querySelector('#{panel} .drawing').dataset.state !== 'drawing'"
        page.wait_for_function(waited, timeout=PATIENCE_MS)
    return len(tabs)
