"""A family that adds modulo a number is grown like any other: the same bits again, interrupted or not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.training import trainer
from interp_emerge.training._modular import addition_loss, addition_tokens, fresh_adder, grow_adder, split_pairs
from interp_emerge.training.grokking import RECIPE, AdditionRecipe, grown_recipe
from interp_emerge.training.growing import grow_family
from interp_emerge.training.recipe import SizeRecipe
from interp_emerge.training.recipes import load_recipe

TINY = AdditionRecipe(
    name="tiny",
    sizes=(SizeRecipe(name="small", n_layers=1, d_model=16, n_heads=2, learning_rate=1e-2, n_seeds=2),),
    checkpoints=(0, 3, 8),
    modulus=7,
    train_share=0.5,
)
SMALL = TINY.sizes[0]


class StoppedError(Exception):
    """Stops a training, as an interruption would."""


@pytest.fixture(autouse=True)
def often_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "STATE_EVERY", 3)


def grow(directory: Path, recipe: AdditionRecipe = TINY, *, seed: int = 0, stop_at: int | None = None) -> pd.DataFrame:
    def report(step: int, loss: float) -> None:
        if step == stop_at:
            raise StoppedError

    return grow_adder(recipe, recipe.sizes[0], seed, directory, train_pairs=recipe.train_pairs, report=report)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_recipe_is_found_by_name() -> None:
    assert load_recipe("grokking") is RECIPE


def test_its_hash_changes_with_what_decides_the_weights() -> None:
    others = [{"modulus": 61}, {"train_share": 0.4}, {"split_seed": 1}, {"weight_decay": 1.0}, {"warmup": 11}]
    hashes = {replace(RECIPE, **other).hash for other in others}
    assert len(hashes | {RECIPE.hash}) == len(others) + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modulus": 58}, "the modulus of the recipe cannot be 58; give an odd number of at least 5"),
        ({"train_share": 1.0}, "a train_share of 1 leaves no training pairs or no test pairs"),
        ({"documents": {"markov": 1}}, "a recipe of addition uses no documents"),
        ({"checkpoints": (3, 0)}, r"checkpoints cannot be \[3, 0\]; give increasing steps"),
    ],
)
def test_a_recipe_that_cannot_be_grown_is_refused(change: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(RECIPE, **change)


def test_about_the_asked_share_of_pairs_is_trained_on_each_with_its_mirror_image() -> None:
    trained = split_pairs(59, 0.4, seed=0)
    assert trained.mean() == pytest.approx(0.4, abs=0.002)
    assert (trained == trained.T).all()
    assert (trained == split_pairs(59, 0.4, seed=0)).all()
    assert (trained != split_pairs(59, 0.4, seed=1)).any()


def test_the_loss_is_that_of_the_sum_after_the_equals_sign() -> None:
    model, tokens = fresh_adder(SMALL, 7, 0), addition_tokens(7)
    assert tokens[3 * 7 + 5].tolist() == [3, 5, 7]
    log_probs = model(input_ids=tokens[3 * 7 + 5][None]).logits[0, -1, :7].log_softmax(-1)
    assert addition_loss(model, tokens[3 * 7 + 5][None]).item() == pytest.approx(-log_probs[1].item(), abs=1e-5)


def test_training_lowers_the_loss_of_the_training_pairs_alone(tmp_path: Path) -> None:
    losses = grow(tmp_path, replace(TINY, checkpoints=(0, 60)))
    wide = losses.pivot(index="step", columns="document", values="loss")
    assert wide["train"][0] == pytest.approx(np.log(7), abs=0.1)
    assert wide["train"][60] < 0.3 < 1.5 < wide["test"][60]


@pytest.mark.parametrize("stop_at", [0, 2, 3, 7])
def test_an_interrupted_training_ends_in_the_same_bits(tmp_path: Path, stop_at: int) -> None:
    grow(tmp_path / "undisturbed")
    with pytest.raises(StoppedError):
        grow(tmp_path / "interrupted", stop_at=stop_at)
    torch.manual_seed(stop_at)  # what the process did in between does not matter
    grow(tmp_path / "interrupted")
    assert contents(tmp_path / "interrupted") == contents(tmp_path / "undisturbed")


def test_it_goes_on_from_the_saved_state_and_not_from_the_start(tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(StoppedError):
        grow(tmp_path, stop_at=7)
    pairs = TINY.train_pairs
    grow_adder(TINY, SMALL, 0, tmp_path, train_pairs=pairs, report=lambda step, loss: seen.append(step))
    assert seen == [6, 7]


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    grow(tmp_path / "first")
    grow(tmp_path / "second", seed=1)
    first, second = (contents(tmp_path / name)["step8/model.safetensors"] for name in ("first", "second"))
    assert first != second


def test_checkpoints_keep_float32(tmp_path: Path) -> None:
    grow(tmp_path)
    stored = load_file(tmp_path / "step0/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow_family(TINY, tmp_path_factory.mktemp("grown") / "tiny", workers=1, device="cpu")


@pytest.mark.slow
def test_a_grown_family_loads_and_reads_sums(grown: Path) -> None:
    family = ie.load_family(grown)
    model = family.load("small", "last", 1)
    assert (family.sizes, family.seeds("small"), family.steps("small", 1)) == (["small"], [0, 1], [0, 3, 8])
    assert model.encode("3 5 =") == [3, 5, 7]
    assert model.bos == []
    assert model.graph.n_heads == 2
    with pytest.raises(InputError, match="no token for a part of '3 plus'"):
        model.encode("3 plus")


@pytest.mark.slow
def test_the_directory_says_what_it_was_grown_from(grown: Path, tmp_path: Path) -> None:
    assert grown_recipe(grown) == TINY
    assert (grown_recipe(grown).train_pairs == TINY.train_pairs).all()
    with pytest.raises(InputError, match="does not contain a family grown on modular addition; run `interp-emerge"):
        grown_recipe(tmp_path)


@pytest.mark.slow
def test_the_card_holds_the_losses_of_every_run(grown: Path) -> None:
    card = pd.DataFrame(json.loads((grown / "card.json").read_text())["losses"])
    assert set(zip(card["seed"], card["pairs"], strict=True)) == {(s, p) for s in (0, 1) for p in ("train", "test")}
    assert f"the same {TINY.train_pairs.sum()} of 49\npairs" in (grown / "README.md").read_text()


@pytest.mark.slow
def test_what_is_missing_is_grown_again_and_the_rest_is_kept(grown: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(grown, tmp_path / "tiny")
    shutil.rmtree(copy / "small/seed1/step8")
    (copy / "card.json").unlink()
    grow_family(TINY, copy, workers=1, device="cpu")
    changing = {"training.json", "README.md", "card.json"}  # they say how long it took in all
    before, after = contents(grown), contents(copy)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} <= changing
