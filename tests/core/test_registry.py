import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.registry import Shelf

ITEM = """
from jars import shelf
class Item:
    name = "{name}"
shelf.add(Item())
"""


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A folder of two items, one that cannot be imported, one that adds nothing, and two files that are no items."""
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "__init__.py").write_text('from interp_emerge.core.registry import Shelf\nshelf = Shelf("jar", __name__)')
    for name in ("plum", "apricot"):
        (folder / f"{name}.py").write_text(ITEM.format(name=name))
    (folder / "mislabelled.py").write_text(ITEM.format(name="plums"))
    (folder / "broken.py").write_text("raise RuntimeError")
    (folder / "base.py").write_text("raise RuntimeError")
    (folder / "_label.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("jars").shelf
    for module in [name for name in sys.modules if name.partition(".")[0] == "jars"]:
        del sys.modules[module]


def test_the_names_are_those_of_the_files_and_nothing_is_imported_for_them(jars: Shelf):
    assert jars.names() == ["apricot", "broken", "mislabelled", "plum"]
    assert not any(module.startswith("jars.") for module in sys.modules)


def test_an_item_is_imported_when_it_is_asked_for_and_only_it(jars: Shelf):
    assert jars["plum"].name == "plum"
    assert [module for module in sys.modules if module.startswith("jars.")] == ["jars.plum"]
    assert jars["plum"] is jars["plum"]


def test_an_unknown_name_is_answered_with_the_nearest(jars: Shelf):
    with pytest.raises(UnknownNameError, match=r"unknown jar 'plumm'; did you mean 'plum'\? \(known: apricot, broken"):
        jars["plumm"]


def test_an_item_has_to_carry_the_name_of_a_file(jars: Shelf):
    with pytest.raises(AssertionError, match=r"the jar 'plums' is not in a file of that name; move it to plums.py"):
        jars["mislabelled"]


def test_going_through_a_shelf_gives_every_item_in_order():
    from interp_emerge.patching import shelf

    assert [method.name for method in shelf] == shelf.names()
