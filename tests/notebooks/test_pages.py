"""`nbconvert --to html` makes a page of every notebook that shows each of its figures with the network cut.

The template of nbconvert asks for scripts that typeset formulas, as the page of a notebook without cells does. A page
may ask for nothing beyond these and complain of nothing else.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, ElementHandle

from tests.notebooks.outputs import NOTEBOOKS
from tests.report.browser import COLOURS, PATIENCE_MS, watched

BLANK, DISTANT = "blank", "distant"
INKED = """() => [...document.querySelectorAll("canvas")].filter(canvas => canvas.width && canvas.height &&
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(value => value > 0)).length"""
"""How many canvases have something drawn on them."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page shows, and what it did meanwhile."""

    pictures: int
    """Pictures of more than one colour."""
    views: int
    """Frames that are drawn and have ink in them."""
    tables: int
    requests: Counter[str]
    errors: Counter[str]


def outputs_of(notebook: Any) -> list[dict[str, str]]:
    """The forms of every output that has some."""
    return [output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of every notebook, of one without cells, and of one that needs the network."""
    folder = tmp_path_factory.mktemp("pages")
    html = {"text/html": '<img src="https://example.org/figure.png">'}
    output = nbformat.v4.new_output("display_data", html)
    distant = nbformat.v4.new_code_cell("", outputs=[output])
    for name, cells in ((BLANK, []), (DISTANT, [distant])):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    made = [*NOTEBOOKS, folder / f"{BLANK}.ipynb", folder / f"{DISTANT}.ipynb"]
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(folder), *map(str, made)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def shown(pages: Path, browser: Browser) -> Callable[[str], Shown]:
    """What the page of this name shows with the network cut."""

    def look(name: str) -> Shown:
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        try:
            page = context.new_page()
            requests, errors = watched(page)
            page.goto((pages / f"{name}.html").as_uri(), wait_until="load")
            frames = page.query_selector_all(".jp-OutputArea iframe")
            pictures = page.query_selector_all(".jp-OutputArea .jp-RenderedImage img")
            return Shown(
                pictures=sum(picture.evaluate(COLOURS) > 1 for picture in pictures),
                views=sum(map(is_drawn, frames)),
                tables=len(page.query_selector_all(".jp-OutputArea table.dataframe")),
                requests=Counter(requests),
                errors=Counter(errors),
            )
        finally:
            context.close()

    return look


def is_drawn(element: ElementHandle) -> bool:
    """Whether the page in a frame says that it is drawn, and has ink on its canvases."""
    element.scroll_into_view_if_needed()
    frame = element.content_frame()
    assert frame
    frame.wait_for_selector("html[data-state=drawn]", timeout=PATIENCE_MS)
    return frame.evaluate(INKED) > 0


@pytest.fixture(scope="module")
def blank(shown: Callable[[str], Shown]) -> Shown:
    """The page of a notebook without cells."""
    return shown(BLANK)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_page_shows_every_figure_without_a_network(path: Path, shown: Callable[[str], Shown], blank: Shown) -> None:
    outputs = outputs_of(nbformat.read(path, as_version=4))
    seen = shown(path.stem)
    assert seen.requests <= blank.requests
    assert seen.errors <= blank.errors
    html = [output.get("text/html", "") for output in outputs]
    assert seen.views == sum("<iframe" in one for one in html)
    assert seen.tables == sum('class="dataframe"' in one for one in html)
    assert seen.pictures == sum("image/png" in output and "text/html" not in output for output in outputs)


def test_a_figure_that_needs_the_network_is_noticed(shown: Callable[[str], Shown], blank: Shown) -> None:
    seen = shown(DISTANT)
    assert [*(seen.requests - blank.requests)] == ["https://example.org/figure.png"]
    assert seen.errors - blank.errors


def test_there_are_figures_of_both_kinds() -> None:
    outputs = [output for path in NOTEBOOKS for output in outputs_of(nbformat.read(path, as_version=4))]
    assert sum("<iframe" in output.get("text/html", "") for output in outputs) >= 2
    assert sum("image/png" in output and "text/html" not in output for output in outputs) >= 4
