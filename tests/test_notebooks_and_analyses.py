"""Notebooks and analyses run from top to bottom, use public names only, and are short."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANALYSES = sorted((ROOT / "analyses").glob("*/run.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        assert not cell.get("outputs"), "outputs are not kept in the repository"
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(path), "exec"), names)


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: path.parent.name)
def test_an_analysis_is_short_and_its_page_gives_the_question_and_the_command(path: Path) -> None:
    code, page = path.read_text(), (path.parent / "README.md").read_text()
    assert len(code.splitlines()) < 100
    assert "?" in page.splitlines()[0]
    assert f"python analyses/{path.parent.name}/run.py" in page
    assert "Study.load" not in code or (path.parent / "study.toml").is_file()


def test_there_are_notebooks_and_analyses() -> None:
    assert NOTEBOOKS and ANALYSES
