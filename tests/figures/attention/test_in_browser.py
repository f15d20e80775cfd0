"""The page of a view in Chromium: its numbers are the table's, and each control works by mouse and keyboard."""

import numpy as np
import pytest
from playwright.sync_api import Page, Position

from interp_emerge.figures import AttentionView
from interp_emerge.figures.attention.page import SCRIPTS
from tests.figures.attention.views import HOSTILE, STEPS, averaged, family, weights
from tests.figures.conftest import Open, until_drawn


def one(**more) -> AttentionView:
    return AttentionView(frames=(weights(**more),))


def numbers(page: Page, table: int = 0) -> dict[int, float]:
    """The ranked numbers of a table, by token, in the order of the page."""
    rows = page.evaluate(
        """at => [...document.querySelectorAll("article table")[at].querySelectorAll("td[data-value]")]
           .map(cell => [Number(cell.dataset.token), cell.dataset.value])""",
        table,
    )
    return {token: float(value) for token, value in rows}


def change(page: Page, selector: str, value: str) -> None:
    """Set a control, as a user does."""
    page.locator(selector).fill(value)
    until_drawn(page)


def chosen(page: Page) -> str:
    return page.locator(".head[aria-pressed=true]").get_attribute("data-head") or ""


def ink(page: Page, selector: str = "article canvas") -> list[int]:
    """The strength of each pixel of a canvas, row by row."""
    return page.evaluate(
        """selector => { const { width, height } = document.querySelector(selector);
        const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(document.querySelector(selector), 0, 0);
        const image = copy.getImageData(0, 0, width, height).data;
        return [...image].filter((_, at) => at % 4 === 3); }""",
        selector,
    )


@pytest.mark.parametrize("mode", ["pattern", "value_weighted", "difference"])
def test_the_numbers_are_those_of_the_table(mode, opened: Open):
    view = one(mode=mode)
    page = opened(view, at="#head=a1.h0&token=6")
    table = view.to_frame("a1.h0")
    row = table[table["query"] == 6].set_index("key")["weight"]
    shown = numbers(page)
    assert shown == {key: float(np.float32(value)) for key, value in row.items() if value != 0}
    assert [*shown] == [*row.abs().sort_values(ascending=False).index]
    column = table[table["key"] == 6].set_index("query")["weight"]
    assert numbers(page, 1) == {query: float(np.float32(value)) for query, value in column.items() if value != 0}
    drawn = np.array(ink(page)).reshape(len(HOSTILE), -1)
    top = 1 if mode == "pattern" else max(float(np.abs(view.frames[0].weights[2]).max()), 1e-9)
    np.testing.assert_allclose(drawn, np.round(255 * np.abs(view.frames[0].weights[2]) / top), atol=1)


def test_bytes_are_drawn_too_and_the_page_says_how_exact_they_are(opened: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("interp_emerge.figures.attention.coding.EXACT_BYTES", 0)
    values = weights(mode="difference").weights.copy()
    values[2, 6, 3] = np.nan
    page = opened(one(mode="difference", weights=values), at="#head=a1.h0&token=6")
    shown, exact = numbers(page), values[2, 6, :7]
    half = float(np.nanmax(np.abs(values[2]))) / 254
    assert np.isnan(shown.pop(3))
    assert shown
    for key, value in shown.items():
        assert value == pytest.approx(exact[key], abs=half * 1.001)
    assert "Numbers are within" in page.inner_text("#legend")


def test_nan_is_shown_as_nan(opened: Open):
    values = weights().weights.copy()
    values[0, 9, :] = np.nan
    page = opened(one(weights=values))
    assert page.locator("article td[data-value]").first.inner_text() == "NaN"
    assert len(numbers(page)) == 10
    assert ink(page)[-10:] == [255] * 10


def test_hostile_tokens_are_text(opened: Open):
    page = opened(one())
    assert page.title() == "Attention of invented/x/step0/seed0"
    assert page.locator("img").count() == 0
    assert page.locator("article:visible .token bdi").all_text_contents() == [token or "(empty)" for token in HOSTILE]
    assert page.evaluate("document.querySelectorAll('script:not([type])').length") == len(SCRIPTS)
    page.locator(".token").nth(6).hover()
    assert "x" * 200 in page.inner_text("#readout")
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) <= 0


