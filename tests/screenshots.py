"""Make the pictures of pages that the documents show: `python -m tests.screenshots`."""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import interp_emerge as ie
from tests.report.browser import FLAGS, chromium

DOCS = Path(__file__).parents[1] / "docs"


def attention() -> tuple[ie.figures.AttentionView, str]:
    """One bundled size at all steps, on one prompt of induction, and what is chosen on the page."""
    family = ie.load_family("miniature")
    pair = ie.load_ability("induction").sample(family.load("200k"), 1, seed=0)
    heads = [f"a{layer}.h{head}" for layer in (0, 1, 2) for head in range(8)]
    models = (family.load("200k", step) for step in family.spaced_steps("200k"))
    return ie.attention(models, pair, heads=heads), "#head=a2.h1&token=20"


def main() -> None:
    view, chosen = attention()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1180, "height": 780})
        page.goto(view.save(Path(folder) / "view.html").as_uri() + chosen)
        page.wait_for_selector("html[data-state=drawn]")
        page.screenshot(path=DOCS / "attention.png")
        browser.close()


if __name__ == "__main__":
    main()
