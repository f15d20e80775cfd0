"""Search in the explorer's circuit, and heads of one role that fold into one node: by mouse and by keyboard."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from interp_emerge.figures._page import json_for_script
from tests.figures.conftest import until_drawn
from tests.report.browser import browse

MORE = {"a3.h1": "induction", "a1.h5": "previous_token"}
"""Heads that play the role that another head of 1m plays too: one in the same layer, one in another."""
FOLDED = "2 heads, induction: a3.h0, a3.h1"


@pytest.fixture(scope="module")
def opened(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The invented report, in whose data two more heads play a role."""
    before, start, rest = report.read_text().partition('id="explorer-data">')
    text, end, after = rest.partition("</script>")
    data = json.loads(text)
    (run,) = (run for run in data["runs"] if (run["size"], run["seed"]) == ("1m", 0))
    for head, role in MORE.items():
        values = next(iter(run["roles"][role].values()))
        run["roles"][role] |= {head: values}
        run["plays"][role].append(head)
    path = tmp_path_factory.mktemp("study") / "report.html"
    path.write_text(before + start + str(json_for_script(data)) + end + after)
    with browse(path, at="#size=1m&top=400") as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """The graph as it opens, whatever a test before has searched or folded."""
    address = opened.url.partition("#")[0]
    opened.goto("about:blank")
    opened.goto(f"{address}#size=1m&top=400", wait_until="load")
    until_drawn(opened)
    return opened


def nodes(page: Page) -> set[str]:
    return set(page.eval_on_selector_all("#explorer-graph g.node", "all => all.map(one => one.dataset.key.slice(5))"))


def edges(page: Page) -> dict[str, str]:
    said = page.eval_on_selector_all("#explorer-graph path.edge", "all => all.map(one => one.textContent)")
    return dict(text.split(": ", 1) for text in said)


def fold(page: Page, within: str) -> None:
    page.get_by_label("Heads of one role").select_option(within)


def test_heads_of_a_role_fold_in_their_layer_or_over_the_graph_and_edges_have_sums(page: Page):
    apart, drawn = nodes(page), edges(page)
    fold(page, "layer")
    assert nodes(page) == apart - {"a3.h0", "a3.h1"} | {"fold:induction:3"}
    first, second = (float(drawn[f"{head} → logits"].split()[1].rstrip(";")) for head in ("a3.h0", "a3.h1"))
    assert edges(page)["induction heads → logits"] == f"effect {first + second:.3g}, the sum over 2 edges"
    fold(page, "graph")
    assert {"fold:induction:3", "fold:previous_token:0"} < nodes(page) and "a1.h5" not in nodes(page)
    fold(page, "")
    assert nodes(page) == apart and edges(page) == drawn


def test_a_supernode_unfolds_and_folds_by_mouse_and_the_address_keeps_it(page: Page):
    fold(page, "layer")
    page.get_by_role("button", name=FOLDED, exact=True).click()
    assert {"a3.h0", "a3.h1"} < nodes(page)
    page.wait_for_function("() => location.hash.includes('unfolded=')")
    address = page.url
    page.goto("about:blank")
    page.goto(address, wait_until="load")
    until_drawn(page)
    assert {"a3.h0", "a3.h1"} < nodes(page)
    page.get_by_role("button", name=f"Fold {FOLDED}").click()
    assert "a3.h0" not in nodes(page)


def test_a_supernode_unfolds_and_folds_by_keyboard_and_keeps_the_focus(page: Page):
    page.get_by_label("Heads of one role").focus()
    page.keyboard.press("ArrowDown")
    box = page.get_by_role("button", name=FOLDED, exact=True)
    assert box.get_attribute("aria-expanded") == "false"
    box.focus()
    page.keyboard.press("Enter")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == f"Fold {FOLDED}" and "a3.h1" in nodes(page)
    page.keyboard.press("Space")
    assert page.evaluate(focused) == FOLDED and "a3.h1" not in nodes(page)


def test_search_finds_names_roles_and_members(page: Page):
    page.get_by_label("Find a node or role").focus()
    page.keyboard.type("Induction")
    found = "all => all.map(one => one.dataset.key)"
    assert page.eval_on_selector_all(".node.found", found) == ["node-a3.h0", "node-a3.h1"]
    assert page.inner_text("#explorer-found") == "2 nodes found"
    lit = page.eval_on_selector_all("path.edge.touched", "all => all.map(one => one.textContent.split(':')[0])")
    assert lit and all("a3.h0" in edge or "a3.h1" in edge for edge in lit)
    fold(page, "layer")
    assert page.inner_text("#explorer-found") == "1 node found"
    page.get_by_label("Find a node or role").fill("<img src=x>")
    assert page.inner_text("#explorer-found") == "0 nodes found"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_graph(page: Page, axe: str, theme: str):
    page.evaluate(f"location.hash = 'size=1m&fold=layer&find=induction&theme={theme}'")
    page.wait_for_function("() => document.querySelectorAll('.node.fold.found').length === 1")
    page.evaluate(axe)
    found = page.evaluate("axe.run('#explorer')")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]] == []
