"""The site is searched where it lies, with the network cut."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.report.browser import FLAGS, PATIENCE_MS, chromium, watched

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-q", "-b", "html", "-c", "docs/site", "-d", str(built / "trees"), ".", str(built)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return built


@pytest.mark.parametrize(
    ("words", "entry"), [("role_table", "ie.role_table"), ("negative name mover", "Roles of heads")]
)
def test_a_search_finds_pages_and_functions_without_a_network(words: str, entry: str, site: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_context(offline=True).new_page()
        requests, errors = watched(page)
        page.goto((site / "docs" / "start.html").as_uri(), wait_until="load")
        page.locator("input[name=q]").first.fill(words)
        page.keyboard.press("Enter")
        page.wait_for_selector("#search-results li a", timeout=PATIENCE_MS)
        page.wait_for_function(
            "() => document.querySelector('.search-summary').innerText.startsWith('Search finished')"
        )
        found = page.locator("#search-results li a").all_inner_texts()
        assert entry in found
        page.get_by_role("link", name=entry, exact=True).first.click()
        page.wait_for_load_state("load")
        assert words.rsplit(maxsplit=1)[-1] in page.inner_text("article")
        browser.close()
        assert (requests, errors) == ([], [])
