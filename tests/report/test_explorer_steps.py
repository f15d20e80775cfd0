"""The explorer over steps: roles of all heads, edges that have vanished, and what its words and marks say."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.figures.invented import LAST, STEPS
from tests.report.browser import wait_until_drawn
from tests.report.fake_study import EDGES, EVIL, FORMER, LEFT_OUT, OUTGROWN, WHOLE

NARROW, MIDDLE, WIDE = (400, 800), (900, 800), (1280, 800)
TABLES = "all => all.map(one => [one.id, [...one.querySelectorAll('tbody tr')].filter(row => !row.hidden).length])"


@pytest.fixture
def page(opened: Page, report: Path) -> Page:
    """The size in which all heads and all steps' circuits were followed, with every edge drawn."""
    opened.set_viewport_size({"width": 1280, "height": 900})
    return go(opened, report, f"size={WHOLE}&top=400")


def go(page: Page, report: Path, at: str) -> Page:
    page.goto("about:blank")
    page.goto(f"{report.resolve().as_uri()}#{at}", wait_until="load")
    wait_until_drawn(page)
    return page


def status(page: Page) -> str:
    return page.inner_text("#explorer-status")


def slide(page: Page, step: int) -> None:
    """Move the slider of steps."""
    move = f"one => {{ one.value = {STEPS.index(step)}; one.dispatchEvent(new Event('input')) }}"
    page.locator("#explorer-step").evaluate(move)


def edge(page: Page, ends: tuple[str, str]) -> tuple[set[str], str]:
    """The classes of an edge of the graph, and what it says under the pointer."""
    found = page.locator("#explorer-graph path.edge").filter(has_text=" → ".join(ends) + ":")
    return set((found.get_attribute("class") or "").split()), found.text_content() or ""


def test_an_edge_of_an_earlier_circuit_comes_and_vanishes_and_says_when(page: Page):
    states = {}
    for step in STEPS:
        slide(page, step)
        classes, said = edge(page, FORMER)
        states[step] = next(iter({"later", "now", "gone"} & classes))
        assert "negative" in classes
        assert "in the circuit of steps 512 and 1,024" in said and "not in that of the last step" in said
    assert [step for step in STEPS if states[step] == "now"] == [512, 1024]
    assert {states[step] for step in STEPS if step < 512} == {"later"}
    assert {states[step] for step in STEPS if step > 1024} == {"gone"}
    assert "effect −0.02 [−0.12, 0.08], vanished" in edge(page, FORMER)[1]
    assert "at step 1,024 with an effect of −0.80 [−0.90, −0.70]" in edge(page, FORMER)[1]
    drawn = "one => [getComputedStyle(one).opacity, getComputedStyle(one).strokeDasharray]"
    opacity, dashes = page.locator("#explorer-graph path.edge.gone").evaluate(drawn)
    assert float(opacity) < 0.5 and dashes != "none"


def test_the_legend_counts_edges_that_have_vanished_and_those_that_others_have_outgrown(page: Page):
    gone = "1 edge has vanished by this step: a0.h5 → m3 (until step 1,024)."
    outgrown = "1 keeps its effect, but others have outgrown it: a0.h5 → m2 (until step 512)."
    assert page.inner_text("#explorer-vanished") == f"{gone} {outgrown}"
    assert "effect −0.80 [−0.90, −0.70], outgrown by others" in edge(page, OUTGROWN)[1]
    page.locator("[data-key='node-a0.h5']").click()
    listed = page.locator("#explorer-edges-out tr").all_inner_texts()
    assert [row.split("\t") for row in listed] == [["m2", "−0.80", "outgrown"], ["m3", "−0.02", "vanished"]]
    slide(page, 512)
    assert page.inner_text("#explorer-vanished") == "No drawn edge has vanished by this step."


def test_an_edge_that_the_last_search_left_out_has_not_vanished(page: Page):
    drawn = page.eval_on_selector_all("#explorer-graph path.edge", "all => all.map(one => one.textContent)")
    assert any(text.startswith(" → ".join(FORMER)) for text in drawn)
    assert not any(text.startswith(" → ".join(LEFT_OUT)) for text in drawn)
    assert "1 edge is among the strongest at the last step, but not in the circuit" in page.inner_text(
        "#explorer-missing"
    )


@pytest.mark.parametrize(
    ("role", "heads"),
    [
        ("copying", {"a3.h0"}),
        ("induction", {"a3.h0", "a0.h5"}),
        ("previous token", {"a0.h1"}),
        ("copying and induction", {"a3.h0"}),
        ("copying a0.h5", set()),
    ],
)
def test_search_finds_every_head_that_plays_a_role(page: Page, role: str, heads: set[str]):
    page.get_by_label("Find a node or role").fill(role)
    found = page.eval_on_selector_all(".node.found", "all => all.map(one => one.dataset.key.slice(5))")
    assert set(found) == heads


def test_a_head_bears_all_of_its_roles(page: Page):
    label = page.locator("[data-key='node-a3.h0']").get_attribute("aria-label")
    assert label == "a3.h0, induction 100% of its last value, copying 100% of its last value"
    assert page.locator("[data-key='node-a3.h0'] .fill").count() == 2
    page.locator("[data-key='node-a0.h5']").click()
    assert "plays this role" in page.inner_text("#explorer-head-says")


def test_a_head_that_the_last_circuit_lacks_is_told_apart(page: Page):
    outside = page.eval_on_selector_all(".node.outside", "all => all.map(one => one.dataset.key.slice(5))")
    assert "a0.h5" in outside and not {"a3.h0", "a0.h1", "embed", "logits"} & {*outside}
    label = page.locator("[data-key='node-a0.h5']").get_attribute("aria-label") or ""
    assert label.startswith("a0.h5, not in the circuit of the last step, induction")


