"""Every notebook runs from top to bottom, and its cells give the outputs that are kept.

Processor seconds of each stand in its metadata, most of which Python takes to start. The real model's notebook runs
where its packages are installed, as `.ci/run` does it.
"""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from notebooks.execute import executed, missing_packages
from tests.notebooks.outputs import NOTEBOOKS, differences

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_cells_give_the_outputs_that_are_kept(path: Path) -> None:
    if missing := missing_packages(path):
        pytest.skip(f"needs {' and '.join(missing)}, which make model installs")
    kept: Any = nbformat.read(path, as_version=4)
    found = {
        at: changed
        for at, (before, after) in enumerate(zip(kept.cells, executed(path).cells, strict=True))
        if (changed := differences(before.get("outputs", []), after.get("outputs", [])))
    }
    assert found == {}, f"notebooks/execute.py {path.stem} --all keeps the outputs that its cells give now"
