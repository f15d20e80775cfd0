"""Notebooks and analyses use public names only and are short; what is kept of a notebook is what its cells give."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from notebooks.execute import MARK, is_stale

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANALYSES = sorted(path.parent for path in (ROOT / "analyses").glob("*/run.py"))
LARGEST_NOTEBOOK = 400_000
"""Bytes of a notebook with its outputs."""
LARGEST_FIGURE = 150 * 1024
"""Bytes of a figure that is drawn as text."""


def of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


QUICKEST = sorted(NOTEBOOKS, key=lambda path: (of(path)["metadata"][MARK]["seconds"], path))[:2]
"""The notebooks that tests execute; `make notebooks` executes each whose outputs are stale."""


@pytest.mark.parametrize("path", QUICKEST, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in of(path)["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(path), "exec"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_outputs_of_a_notebook_are_those_of_its_cells(path: Path) -> None:
    assert not is_stale(path), f"its cells have changed: make notebooks executes {path.name} and keeps its outputs"
    outputs = [output for cell in of(path)["cells"] for output in cell.get("outputs", ())]
    assert outputs and path.stat().st_size < LARGEST_NOTEBOOK
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)
    assert of(path)["metadata"][MARK]["seconds"] < 120


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ends_in_a_check_of_its_claim(path: Path) -> None:
    claim, check = of(path)["cells"][-2:]
    assert claim["cell_type"] == "markdown" and "".join(claim["source"]).startswith("## The claim")
    assert any(isinstance(one, ast.Assert) for one in ast.parse("".join(check["source"])).body)


def test_a_changed_cell_makes_a_notebook_stale(tmp_path: Path) -> None:
    changed = of(NOTEBOOKS[0])
    copy = tmp_path / "copy.ipynb"
    copy.write_text(json.dumps(changed))
    assert not is_stale(copy)
    changed["cells"][-1]["source"].append("\n")
    copy.write_text(json.dumps(changed))
    assert is_stale(copy)


@pytest.mark.parametrize("folder", ANALYSES, ids=lambda folder: folder.name)
def test_an_analysis_is_short_and_its_page_gives_the_question_and_each_command(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert page.startswith("# ") and "?" in page.splitlines()[0]
    for script in folder.glob("*.py"):
        code = script.read_text()
        assert len(code.splitlines()) < 100
        assert f"python analyses/{folder.name}/{script.name}" in page
        assert "Study.load" not in code or (folder / "study.toml").is_file()


@pytest.mark.parametrize("folder", ANALYSES, ids=lambda folder: folder.name)
def test_the_page_of_an_analysis_shows_a_figure(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    shown = [folder / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)]
    assert shown, "no figure on the page"
    assert [path for path in shown if not path.is_file()] == []
    assert [path for path in shown if path.suffix == ".svg" and path.stat().st_size > LARGEST_FIGURE] == []
    drawn = "".join(script.read_text() for script in folder.glob("*.py"))
    assert [path.name for path in shown if path.parent == folder and path.name not in drawn] == []


@pytest.mark.parametrize("folder", ANALYSES, ids=lambda folder: folder.name)
def test_what_is_kept_beside_an_analysis_is_shown(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    figures = [path for path in folder.iterdir() if path.suffix in (".svg", ".png")]
    assert [path.name for path in figures if f"({path.name})" not in page] == []


def test_there_are_notebooks_and_analyses() -> None:
    assert NOTEBOOKS and ANALYSES
