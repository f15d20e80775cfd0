"""Search in the circuit's graph, and heads of one role that fold into one node: by mouse and by keyboard."""

from functools import cache
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Page

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.figures.circuit_graph import circuit_graph
from tests.figures.conftest import Open
from tests.figures.drawn import dataset

EDGES = [
    ("embed", "a0.h0.v", 1.0), ("embed", "a0.h1.v", -2.0), ("embed", "a0.h2.v", 0.5), ("a0.h0", "a1.h0.k", 1.5),
    ("a0.h1", "a1.h0.k", 1.0), ("a0.h1", "a1.h1.k", 0.7), ("a0.h2", "a1.h1.q", 0.4), ("a1.h0", "logits", 3.0),
    ("a1.h1", "logits", 2.0), ("a1.h1", "a2.h0.k", 0.1), ("a2.h0", "logits", float("nan")),
]  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>"
ROLES = {"a0.h0": "previous token", "a0.h1": "previous token", "a0.h2": HOSTILE}
ROLES |= dict.fromkeys(["a1.h0", "a1.h1", "a2.h0"], "induction")
BEFORE, AFTER = "previous token, layer 0", "induction, layer 1"
NODE = '[aria-roledescription="node"]'


def table() -> pd.DataFrame:
    return pd.DataFrame(EDGES, columns=["writer", "reader", "score"])


@cache
def graph(fold: str = "layer") -> Any:
    return circuit_graph(table(), roles=ROLES, fold=fold)


def shown_when_folded(chart, *names: str) -> dict[tuple[str, str], float]:
    """The edges that are drawn while exactly these supernodes are folded."""
    edges = dataset(chart, "edges")
    suits = [edges[f"{end}_folded"] == edges[f"{end}_group"].isin(names) for end in ("writer", "target")]
    edges = edges[suits[0] & suits[1]]
    return dict(zip(zip(edges["writer"], edges["reader"], strict=True), edges["score"], strict=True))


def test_an_edge_of_a_supernode_has_the_sum_of_the_scores_and_says_of_how_many():
    chart = graph()
    assert shown_when_folded(chart) == pytest.approx({(w, r): s for w, r, s in EDGES}, nan_ok=True)
    both = shown_when_folded(chart, BEFORE, AFTER)
    assert both["embed", f"{BEFORE}.v"] == -1.0
    assert both[BEFORE, f"{AFTER}.k"] == pytest.approx(3.2)
    assert both[AFTER, "logits"] == 5.0
    assert len(both) == 7
    one = shown_when_folded(chart, AFTER)
    assert one["a0.h0", f"{AFTER}.k"] == 1.5 and one["a0.h1", f"{AFTER}.k"] == pytest.approx(1.7)
    edges = dataset(chart, "edges").set_index(["writer", "reader"])["n_edges"]
    assert edges[BEFORE, f"{AFTER}.k"] == 3 and edges["embed", "a0.h0.v"] == 1


def test_heads_fold_within_a_layer_or_over_the_graph_and_a_sum_with_an_undefined_score_is_undefined():
    nodes = dataset(graph(), "nodes").set_index("node")
    assert nodes["members"].dropna().to_dict() == {BEFORE: "a0.h0, a0.h1", AFTER: "a1.h0, a1.h1"}
    whole = graph("graph")
    name = "induction, all layers"
    assert dataset(whole, "nodes").set_index("node")["members"][name] == "a1.h0, a1.h1, a2.h0"
    folded = shown_when_folded(whole, name)
    assert pd.isna(folded[name, "logits"]) and len(folded) == len(EDGES) - 4
    with pytest.raises(UnknownNameError, match="unknown way of folding heads 'role'"):
        circuit_graph(table(), roles=ROLES, fold="role")


def test_without_two_heads_of_a_role_nothing_folds_and_the_drawn_edges_are_the_tables():
    chart = circuit_graph(table(), roles={"a0.h0": "previous token", "a1.h0": "induction"})
    assert len(dataset(chart, "edges")) == len(EDGES) and "members" not in dataset(chart, "nodes")
    assert "folding" not in {param["name"] for param in chart.to_dict(validate=False)["params"]}