def test_a_token_shows_what_it_attends_to_and_is_locked_by_a_click(opened: Open):
    view = one()
    page = opened(view)
    tokens = page.locator("article:visible .token")
    tokens.nth(4).hover()
    assert [*numbers(page)] == [*np.argsort(-view.frames[0].weights[0, 4, :5])]
    tokens.nth(4).click()
    assert tokens.nth(4).get_attribute("aria-pressed") == "true"
    assert "token=4" in page.evaluate("location.hash")
    page.locator("h1").hover()
    assert len(numbers(page)) == 5, "locked"
    tokens.nth(4).click()
    page.locator("h1").hover()
    assert len(numbers(page)) == len(HOSTILE), "the last token again"


def test_tokens_are_walked_and_locked_by_keyboard(opened: Open):
    page = opened(one(), at="#token=2")
    tokens = page.locator("article:visible .token")
    tokens.nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "token=3" in page.evaluate("location.hash")
    page.keyboard.press("Escape")
    assert "token" not in page.evaluate("location.hash")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.token") == str(len(HOSTILE) - 1)


def test_a_cell_of_the_matrix_gives_its_number(opened: Open):
    view = one()
    page = opened(view)
    canvas = page.locator("article:visible .matrix canvas")
    box = canvas.bounding_box()
    assert box
    cell = box["width"] / len(HOSTILE)
    place: Position = {"x": 2.5 * cell, "y": 5.5 * cell}
    canvas.hover(position=place)
    assert page.inner_text("#readout").endswith(f"(2) {view.frames[0].weights[0, 5, 2]:.3f}")
    canvas.click(position=place)
    assert "token=5" in page.evaluate("location.hash")


def test_heads_are_chosen_and_filtered_by_mouse_and_keyboard(opened: Open):
    page = opened(family())
    assert page.inner_text("#count") == "4 of 4 heads"
    page.locator(".head[data-head='a1.h1']").click()
    until_drawn(page)
    assert chosen(page) == "a1.h1"
    assert page.locator("h2:visible").inner_text().startswith("a1.h1 ·")
    page.keyboard.press("ArrowLeft")
    until_drawn(page)
    assert chosen(page) == "a1.h0"
    assert "induction 0.750" in page.locator(".roles:visible").inner_text()
    assert "previous_token undefined" in page.locator(".roles:visible").inner_text()
    change(page, "#controls input >> nth=2", "induc")
    assert page.inner_text("#count") == "1 of 4 heads"
    change(page, "#controls input >> nth=2", "")
    page.locator("#controls select").first.select_option("a0")
    until_drawn(page)
    assert page.locator(".head:visible").count() == 2


def test_a_token_is_found_by_its_text(opened: Open):
    page = opened(one())
    find = page.get_by_label("find token")
    find.fill("script")
    until_drawn(page)
    assert page.locator("article:visible .token.found").count() == 2
    find.press("Enter")
    until_drawn(page)
    assert "token=1" in page.evaluate("location.hash")
    find.press("Enter")
    until_drawn(page)
    assert "token=3" in page.evaluate("location.hash")


def test_sliders_change_heads_and_numbers(opened: Open):
    view = family()
    page = opened(view, at="#head=a0.h1&token=9")
    steps, sizes = (page.locator(f"input[data-axis={axis}]") for axis in ("step", "size"))
    assert steps.get_attribute("aria-valuetext") == str(STEPS[-1])
    seen = []
    for size, n_heads in ((0, 2), (1, 4)):
        change(page, "input[data-axis=size]", str(size))
        for place in range(len(STEPS)):
            change(page, "input[data-axis=step]", str(place))
            frame = view.frames[3 * size + place]
            assert page.locator(".head").count() == n_heads
            assert frame.label in page.locator("h2:visible").inner_text()
            assert numbers(page) == {key: float(frame.weights[1, 9, key]) for key in range(len(HOSTILE))}
            seen.append(tuple(ink(page, ".head canvas")))
    assert len(set(seen)) == 6, "the small patterns are drawn again"
    steps.press("ArrowLeft")
    until_drawn(page)
    assert steps.get_attribute("aria-valuetext") == str(STEPS[1])
    assert sizes.get_attribute("aria-valuetext") == "2k"


