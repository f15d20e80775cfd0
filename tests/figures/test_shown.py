"""A figure shows itself: as a page that needs no network, as a picture where scripts are stripped, and as text."""

import base64
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.figures import interval_dots, shelf
from tests.figures.attention.test_accessible import axe
from tests.figures.conftest import Open
from tests.figures.test_contract import rows_for
from tests.report.browser import PATIENCE_MS

__all__ = ["axe"]

HOSTILE = "</script><img src=x onerror=alert(1)>"
GROUND = {"light": "white", "dark": "20, 24, 28"}
"""The ground of a drawn figure, as its style says it."""
INKED = "#drawing .mark-symbol path, #drawing .mark-rect path, #drawing .mark-line path, #drawing .mark-rule line"


def drawn() -> Any:
    ends = {"value_low": [0.5, None], "value_high": [2.0, 3.0]}
    return interval_dots(
        pd.DataFrame({"thing": [HOSTILE, "b"], "value": [1.0, 2.0], **ends}), thing="thing", title="score"
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_draws_without_a_network_in_light_and_dark(dark: bool, opened: Open):
    page = opened(drawn(), dark=dark)
    assert len(page.query_selector_all(INKED)) >= 3
    assert HOSTILE in page.inner_text("body")
    background = page.eval_on_selector("#drawing svg", "drawn => getComputedStyle(drawn).backgroundColor")
    assert background == ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)")


def test_every_figures_page_draws_what_it_has_and_axe_finds_no_violation(opened: Open, request: pytest.FixtureRequest):
    pages = {figure.__name__: opened(figure(rows_for(figure))) for figure in shelf}
    for name, page in pages.items():
        assert len(page.query_selector_all(INKED)) >= 3, name
        assert page.title() not in ("", "Figure")
    axe = request.getfixturevalue("axe")  # without npm the rest is skipped
    for name, page in pages.items():
        page.evaluate(axe)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.wait_for_selector(
                f'html[data-state=drawn] #drawing svg[style*="{GROUND[scheme]}"]', timeout=PATIENCE_MS
            )
            found = page.evaluate("axe.run()")["violations"]
            assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == [], (name, scheme)


FAINT = """() => [...document.querySelectorAll("#drawing .mark-line path")]
    .map(path => Number(path.getAttribute("opacity"))).filter(opacity => opacity < 0.1).length"""


def test_a_click_pins_a_nodes_edges_and_the_slider_hides_weak_ones(opened: Open):
    table = rows_for(shelf["circuit_graph"])
    page = opened(shelf["circuit_graph"](table))
    lines = page.locator("#drawing .mark-line path")
    assert page.evaluate(FAINT) == 0 and lines.count() == len(table)
    page.locator('#drawing [aria-label="a0.h1"]').first.click(force=True)
    page.mouse.move(2, 2)
    own = (table["writer"] == "a0.h1") | table["reader"].str.startswith("a0.h1.")
    page.wait_for_timeout(300)
    assert page.evaluate(FAINT) == (~own).sum() > 0
    page.locator("input[type=range]").fill("1.2")
    page.wait_for_timeout(300)
    assert lines.count() == (table["score"].abs() >= 1.2).sum() > 0


def test_a_page_holds_the_library_once_and_packed():
    chart = drawn()
    assert len(chart.to_html()) < 450_000 + len(json.dumps(chart.to_dict()))


class Stripped(HTMLParser):
    """What is left of a page without scripts and frames, as GitHub shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += [value or "" for name, value in attrs if tag == "img" and name == "src"]


def test_the_forms_in_a_notebook_are_html_png_and_text():
    forms = drawn()._repr_mimebundle_()
    assert sorted(forms) == ["image/png", "text/html", "text/plain"]
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    left = Stripped()
    left.feed(forms["text/html"])
    assert left.pictures == [f"data:image/png;base64,{forms['image/png']}"]
    assert "Figure(" in forms["text/plain"] and "</script><img" in forms["text/plain"]


CELL = """
import pandas as pd
from interp_emerge.figures import interval_dots
interval_dots(pd.DataFrame({"thing": ["a"], "value": [1.0], "value_low": [0.5], "value_high": [2.0]}), thing="thing",
              title="score")
"""


def test_an_executed_notebook_keeps_the_picture_and_its_page_draws_without_a_network(opened: Open):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    shown = opened(f"<!doctype html><title>notebook</title>{page}", wait=False)
    frame = shown.wait_for_selector("iframe")
    assert frame
    inside = frame.content_frame()
    assert inside
    inside.wait_for_selector("html[data-state=drawn]")
    assert len(inside.query_selector_all(INKED)) >= 2


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_in_a_cell_it_looks_as_the_notebook_does_and_not_as_the_system_and_a_wide_one_shrinks(dark: bool, opened: Open):
    bundle: Any = shelf["circuit_graph"](rows_for(shelf["circuit_graph"]))._repr_mimebundle_()
    cell = bundle["text/html"]
    style = f"background: {'rgb(17, 17, 17)' if dark else 'white'}; width: 900px; margin: 0"
    around = opened(f'<!doctype html><title>notebook</title><body style="{style}">{cell}', dark=not dark, wait=False)
    page = around.frame_locator("iframe")
    page.locator(f"html[data-state=drawn][data-ground={'dark' if dark else 'light'}]").wait_for()
    around.wait_for_timeout(300)
    ground = page.locator("#drawing svg.marks").evaluate("drawn => getComputedStyle(drawn).backgroundColor")
    assert ground == ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)")
    width, scrolled = page.locator("#drawing").evaluate("it => [it.clientWidth, it.scrollWidth]")
    assert scrolled <= width < 900


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<svg"), ("json", b"{")])
def test_it_saves_itself_in_the_form_that_the_ending_names(suffix: str, start: bytes, tmp_path: Path):
    path = drawn().save(tmp_path / f"figure.{suffix}")
    assert path.read_bytes().startswith(start)


def test_a_dark_picture_has_other_colours_and_the_same_rows(tmp_path: Path):
    light, dark = (json.loads(drawn().save(tmp_path / f"{theme}.json", theme=theme).read_text())
                   for theme in ("light", "dark"))  # fmt: skip
    assert light["datasets"] == dark["datasets"]
    assert (light["config"]["background"], dark["config"]["background"]) == ("white", "#14181c")


def test_another_theme_or_ending_is_refused(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="theme"):
        drawn().save(tmp_path / "figure.png", theme="sepia")
    with pytest.raises(InputError, match=r"end it in .svg, .pdf, .png, .html, .json"):
        drawn().save(tmp_path / "figure.gif")


def test_it_stays_a_chart_of_altair_that_can_be_changed():
    chart = drawn()
    assert isinstance(chart, alt.LayerChart)
    assert "text/html" in (chart.properties(width=200)._repr_mimebundle_() or {})


def test_its_text_is_short_and_says_how_many_rows_there_are():
    table = rows_for(shelf["head_effects"])
    text = str(shelf["head_effects"](table))
    assert len(text.splitlines()) < 12
    assert f"{(table['kind'] != 'embed').sum()} rows" in text.splitlines()[0]