def names(page: Page) -> set[str]:
    page.wait_for_timeout(150)
    return set(page.eval_on_selector_all(NODE, "all => all.map(one => one.getAttribute('aria-label'))"))


def in_view(page: Page) -> set[str]:
    """The edges that are not faded."""
    return set(page.eval_on_selector_all("#drawing .mark-line path", """all => all.filter(
        one => Number(one.getAttribute("opacity")) > 0.1).map(one => one.getAttribute("aria-label"))"""))  # fmt: skip


def test_roles_fold_and_unfold_by_mouse(opened: Open):
    page = opened(graph())
    apart = names(page)
    assert {"a1.h0", "a1.h1"} < apart and AFTER not in apart
    page.get_by_label("Fold heads of one role").check()
    assert names(page) == {"embed", "a0.h2", BEFORE, AFTER, "a2.h0", "logits"}
    page.locator(f'{NODE}[aria-label="{AFTER}"]').click()
    page.mouse.move(2, 2)
    assert {"a1.h0", "a1.h1", BEFORE} < names(page) and AFTER not in names(page)
    assert in_view(page) == {f"{BEFORE} → a1.h0.k", f"{BEFORE} → a1.h1.k", "a0.h2 → a1.h1.q", "a1.h0 → logits",
                             "a1.h1 → logits", "a1.h1 → a2.h0.k"}  # fmt: skip
    page.locator(f'{NODE}[aria-label="Fold {AFTER}"]').first.click()
    assert AFTER in names(page) and "a1.h0" not in names(page)
    page.get_by_label("Fold heads of one role").uncheck()
    assert names(page) == apart


def focused(page: Page) -> str:
    page.wait_for_timeout(150)
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_roles_fold_and_unfold_by_keyboard(opened: Open):
    page = opened(graph())
    page.get_by_label("Fold heads of one role").focus()
    page.keyboard.press("Space")
    page.locator("#drawing").focus()
    page.keyboard.press("Tab")
    seen = [focused(page)]
    for key in ["ArrowUp"] * 4 + ["ArrowDown"]:
        page.keyboard.press(key)
        seen.append(focused(page))
    assert "logits" in seen, "arrow keys lead to the top"
    while focused(page) != AFTER:
        before = focused(page)
        page.keyboard.press("ArrowDown")
        assert focused(page) != before, "the supernode is not on the way down"
    page.keyboard.press("Enter")
    assert {"a1.h0", "a1.h1"} < names(page)
    assert focused(page) == f"Fold {AFTER}", "the focus stays where the supernode was"
    page.keyboard.press("Enter")
    assert focused(page) == AFTER and "a1.h0" not in names(page)


def test_search_finds_names_roles_and_members_and_outlines_them(opened: Open):
    page = opened(graph())
    field = page.get_by_label("Find a node or role")
    field.focus()
    page.keyboard.type("Induction")
    page.keyboard.press("Enter")
    page.wait_for_timeout(150)
    assert "3 nodes found" in (page.text_content("#drawing") or "")
    assert "embed → a0.h0.v" not in in_view(page) and "a0.h0 → a1.h0.k" in in_view(page)
    thick = "all => all.filter(one => one.getAttribute('stroke-width') === '3').length"
    assert page.eval_on_selector_all(NODE, thick) == 3
    page.get_by_label("Fold heads of one role").check()
    field.fill("a1.h1")
    page.wait_for_timeout(150)
    assert "1 node found" in (page.text_content("#drawing") or "")
    field.fill("<img")
    page.wait_for_timeout(150)
    assert "1 node found" in (page.text_content("#drawing") or "") and page.locator("#drawing img").count() == 0
    field.fill("no such node")
    page.wait_for_timeout(150)
    assert "0 nodes found" in (page.text_content("#drawing") or "")