def test_a_head_that_a_smaller_model_lacks_is_there_again_in_the_larger_one(opened: Open):
    page = opened(family(), at="#head=a1.h1")
    change(page, "input[data-axis=size]", "0")
    assert chosen(page) == "a0.h0"
    change(page, "input[data-axis=size]", "1")
    assert chosen(page) == "a1.h1"


def test_models_that_differ_in_nothing_named_have_one_slider(opened: Open):
    page = opened(AttentionView(frames=(weights(), weights(seed=1))))
    assert page.locator("input[type=range]").count() == 1
    change(page, "input[data-axis=model]", "0")
    assert "step0" in page.locator("h2:visible").inner_text()


def test_two_models_stand_side_by_side(opened: Open):
    view = family()
    page = opened(AttentionView(frames=view.frames, beside=2), at="#frame=5&head=a1.h0&token=9")
    titles = page.locator("h2:visible").all_inner_texts()
    assert titles == ["a1.h0 · invented/2k/step1000/seed0", "a0.h0 · invented/1k/step1000/seed0"]
    page.get_by_label("Head of the second model").last.select_option("a0.h1")
    until_drawn(page)
    assert numbers(page, 2) == {key: float(view.frames[2].weights[1, 9, key]) for key in range(len(HOSTILE))}
    page.locator("#controls label", has_text="beside").locator("select").select_option("-1")
    until_drawn(page)
    assert page.locator("h2:visible").count() == 1
    assert "beside=-1" in page.evaluate("location.hash"), "the link keeps that it was closed"


def test_a_link_restores_what_was_seen(opened: Open):
    view = family()
    page = opened(view, at="#frame=4&head=a1.h0&token=3&beside=1&layer=a1&heads=h&find=script&other=a0.h1")
    link = page.evaluate("location.hash")
    text = page.inner_text("main")
    again = opened(view, at=link)
    assert again.evaluate("location.hash") == link
    assert again.inner_text("main") == text
    assert again.locator(".head:visible").count() == 2
    assert again.locator("article:visible .token.found").count() == 4
    again.evaluate("location.hash = '#frame=99&head=nobody&token=1e9&beside=x'")
    again.locator("h2:visible", has_text="a0.h0").wait_for()


def test_a_mean_shows_intervals_and_what_uniform_attention_would_give(opened: Open):
    view = averaged()
    page = opened(view)
    frame = view.frames[0]
    assert frame.low is not None and frame.high is not None
    best = int(frame.weights[0, 2].argmax())
    cells = page.locator("article:visible table").first.locator("tbody tr").first.locator("td").all_inner_texts()
    low, high = (float(end[0, 2, best]) for end in (frame.low, frame.high))
    assert cells == [
        f"{frame.tokens[best]} ({best})",
        f"{frame.weights[0, 2, best]:.3f}",
        f"{low:.3f} to {high:.3f}",
        "0.250",
    ]
    page.locator("article:visible .token").last.hover()
    assert "is no query" in page.inner_text("#readout")


def test_dark_mode_has_other_colours_and_the_same_numbers(opened: Open):
    light, dark = (opened(one(), dark=dark) for dark in (False, True))
    colour = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(colour) != dark.evaluate(colour)
    assert ink(light) == ink(dark)
    assert numbers(light) == numbers(dark)


def test_circuitsvis_draws_small_views_without_running_their_tokens(opened: Open):
    page = opened(AttentionView(frames=(weights(),), renderer="circuitsvis"))
    page.wait_for_selector("canvas")
    assert page.locator("canvas").count() >= 4
    assert page.title() == "Attention of invented/x/step0/seed0"
    assert page.locator("img").count() == 0


def test_a_notebook_shows_the_page_and_without_frames_the_picture(opened: Open):
    html = one()._repr_mimebundle_()["text/html"]
    page = opened(html, wait=False)
    frame = page.frame_locator("iframe")
    frame.locator(".head canvas").first.wait_for()
    frame.locator(".token").nth(3).click()
    assert frame.locator(".token").nth(3).get_attribute("aria-pressed") == "true"
    stripped = opened(html[: html.index("<iframe")] + "</div>", wait=False)
    size = stripped.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]")
    assert min(size) > 200
