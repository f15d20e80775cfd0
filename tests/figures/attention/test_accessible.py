"""axe-core finds no violation on the page of a view. It is taken from npm's registry; without that, this is skipped."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from interp_emerge.figures import AttentionView
from tests.figures.attention.views import averaged, family, weights
from tests.figures.conftest import Open

AXE = "axe-core@4.10.3"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("no npm, which brings axe-core")
    try:
        done = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("npm's registry does not answer")
    packed = [*Path(folder).glob("*.tgz")]
    if done.returncode or not packed:
        pytest.skip("npm's registry does not give axe-core")
    with tarfile.open(packed[0]) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script
        return script.read().decode()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["family", "beside", "difference", "averaged"])
def test_axe_finds_no_violation(name: str, dark: bool, axe: str, opened: Open):
    views = {
        "family": family(),
        "beside": AttentionView(frames=family().frames, beside=2),
        "difference": AttentionView(frames=(weights(mode="difference"),)),
        "averaged": averaged(),
    }
    page = opened(views[name], at="#token=2&find=s", dark=dark)
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]] == []
    assert len(found["passes"]) > 15
