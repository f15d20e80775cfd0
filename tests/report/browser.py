"""A page seen through headless Chromium: what it asked for, what it complained of, and what it drew."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

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


@dataclass(frozen=True, kw_only=True)
class PageObservation:
    """What a page did: requests that would leave the machine, errors, figures drawn out of those it has."""

    title: str
    requests: list[str]
    errors: list[str]
    n_charts: int
    n_attention: int
    n_figures: int
    n_empty: int
    n_failed: int
    n_tabs: int
    text: str
    overflow: int
    seconds: float
    heap_mb: float


def chromium() -> str:
    """The browser's path: what CHROMIUM names, or the first that is installed.

    Raises:
        AssertionError: there is none, which is a failure: the report has to be seen in a browser.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert found, "no Chromium to open the report in: install it (apt-get install chromium) or set CHROMIUM to its path"
    return found


def open_page(path: Path, *, screenshot: Path | None = None, width: int = 1280) -> PageObservation:
    """Open a report from disk, choose every tab, point at a mark, and say what was seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            return _observe(browser, path, screenshot, width)
        finally:
            browser.close()


def _observe(browser: Browser, path: Path, screenshot: Path | None, width: int) -> PageObservation:
    page = browser.new_page(viewport={"width": width, "height": 900})
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
    begun = time.perf_counter()
    page.goto(path.resolve().as_uri(), wait_until="load")
    page.wait_for_function("document.documentElement.dataset.state === 'drawn'", timeout=PATIENCE_MS)
    seconds = time.perf_counter() - begun
    if screenshot:
        page.wait_for_timeout(500)
        page.screenshot(path=screenshot, full_page=True)
    n_tabs = _choose_every_tab(page)
    page.wait_for_timeout(500)
    shown = "element => element.querySelectorAll('svg path, svg rect, svg text, canvas').length > 0"
    drawings = page.query_selector_all(".drawing")
    return PageObservation(
        title=page.title(),
        requests=requests,
        errors=errors,
        n_charts=len(page.query_selector_all(".drawing.chart[data-state=drawn]")),
        n_attention=len(page.query_selector_all(".drawing.attention[data-state=drawn]")),
        n_figures=len(drawings),
        n_empty=sum(not drawing.evaluate(shown) for drawing in drawings),
        n_failed=len(page.query_selector_all(".drawing[data-state=failed]")),
        n_tabs=n_tabs,
        text=page.inner_text("body"),
        overflow=page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        seconds=seconds,
        heap_mb=page.evaluate("performance.memory.usedJSHeapSize / 1e6"),
    )


def _choose_every_tab(page: Page) -> int:
    """Click through the tabs, so that what stands behind them is drawn too; returns how many there are."""
    tabs = page.query_selector_all("[role=tab]")
    for tab in tabs:
        tab.click()
        panel = tab.get_attribute("aria-controls")
        waited = f"document.querySelector('#{panel} .drawing').dataset.state !== 'drawing'"
        page.wait_for_function(waited, timeout=PATIENCE_MS)
    return len(tabs)
