"""The rules that keep the package's shape: layers, file sizes, the README's map, shelves under test."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "interp_emerge"
TOP = [name for name in ("interp_emerge", "tests", "benchmarks", "analyses") if (ROOT / name).is_dir()]
MOST_LINES = 400
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))
SHELVES = sorted(
    ".".join(path.parent.relative_to(PACKAGE).parts)
    for path in PACKAGE.rglob("*.py")
    if re.search(r"^shelf\b.*= Shelf\(", path.read_text(), re.MULTILINE)
)


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Every module, and every name of a module, that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_keep_to_the_layers():
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-logo', '--no-cache'])"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 broken" in done.stdout


def test_no_file_is_longer_than_can_be_read_at_once():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in python_files(*TOP)}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_file_has_a_name_that_says_what_it_is_for():
    empty = re.compile(r"_?(util|utils|helper|helpers|misc|common)")
    named = [path for path in PACKAGE.rglob("*") if path.is_dir() or path.suffix == ".py"]
    assert [path for path in named if empty.fullmatch(path.stem)] == []


def test_nothing_pickles():
    banned = re.compile(r"(pickle|cloudpickle|dill|joblib|marshal|shelve)(\.|$)|torch\.(load|save)$")
    calls = re.compile(r"\btorch\.(load|save)\(|\.(read|to)_pickle\(|allow_pickle=True")
    files = [path for path in python_files(*TOP) if path != Path(__file__)]
    assert [path for path in files if any(banned.match(name) for name in imported_modules(path))] == []
    assert [path for path in files if calls.search(path.read_text())] == []


WATCHED = {"core/weights.py", "core/decoder.py"}
"""Files that notice a change of a configuration, or set a flag of it back, and read nothing of the architecture."""


def test_only_families_and_training_read_a_configuration_of_transformers():
    """What the others need of it is `HookedModel.shape`, which `families` fills."""
    reads = re.compile(r"\.config\b|[\"']config[\"']\)|\b(hidden_size|model_type|[A-Z]+_MODEL_TYPES)\b")
    files = {path.relative_to(PACKAGE).as_posix(): path for path in python_files("interp_emerge")}
    reading = {name for name, path in files.items() if reads.search(code_of(path))}
    assert {name for name in reading if name.split("/")[0] not in ("families", "training")} <= WATCHED
    assert "families/_split/shape.py" in reading


def test_what_an_mlp_reads_is_decided_in_one_place():
    choice = re.compile(r"if \S*(self|block)\.parallel else")
    files = {path.relative_to(PACKAGE).as_posix(): path for path in python_files("interp_emerge")}
    assert {name for name, path in files.items() if choice.search(code_of(path))} == {"core/decoder.py"}


def code_of(path: Path) -> str:
    """The code of a file as one line a statement, without comments and texts that stand alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list):
                block[:] = [one for one in block if not is_text(one)] or [ast.Pass()]
    return ast.unparse(tree)


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring or another text."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def test_the_readme_maps_the_package_as_it_is():
    block = re.search(r"```text\ninterp_emerge/\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, "README.md has no file map"
    mapped = [re.match(r"[├└]── (\S+)", line) for line in block[1].splitlines()]
    assert all(mapped), "every line of the file map names one file or folder"
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert {match[1] for match in mapped if match} == folders | files


@pytest.mark.parametrize("shelf", SHELVES)
def test_every_item_of_a_shelf_is_tested(shelf: str):
    """By a contract test that runs over all names of the shelf, or else by a file of the item's own."""
    tests = ROOT / "tests" / shelf.replace(".", "/")
    contract = tests / "test_contract.py"
    if not (contract.exists() and "shelf.names()" in contract.read_text()):
        items = import_module(f"interp_emerge.{shelf}").shelf.names()
        assert [item for item in items if not (tests / f"test_{item}.py").exists()] == []


@pytest.mark.parametrize("shelf", SHELVES)
def test_every_public_file_of_a_shelf_is_an_item(shelf: str):
    items = import_module(f"interp_emerge.{shelf}").shelf
    missing = []
    for name in items.names():
        try:
            items[name]
        except KeyError:
            missing.append(name)
    assert missing == []


def test_there_are_shelves():
    assert {"abilities", "families"} <= set(SHELVES)


def test_nothing_in_the_package_imports_what_is_built_on_it():
    above = re.compile(r"(analyses|notebooks|benchmarks|tests)(\.|$)")
    files = python_files("interp_emerge")
    assert [path for path in files if any(above.match(name) for name in imported_modules(path))] == []


def test_analyses_use_the_public_names_only():
    """The package, rooms of it that list their names, and these names. Promises are about the inside of the package."""
    rooms = {f"interp_emerge.{room}" for room in (".".join(path.parent.relative_to(PACKAGE).parts) for path in STUBS)}
    listed = {f"{room}.{name}" for room in rooms for name in dir(import_module(room.rstrip(".")))}
    for path in (path for path in python_files("analyses") if path.parent.name != "promises"):
        ours = {name for name in imported_modules(path) if name.startswith("interp_emerge")} - {"interp_emerge"}
        assert ours <= rooms | listed, path
