"""Analyses are short, and their pages give the question, each command and a figure."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ANALYSES = sorted(path.parent for path in (ROOT / "analyses").glob("*/run.py"))
LARGEST_FIGURE = 150 * 1024
"""Bytes of a figure that is drawn as text."""


@pytest.mark.parametrize("folder", ANALYSES, ids=lambda folder: folder.name)
def test_an_analysis_is_short_and_its_page_gives_the_question_and_each_command(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert page.startswith("# ") and "?" in page.splitlines()[0]
    for script in folder.glob("*.py"):
        code = script.read_text()
        assert len(code.splitlines()) < 100
        is_run = '__name__ == "__main__"' in code
        assert f"python analyses/{folder.name}/{script.name}" in page or (script.name != "run.py" and not is_run)
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


def test_there_are_analyses() -> None:
    assert ANALYSES


@pytest.mark.parametrize("words", [[], [""], ["--help"], ["one", "two"], ["taken"], ["taken/file/below"]])
def test_the_real_model_is_made_in_a_new_directory_or_the_line_says_what_is_wrong(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["unpacked.py", *words])
    with pytest.raises(SystemExit, match=r"give one directory|name one that|name another|are missing"):
        runpy.run_path(str(ROOT / "analyses/real_model/unpacked.py"), run_name="__main__")
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "file"]
