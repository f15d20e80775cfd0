"""Importing the package, and asking a command for help, is quick because nothing heavy is imported."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import interp_emerge

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "interp_emerge"

HEAVY = {"torch", "transformers", "transformer_lens", "pandas", "numpy", "scipy", "altair", "jaxtyping", "networkx"}


def modules_after(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has imported once the code has run."""
    report = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.splitlines()[-1].split()
    assert listed[0] == "MODULES"
    return {name.partition(".")[0] for name in listed[1:]}


def test_importing_the_package_imports_nothing_heavy():
    assert modules_after("import interp_emerge") & HEAVY == set()


def test_the_check_sees_what_a_public_name_imports():
    assert "torch" in modules_after("from interp_emerge import HookedModel")


def test_listing_the_public_names_imports_nothing_heavy():
    assert modules_after("import interp_emerge; dir(interp_emerge)") & HEAVY == set()


def test_asking_for_help_imports_nothing_heavy():
    code = "sys.argv = ['interp-emerge', '--help']; from interp_emerge.cli import main; main()"
    assert modules_after(code) & HEAVY == set()


def rooms(room: Any = interp_emerge, path: str = "ie") -> Iterator[tuple[str, Any]]:
    """The package and every room in it, by path."""
    yield path, room
    for name in dir(room):
        inner = getattr(room, name)
        if isinstance(inner, ModuleType):
            yield from rooms(inner, f"{path}.{name}")


def test_a_few_names_stand_at_the_front_and_all_are_there():
    assert len(dir(interp_emerge)) <= 40
    paths = [path for path, _ in rooms()]
    assert {"ie.emergence.scale", "ie.emergence.forming", "ie.emergence.sameness", "ie.circuits.testing"} <= {*paths}
    for _, room in rooms():
        assert all(getattr(room, name) is not None for name in dir(room))


def test_a_name_that_a_file_shares_is_the_function():
    code = "import interp_emerge.circuits.overlap, interp_emerge as ie; assert callable(ie.circuits.overlap)"
    modules_after(code)


def test_every_checked_function_is_reached_through_its_room():
    """`checked` marks what users call."""
    reached = {value for _, room in rooms() for value in (getattr(room, name) for name in dir(room)) if callable(value)}
    named = {(value.__module__, value.__name__) for value in reached if hasattr(value, "__name__")}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        module = ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(one) == "checked" for one in node.decorator_list):
                assert node.name.startswith("_") or (module, node.name) in named, f"{module}.{node.name}"


NAME = re.compile(r"\bie((?:\.[A-Za-z_]\w*)+)")


@pytest.mark.parametrize(
    "path",
    [
        path
        for pattern in (
            "*.md",
            "docs/*.md",
            "analyses/**/*.md",
            "analyses/**/*.py",
            "notebooks/*.ipynb",
            "benchmarks/*.py",
        )
        for path in sorted(ROOT.glob(pattern))
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_name_that_the_documents_use_is_there(path: Path):
    for found in NAME.finditer(path.read_text()):
        thing: Any = interp_emerge
        for name in found[1].strip(".").split("."):
            if not isinstance(thing, ModuleType):
                break
            thing = getattr(thing, name)


def test_a_misspelt_name_is_an_attribute_error():
    assert not hasattr(interp_emerge, "load_familly")
