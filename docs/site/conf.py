"""How the site is built: `make docs`. The sources are the Markdown pages of the repository, where they stand."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from reference import write_pages

write_pages(ROOT / "docs" / "reference")

project = "interp_emerge"
project_copyright = "interp_emerge authors"
root_doc = "docs/README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/reference/*.md",
    "analyses/*/README.md",
    "benchmarks/README.md",
]
exclude_patterns = [".*", "build", "runs", "grown", "dist", "docs/site"]

extensions = ["myst_parser"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:exc", ".*")]  # types in signatures; most belong to other packages
python_maximum_signature_line_length = 100
default_role = "code"
add_module_names = False

html_theme = "furo"
html_title = "interp_emerge"
html_additional_pages = {"index": "forward.html"}
templates_path = [str(HERE)]
html_copy_source = False
html_show_search_summary = False  # a page in a file may not read the others
html_show_sphinx = False
html_theme_options = {"footer_icons": []}


def setup(app: Sphinx) -> None:
    """The index is the page that GitHub shows of the folder; the site's contents are added to it."""
    app.connect("source-read", add_contents)


def add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += "\n" + (HERE / "contents.md").read_text()
