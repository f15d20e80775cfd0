"""The card says what was measured, and owns up to what did not emerge."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities import _language as language, shelf
from interp_emerge.abilities.metrics import accuracy
from interp_emerge.core.errors import InputError
from interp_emerge.training.card import markdown_table, to_markdown, write_card
from interp_emerge.training.outcome import PAIRS, entropy_floors, learnt, measure_outcome
from interp_emerge.training.recipe import Recipe
from interp_emerge.training.trainer import read_losses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def card(grown: Path) -> dict[str, Any]:
    return json.loads((grown / "card.json").read_text())


@pytest.fixture(scope="module")
def text(grown: Path) -> str:
    return (grown / "README.md").read_text()


@pytest.fixture
def copy(grown: Path, tmp_path: Path) -> Path:
    return shutil.copytree(grown, tmp_path / "tiny")


def test_it_names_the_recipe_and_every_model_with_its_revision(card: dict[str, Any], grown: Path, recipe: Recipe):
    assert card["recipe"] == recipe.hash
    family = ie.load_family(grown)
    assert [(row["size"], row["seed"]) for row in card["models"]] == [("small", 0), ("small", 1), ("large", 0)]
    for row in card["models"]:
        assert family.spec(row["size"], row["step"], row["seed"]).revision == row["revision"]


def test_its_sizes_are_those_of_the_models(card: dict[str, Any], grown: Path):
    family = ie.load_family(grown)
    for row in card["sizes"]:
        model = family.load(row["size"])
        assert row["n_parameters"] == model.n_parameters
        assert (row["n_layers"], row["n_heads"]) == (model.graph.n_layers, model.graph.n_heads)


def test_its_losses_are_the_last_ones_beside_the_floors(card: dict[str, Any], grown: Path, recipe: Recipe):
    losses = read_losses(grown).set_index(["size", "seed", "document", "step"])
    floors = entropy_floors()
    assert len(card["losses"]) == 3 * 5
    for row in card["losses"]:
        last = losses["loss"][row["size"], row["seed"], row["document"], recipe.n_steps]
        assert (row["loss"], row["floor"]) == (last, floors[row["document"]])
        assert row["loss"] > row["floor"]


def test_the_markov_floor_is_close_to_the_entropy_rate():
    assert entropy_floors()["markov"] == pytest.approx(language.markov_entropy(), rel=0.05)


def test_its_accuracies_are_those_of_the_checkpoints_on_disk(card: dict[str, Any], grown: Path):
    family = ie.load_family(grown)
    assert len(card["accuracy"]) == 3 * len(learnt())
    for row in card["accuracy"]:
        model = family.load(row["size"], "last", row["seed"])
        pairs = shelf[row["ability"]].sample(model, PAIRS)
        with torch.no_grad():
            assert row["accuracy"] == pytest.approx(accuracy(model.logits(pairs.clean), pairs).mean().item())
        assert 0 <= row["ci_low"] <= row["accuracy"] <= row["ci_high"] <= 1
        assert row["n_pairs"] == PAIRS


def test_abilities_that_never_emerge_are_named(card: dict[str, Any], text: str):
    highest = pd.DataFrame(card["accuracy"]).groupby("ability")["ci_high"].max()
    never = [row["ability"] for row in card["abilities"] if row["never_emerges"]]
    assert never == [row["ability"] for row in card["abilities"] if highest[row["ability"]] < (row["chance"] + 1) / 2]
    assert "induction" in never
    assert f"**Never emerging in this family: {', '.join(never)}.**" in text


def test_an_ability_that_one_model_may_have_is_not_called_absent(grown: Path, recipe: Recipe):
    outcome = measure_outcome(grown, recipe)
    assert outcome.abilities["never_emerges"].all()
    shown = to_markdown(replace(outcome, abilities=outcome.abilities.assign(never_emerges=False)))
    assert "Never emerging" not in shown
    assert "at least one model has an interval that reaches half-way" in shown


def test_it_says_what_the_weights_and_the_language_are(text: str, recipe: Recipe, card: dict[str, Any]):
    for said in ("**float16**", "**synthetic**", recipe.hash, "torch " + "\n" + card["times"]["torch"], "device cpu"):
        assert " ".join(said.split()) in " ".join(text.split())


def test_its_front_matter_is_what_the_hub_reads(text: str):
    yaml = pytest.importorskip("yaml")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "transformers"
    assert body.lstrip().startswith("# tiny\n")


def test_its_tables_have_a_row_for_each_model_and_one_to_read_it_against(text: str):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {6, 7}
    assert [row[0] for row in rows] == [
        *["size", "---", "small", "large"],
        *["model", "---", "small", "small, seed 1", "large", "**floor**"],
        *["model", "---", "small", "small, seed 1", "large", "**chance**"],
    ]
    assert "markov (control)" in rows[-6]


def test_it_comes_out_the_same_again(copy: Path, recipe: Recipe):
    before = {name: (copy / name).read_bytes() for name in ("README.md", "card.json")}
    assert write_card(copy, recipe) == copy / "README.md"
    assert {name: (copy / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("small/seed1/step8", "size small, seed 1, in .* is incomplete; `interp-emerge train tiny` continues"),
        ("training.json", "lacks training.json"),
        ("losses.csv", "lacks losses.csv"),
        ("recipe.json", r"contains no family of recipe 'tiny' \([0-9a-f]{16}\); train it first"),
    ],
)
def test_an_unfinished_family_gets_no_card(copy: Path, recipe: Recipe, missing: str, said: str):
    for name in ("README.md", "card.json"):
        (copy / name).unlink()
    path = copy / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=said):
        write_card(copy, recipe)
    assert not (copy / "README.md").exists()


def test_another_recipes_family_gets_no_card(copy: Path, recipe: Recipe):
    with pytest.raises(InputError, match="contains no family of recipe 'tiny'"):
        write_card(copy, replace(recipe, warmup=3))


def test_a_table_of_markdown():
    frame = pd.DataFrame({"size": ["a", "b"], "layers": np.array([1, 2])})
    assert markdown_table(frame) == "| size | layers |\n| --- | --- |\n| a | 1 |\n| b | 2 |"
