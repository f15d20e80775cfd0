"""Following CONTRIBUTING.md, a family is added by one file."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge import families
from interp_emerge.families import shelf
from tests.families.fake_hub import FakeHub
from tests.families.test_contract import ascends
from tests.families.tiny import save_checkpoint

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


def code(heading: str) -> str:
    """The first Python block below a heading."""
    below = GUIDE.read_text().split(f"## {heading}\n", 1)[1]
    return re.findall(r"```python\n(.*?)```", below, re.DOTALL)[0]


def test_the_guide_adds_a_family(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cats.py").write_text(code("Add a family"))
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    try:
        family = ie.load_family("cats")
        assert "cats" in shelf.names()
        assert family.seeds("20m") == [0, 1]
        assert family.steps("20m", 1) == [0, 1000, 3000]
        assert all(ascends(family.steps(size, seed)) for size in family.sizes for seed in family.seeds(size))
        hub.add("cats/cat-20m-b", "step-1000", save_checkpoint(tmp_path / "model"))
        model = family.load("20m", 1000, 1)
        assert (model.spec.location, family.tokens("20m", 1000, 1)) == ("cats/cat-20m-b", 65_536_000)
        assert import_module("interp_emerge.families.cats").__doc__
    finally:
        shelf._items.pop("cats", None)
        sys.modules.pop("interp_emerge.families.cats", None)