def test_every_head_has_its_values_at_every_step(page: Page):
    for quantity in ("induction", "effect"):
        page.locator("#explorer-map").select_option(quantity)
        slide(page, 1024)
        assert page.locator("#explorer-map-room .cell").count() > 20
        assert page.locator("#explorer-map-room .unmeasured").count() == 0


def test_a_verdict_names_its_step(page: Page):
    slide(page, 0)
    assert f"Verdict at step {LAST:,}: faithful" in page.inner_text("#explorer-graph-note")


def test_edges_that_have_half_of_their_effect_are_counted_as_such(page: Page, report: Path):
    go(page, report, "size=1m&step=0")
    assert "; 0 of 4 edges have half of their final effect (89 more: not followed)" in status(page)
    slide(page, min(EDGES.values()))
    assert "; 1 of 4 edges has half of its final effect" in status(page)


def test_every_step_has_a_tick_and_the_chosen_one_its_name(page: Page):
    for step in STEPS:
        slide(page, step)
        assert page.locator("#explorer-steps line.mark").count() == len(STEPS)
        assert page.text_content("#explorer-steps text.tick.here") == f"{step:,}"
        boxes = page.eval_on_selector_all(
            "#explorer-steps text.tick[text-anchor=middle]",
            "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])",
        )
        assert all(right < left for (_, right), (left, _) in zip(sorted(boxes), sorted(boxes)[1:], strict=False))
    assert page.locator("#explorer-step-marks option").count() == len(STEPS)


def test_chance_is_the_only_dashed_line_and_says_its_value(page: Page):
    dashes = "all => all.map(one => getComputedStyle(one).strokeDasharray)"
    assert set(page.eval_on_selector_all("#explorer-steps .curve", dashes)) == {"none"}
    assert "none" not in page.eval_on_selector_all("#explorer-steps .level", dashes)
    assert page.text_content("#explorer-steps text.name.chance") == "chance 0.04"
    assert page.text_content("#explorer-steps text.start") == "heads, untrained"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_of_a_circuit_has_the_colours_of_the_explorer(page: Page, report: Path, theme: str):
    go(page, report, f"size={WHOLE}&top=400&theme={theme}")
    figure = page.locator("#circuit [role=tabpanel]:not([hidden])")
    figure.evaluate("one => { one.closest('details').open = true }")
    figure.locator(".drawing[data-state=drawn]").wait_for()
    strokes = "all => [...new Set(all.map(one => getComputedStyle(one).stroke))].filter(one => one !== 'none')"
    fills = strokes.replace("stroke", "fill")
    edges = set(page.eval_on_selector_all("#explorer-graph path.edge", strokes))
    drawn = set(figure.locator(".mark-line path").evaluate_all(strokes))
    assert len(edges) == 5 and drawn and drawn <= edges
    boxes = set(page.eval_on_selector_all("#explorer-graph .node.head .box, .node.mlp .box", fills))
    shown = set(figure.locator(".mark-rect path").evaluate_all(fills))
    assert len(boxes) == 2 and boxes <= shown


@pytest.mark.parametrize("size", [WHOLE, "1m", "200k"])
def test_the_example_of_the_search_is_found(page: Page, report: Path, size: str):
    go(page, report, f"size={size}")
    field = page.get_by_label("Find a node or role")
    for word in (field.get_attribute("placeholder") or "").split(" or "):
        field.fill(word)
        assert page.locator(".node.found").count() > 0


def test_attention_opens_at_the_token_that_predicts_the_answer(page: Page, report: Path):
    go(page, report, "size=1m")
    page.wait_for_function("() => document.getElementById('explorer-canvas').dataset.drawn")
    assert page.input_value("#explorer-token") == str(len(EVIL) - 1)


@pytest.mark.parametrize(("width", "height"), [WIDE, MIDDLE, NARROW])
def test_the_status_stays_in_sight_beside_the_sliders(page: Page, width: int, height: int):
    page.set_viewport_size({"width": width, "height": height})
    seen = """() => {
        const room = document.getElementById("explorer-room").getBoundingClientRect();
        const line = document.getElementById("explorer-status");
        const box = line.getBoundingClientRect();
        if (room.top > 0 || room.bottom < box.height + 250) return null;
        const heights = [box.top + 4, (box.top + box.bottom) / 2, box.bottom - 4];
        return heights.every((y) => line.contains(document.elementFromPoint(box.left + 20, y)));
    }"""
    found = []
    for down in range(0, 3000, 150):
        page.evaluate(f"scrollTo(0, {down})")
        found.append(page.evaluate(seen))
    assert True in found and False not in found
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_what_the_study_does_not_have_is_ignored_and_named(page: Page, report: Path):
    whole, shown = page.eval_on_selector_all(".table-block", TABLES), status(page)
    go(page, report, f"size={WHOLE}&top=400&step=-1&head=a9.h9&beside=2")
    assert page.eval_on_selector_all(".table-block", TABLES) == whole
    ignored = (
        " The address asks for step −1, head a9.h9, beside 2, which this study does not have and this page ignores."
    )
    assert status(page) == shown + ignored
    slide(page, 512)
    assert "step −1" not in status(page) and "step 512." in status(page)
    go(page, report, f"size={WHOLE}&step=512&token=3&fold=layer&theme=light&tab.circuit-2-tabs=1")
    assert "ignores" not in status(page)
