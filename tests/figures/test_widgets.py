"""Live widgets: a front end that loads their module as anywidget does shows their state, and changes it."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Page

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.figures import AttentionView, shelf
from tests.figures.attention.views import HOSTILE, STEPS, family, weights
from tests.figures.conftest import Open
from tests.figures.test_contract import rows_for
from tests.figures.test_shown import drawn
from tests.report.browser import PATIENCE_MS

FRONT_END = """async ({ module, state }) => {
    const told = {};
    window.sent = [];
    window.model = {
        get: name => state[name],
        set: (name, value) => { window.sent.push([name, value]); window.change(name, value); },
        save_changes: () => { window.sent.push("saved"); },
        on: (event, listener) => { (told[event] ||= []).push(listener); },
        off: (event, listener) => { told[event] = (told[event] || []).filter(one => one !== listener); },
    };
    window.change = window.fromPython = (name, value) => {
        state[name] = value;
        for (const one of told["change:" + name] || []) one();
    };
    const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    const { default: { render } } = await import(address);
    window.end = await render({ model: window.model, el: document.getElementById("cell") });
}"""
"""A model as anywidget gives it to a module, which it loads from a blob; it hears its own changes too."""
DRAWN = "#cell > [data-state=drawn]"
FAINT = '() => [...document.querySelector("#cell > *").shadowRoot.querySelectorAll(".mark-line path")].map(' \
    'path => Number(path.getAttribute("opacity")) < 0.1)'  # fmt: skip


@pytest.fixture
def live(opened: Open) -> Callable[[Any], Page]:
    """Shows a widget in a dark notebook with the network cut, in which no text is run as code."""

    def show(widget: Any) -> Page:
        policy = "default-src 'none'; script-src blob:; style-src 'unsafe-inline'; img-src data: blob:"
        page = opened(
            f'<!doctype html><title>notebook</title><meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<body style="background: rgb(17, 17, 17)"><div id="cell"></div>',
            wait=False,
        )
        state = {name: value for name, value in widget.get_state().items() if not name.startswith("_")}
        page.evaluate(FRONT_END, {"module": widget._esm, "state": json.loads(json.dumps(state, default=str))})
        page.wait_for_selector(DRAWN, timeout=PATIENCE_MS)
        return page

    return show


def told(page: Page, widget: Any) -> None:
    """Hand to Python what the front end has sent."""
    sent = page.evaluate("window.sent.splice(0)")
    assert not sent or sent[-1] == "saved"
    widget.set_state(dict(one for one in sent if one != "saved"))


def graph(table: pd.DataFrame | None = None) -> Any:
    figure = shelf["circuit_graph"]
    return figure(rows_for(figure) if table is None else table)


def test_an_attention_widget_begins_as_the_page_does_and_refuses_what_the_view_lacks():
    widget = family().widget()
    assert (widget.frame, widget.head, widget.token) == (5, "a0.h0", None)
    with pytest.raises(UnknownNameError, match=r"head of this view 'a9.h9'"):
        widget.head = "a9.h9"
    with pytest.raises(InputError, match="frame cannot be 6; give the number of a model, from 0 to 5"):
        widget.frame = 6
    with pytest.raises(InputError, match="token cannot be 10"):
        widget.token = 10
    assert (widget.frame, widget.head, widget.token) == (5, "a0.h0", None)


def test_changes_made_together_are_all_undone_if_one_is_refused():
    widget, other = family().widget(), graph().widget()
    with pytest.raises(InputError, match="token cannot be 10"):
        widget.set_state({"token": 10, "head": "a1.h1"})
    with pytest.raises(InputError, match="token cannot be True"):
        widget.token = True
    with pytest.raises(UnknownNameError, match=r"'a9.h9'"), other.hold_trait_notifications():
        other.search, other.pinned = "m0", ["a9.h9"]
    assert (widget.head, widget.token, other.search, other.pinned) == ("a0.h0", None, "", [])


@pytest.mark.parametrize("score", [float("inf"), -float("inf")])
def test_a_graph_with_an_infinite_score_is_refused_by_the_edge(score: float):
    table = rows_for(shelf["circuit_graph"])
    table.loc[table.index[0], "score"] = score
    with pytest.raises(InputError, match=r"the score of embed → a0.h1.v is -?inf, .*leave that edge out"):
        graph(table)


def test_a_graph_widget_refuses_unknown_nodes_and_a_threshold_that_it_lacks():
    widget, small = graph().widget(), graph(rows_for(shelf["circuit_graph"]).head(3)).widget()
    with pytest.raises(UnknownNameError, match=r"node of this graph 'a9.h9'"):
        widget.pinned = ["a9.h9"]
    with pytest.raises(InputError, match="threshold cannot be -1"):
        widget.threshold = -1.0
    with pytest.raises(InputError, match="few edges and no threshold"):
        small.threshold = 0.5
    assert (widget.pinned, widget.threshold, small.threshold) == ([], 0.0, 0.0)


def test_circuits_side_by_side_name_their_nodes_by_model_too():
    figure: Any = shelf["circuits_side_by_side"]
    widget = figure(rows_for(figure)).widget()
    with pytest.raises(UnknownNameError, match=r"did you mean '500k: a0.h3'"):
        widget.pinned = ["500k a0.h3"]
    widget.pinned = ["500k: a0.h3"]


def test_a_figure_without_a_live_widget_says_which_have_one():
    with pytest.raises(InputError, match=r"ie\.figures\.circuit_graph.* have one"):
        drawn().widget()
    with pytest.raises(InputError, match="use the default renderer"):
        AttentionView(frames=(weights(),), renderer="circuitsvis").widget()


def test_without_anywidget_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("interp_emerge.figures._widget.find_spec", lambda name: None)
    for shown in (family(), graph()):
        with pytest.raises(InputError, match=r"pip install 'interp-emerge\[widget\]'"):
            shown.widget()


def test_what_a_notebook_keeps_of_a_widget_is_a_picture_and_no_script():
    for shown in (family(), graph()):
        data, _ = shown.widget()._repr_mimebundle_()
        assert sorted(data) == ["application/vnd.jupyter.widget-view+json", "image/png", "text/plain"]
        assert "Widget(" in data["text/plain"]


def test_the_state_of_attention_goes_both_ways_and_hostile_tokens_are_text(live: Callable[[Any], Page]):
    view = family()
    widget = view.widget()
    seen: list[Any] = []
    widget.observe(lambda change: seen.append(change["new"]), "head")
    page = live(widget)
    assert page.evaluate("window.sent") == [], "nothing changed yet"
    assert page.locator("article:visible .token bdi").all_text_contents() == [token or "(empty)" for token in HOSTILE]
    assert page.title() == "notebook" and page.locator("#cell img, #cell script").count() == 0
    page.locator(".head[data-head='a1.h1']").click()
    page.locator(".token").nth(4).click()
    page.locator("input[data-axis=step]").fill("0")
    page.wait_for_selector(DRAWN)
    told(page, widget)
    assert (seen, widget.token, widget.frame) == (["a1.h1"], 4, 3)
    page.get_by_label("find token").fill("script")
    page.evaluate("fromPython('head', 'a1.h0'); fromPython('token', null); fromPython('frame', 5)")
    page.locator("h2:visible", has_text="a1.h0 · invented/2k/step1000").wait_for()
    page.wait_for_selector(DRAWN)
    assert page.locator(".head[aria-pressed=true]").get_attribute("data-head") == "a1.h0"
    assert page.locator(".token[aria-pressed=true]").count() == 0
    assert page.locator("input[data-axis=step]").get_attribute("aria-valuetext") == str(STEPS[-1])
    assert page.locator("article:visible .token.found").count() == 2, "what else the reader chose stays"
    page.evaluate("window.sent.length = 0; window.end(); fromPython('head', 'a0.h0')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.sent") == [] and "a1.h0" in page.locator("h2:visible").inner_text()


def test_the_state_of_a_graph_goes_both_ways_and_it_looks_as_the_notebook_does(live: Callable[[Any], Page]):
    table = rows_for(shelf["circuit_graph"])
    widget = graph(table).widget()
    page = live(widget)
    page.wait_for_selector("#cell > [data-ground=dark][data-state=drawn]")
    ground = page.locator("svg.marks").evaluate("drawn => getComputedStyle(drawn).backgroundColor")
    assert ground == "rgb(20, 24, 28)"
    lines = page.locator(".mark-line path")
    assert lines.count() == len(table) and not any(page.evaluate(FAINT))
    page.locator('[aria-label="a0.h1"]').first.click(force=True)
    page.mouse.move(2, 2)
    page.locator("input[type=range]").fill("1.2")
    page.locator("input[type=search]").fill("a1.h")
    page.wait_for_timeout(300)
    told(page, widget)
    assert (widget.pinned, widget.threshold, widget.search) == (["a0.h1"], 1.2, "a1.h")
    assert lines.count() == (table["score"].abs() >= 1.2).sum() > 0
    page.evaluate("fromPython('threshold', 0); fromPython('search', ''); fromPython('pinned', ['m0', 'a1.h1'])")
    page.wait_for_timeout(300)
    own = ["m0", "a1.h1"]
    ends = table["reader"].str.replace(r"\.[qkv]$", "", regex=True)
    assert lines.count() == len(table)
    assert page.evaluate(FAINT).count(True) == (~(table["writer"].isin(own) | ends.isin(own))).sum() > 0
    assert page.locator("input[type=range]").input_value() == "0"
    page.locator('[aria-label="m0"]').first.click(force=True, modifiers=["Shift"])
    page.mouse.move(2, 2)
    page.wait_for_timeout(200)
    told(page, widget)
    assert widget.pinned == ["a1.h1"], "a click with Shift takes one away that Python pinned"
    page.evaluate("fromPython('pinned', [])")
    page.wait_for_timeout(300)
    assert not any(page.evaluate(FAINT))
    assert page.evaluate("[window.vegaEmbed, window.vega]") == [None, None], "the notebook's own names are left alone"
    page.evaluate("window.end()")
