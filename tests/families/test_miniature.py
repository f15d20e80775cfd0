"""The weights in the package are the ones that the recipe makes and the card describes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import interp_emerge as ie
from interp_emerge.families._disk.directory import DirectoryFamily
from interp_emerge.training.miniature import RECIPE


@pytest.fixture(scope="module")
def family() -> DirectoryFamily:
    loaded = ie.load_family("miniature")
    assert isinstance(loaded, DirectoryFamily)
    return loaded


@pytest.fixture(scope="module")
def card(family: DirectoryFamily) -> dict[str, Any]:
    return json.loads((family.root / "card.json").read_text())


def test_it_is_what_the_recipe_says(family: DirectoryFamily, card: dict[str, Any]):
    assert card["recipe"] == json.loads((family.root / "recipe.json").read_text())["hash"] == RECIPE.hash
    assert family.sizes == [size.name for size in RECIPE.sizes]
    for size in RECIPE.sizes:
        assert family.seeds(size.name) == list(range(size.n_seeds))
        for seed in range(size.n_seeds):
            assert family.steps(size.name, seed) == list(RECIPE.checkpoints)


def test_its_revisions_are_those_on_the_card(family: DirectoryFamily, card: dict[str, Any]):
    for row in card["models"]:
        assert family.spec(row["size"], row["step"], row["seed"]).revision == row["revision"]


def test_it_has_the_sizes_and_steps_that_emergence_needs(family: DirectoryFamily):
    graphs = [family.load(size).graph for size in family.sizes]
    assert len(graphs) >= 7
    assert sum(graph.n_layers == 1 for graph in graphs) >= 2
    assert graphs[-1].n_layers >= 4
    assert graphs[-1].n_heads >= 8
    assert len(RECIPE.checkpoints) >= 12
    assert any(len(family.seeds(size)) >= 3 for size in family.sizes)


def test_it_is_stored_in_float16_and_used_in_float32(family: DirectoryFamily):
    for path in family.root.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118
    assert family.load(family.sizes[0]).dtype == torch.float32


def test_nothing_of_its_training_is_left_behind(family: DirectoryFamily):
    assert list(family.root.rglob(".*")) == []


def test_all_of_its_models_read_the_language_and_its_held_out_text(family: DirectoryFamily):
    model = family.load(family.sizes[-1])
    for passage in family.held_out_text():
        assert len(model.encode(passage)) == len(passage.split())


def test_it_lies_inside_the_package(family: DirectoryFamily):
    assert family.root == Path(ie.__file__).parent / "families" / "miniature_weights"
