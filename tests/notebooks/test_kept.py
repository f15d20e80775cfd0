"""What is kept of a notebook: outputs that are up to date, small, without complaint, ending in a checked claim."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from notebooks import execute
from notebooks.execute import MARK, NEEDS, joined, origin, why_stale
from tests.notebooks.outputs import NOTEBOOKS, differences

LARGEST = 400_000
"""Bytes of a notebook with its outputs."""
LONGEST, LONGEST_OF_REAL_MODELS = 120, 600
"""Processor seconds of a notebook."""


def of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_outputs_are_up_to_date(path: Path) -> None:
    assert why_stale(path) == [], f"these have changed since: make notebooks executes {path.name} and keeps its outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_was_run_and_none_complains(path: Path) -> None:
    cells = [cell for cell in of(path)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs and path.stat().st_size < LARGEST
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)
    assert of(path)["metadata"][MARK]["processor_seconds"] < (LONGEST_OF_REAL_MODELS if path.stem in NEEDS else LONGEST)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ends_in_a_check_of_its_claim(path: Path) -> None:
    claim, check = of(path)["cells"][-2:]
    assert claim["cell_type"] == "markdown" and "".join(claim["source"]).startswith("## The claim")
    assert any(isinstance(one, ast.Assert) for one in ast.parse("".join(check["source"])).body)


def test_the_page_of_pages_lists_every_notebook() -> None:
    page = (NOTEBOOKS[0].parents[1] / "docs" / "README.md").read_text()
    assert [path.name for path in NOTEBOOKS if f"(../notebooks/{path.name})" not in page] == []


def test_there_are_ten_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(1, 11)]
    assert {*NEEDS} <= {path.stem for path in NOTEBOOKS}


def test_a_changed_cell_makes_a_notebook_stale(tmp_path: Path) -> None:
    changed = of(NOTEBOOKS[0])
    copy = tmp_path / "copy.ipynb"
    copy.write_text(json.dumps(changed))
    assert why_stale(copy) == []
    changed["cells"][-1]["source"].append("\n")
    copy.write_text(json.dumps(changed))
    assert why_stale(copy) == ["cells"]


def test_another_version_and_other_models_make_a_notebook_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = of(NOTEBOOKS[0])["cells"]
    monkeypatch.setattr(execute, "origin", lambda _: origin(cells) | {"torch": "9.9", "bundled models": "others"})
    assert why_stale(NOTEBOOKS[0]) == ["bundled models", "torch"]


def printed(text: str) -> list[dict[str, str]]:
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def test_other_words_and_other_numbers_are_differences() -> None:
    kept = printed("12 edges of a1.h1 keep 0.80 [0.71, 0.93]\n")
    assert differences(kept, printed("12 edges of a1.h1  keep 0.80 [0.72, 0.93]")) == []
    for other in (
        "13 edges of a1.h1 keep 0.80 [0.71, 0.93]",
        "12 edges of a1.h2 keep 0.80 [0.71, 0.93]",
        "12 edges of a1.h1 keep 0.83 [0.71, 0.93]",
        "12 edges of a1.h1 lose 0.80 [0.71, 0.93]",
        "12 edges of a1.h1 keep 0.80 [0.71, nan]",
    ):
        assert len(differences(kept, printed(other))) == 1
    assert len(differences(kept, [])) == 1


def test_what_is_printed_in_pieces_is_one_output() -> None:
    whole = "first 1.00\nsecond 2.00\n"
    pieces = printed("first 1.00\n") + printed("second 2.00\n")
    assert differences(printed(whole), pieces) == []
    assert joined(pieces) == printed(whole)
