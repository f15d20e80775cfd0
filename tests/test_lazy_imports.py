"""Importing the package, and asking a command for help, is quick because nothing heavy is imported."""

import ast
import subprocess
import sys
from pathlib import Path

import interp_emerge

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


def test_every_public_name_is_there():
    for name in interp_emerge.__all__:
        assert getattr(interp_emerge, name) is not None
    assert dir(interp_emerge) == sorted(interp_emerge.__all__)


def test_type_checkers_are_told_the_same_names_and_homes():
    tree = ast.parse(Path(interp_emerge.__file__).read_text())
    told = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {name: f"interp_emerge.{home}" for name, home in interp_emerge._HOMES.items()}
    assert {*told, "__version__"} == set(interp_emerge.__all__)


def test_a_misspelt_name_is_an_attribute_error():
    assert not hasattr(interp_emerge, "load_familly")
