"""What an installation holds."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a freshly built wheel."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    [path] = out.glob("*.whl")
    with ZipFile(path) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: set[str]):
    files = (path for path in (ROOT / "interp_emerge").rglob("*") if path.is_file())
    kept = (path for path in files if "__pycache__" not in path.parts and path.suffix != ".tmp")
    assert wheel == {path.relative_to(ROOT).as_posix() for path in kept}


def test_the_wheel_brings_trained_models_that_load_without_a_network(wheel: set[str]):
    weights = [name for name in wheel if name.startswith("interp_emerge/families/miniature_weights/")]
    assert any(name.endswith("model.safetensors") for name in weights)
    assert any(name.endswith("tokenizer.json") for name in weights)
    assert "interp_emerge/py.typed" in wheel


def test_the_bundled_models_stay_small_enough_to_carry():
    files = (ROOT / "interp_emerge" / "families" / "miniature_weights").rglob("*")
    assert 0 < sum(path.stat().st_size for path in files if path.is_file()) <= 24e6


def test_every_dependency_is_pinned_for_make_and_ci():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    wanted = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} has no line in constraints.txt"
        assert requirement.specifier.contains(pinned[name], prereleases=True)


def test_torch_is_pinned_to_a_version_that_every_index_has():
    [pin] = re.findall(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert "+" not in pin
