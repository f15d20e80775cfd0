"""Training gives the same bits again, interrupted or not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import interp_emerge as ie
from interp_emerge.training import trainer
from interp_emerge.training.miniature import RECIPE
from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.trainer import fresh_model, grow_model, held_out_losses, is_grown, next_token_loss


class StoppedError(Exception):
    """Stops a training, as an interruption would."""


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def grow(recipe: Recipe, directory: Path, *, size: str = "large", seed: int = 0, stop_at: int | None = None) -> None:
    def report(step: int, loss: float) -> None:
        if step == stop_at:
            raise StoppedError

    grow_model(recipe, recipe.size(size), seed, directory, report=report)


@pytest.fixture(autouse=True)
def often_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "STATE_EVERY", 3)


@pytest.fixture
def undisturbed(recipe: Recipe, tmp_path: Path) -> dict[str, bytes]:
    grow(recipe, tmp_path / "undisturbed")
    return contents(tmp_path / "undisturbed")


def test_it_keeps_the_checkpoints_and_the_losses_and_nothing_else(recipe: Recipe, undisturbed: dict[str, bytes]):
    files = {"config.json", "generation_config.json", "model.safetensors"}
    wanted = {f"step{step}/{file}" for step in recipe.checkpoints for file in files}
    assert set(undisturbed) == wanted | {"losses.csv"}


def test_the_same_seed_gives_the_same_bits(recipe: Recipe, tmp_path: Path, undisturbed: dict[str, bytes]):
    grow(recipe, tmp_path / "again")
    assert contents(tmp_path / "again") == undisturbed


def test_another_seed_gives_others(recipe: Recipe, tmp_path: Path, undisturbed: dict[str, bytes]):
    grow(recipe, tmp_path / "other", seed=1)
    other = contents(tmp_path / "other")
    assert all(other[name] != undisturbed[name] for name in undisturbed if "safetensors" in name)


@pytest.mark.parametrize("stop_at", range(8))
def test_an_interrupted_training_ends_in_the_same_bits(
    recipe: Recipe, tmp_path: Path, undisturbed: dict[str, bytes], stop_at: int
):
    directory = tmp_path / "interrupted"
    with pytest.raises(StoppedError):
        grow(recipe, directory, stop_at=stop_at)
    assert not is_grown(recipe, directory)
    torch.manual_seed(stop_at)  # what the process did in between does not matter
    grow(recipe, directory)
    assert contents(directory) == undisturbed


def test_it_goes_on_from_the_saved_state_and_not_from_the_start(recipe: Recipe, tmp_path: Path):
    seen: list[int] = []
    with pytest.raises(StoppedError):
        grow(recipe, tmp_path, stop_at=7)
    grow_model(recipe, recipe.size("large"), 0, tmp_path, report=lambda step, loss: seen.append(step))
    assert seen == [6, 7]


def test_interrupted_several_times_it_still_ends_in_the_same_bits(
    recipe: Recipe, tmp_path: Path, undisturbed: dict[str, bytes]
):
    directory = tmp_path / "interrupted"
    for stop_at in (1, 4, 4, 7):
        with pytest.raises(StoppedError):
            grow(recipe, directory, stop_at=stop_at)
    grow(recipe, directory)
    assert contents(directory) == undisturbed


def test_a_checkpoint_that_was_written_in_part_is_written_again(
    recipe: Recipe, tmp_path: Path, undisturbed: dict[str, bytes]
):
    directory = tmp_path / "interrupted"
    with pytest.raises(StoppedError):
        grow(recipe, directory, stop_at=3)
    (directory / ".step4.partial").mkdir()
    (directory / ".step4.partial/model.safetensors").write_bytes(b"half of it")
    grow(recipe, directory)
    assert contents(directory) == undisturbed


def test_a_finished_training_is_not_begun_again(recipe: Recipe, tmp_path: Path):
    first = grow_model(recipe, recipe.size("small"), 0, tmp_path)
    before = contents(tmp_path)
    again = grow_model(recipe, recipe.size("small"), 0, tmp_path, report=lambda step, loss: pytest.fail("it trains"))
    assert contents(tmp_path) == before
    assert again.to_csv() == first.to_csv()


def test_training_lowers_the_loss(recipe: Recipe, tmp_path: Path):
    losses = grow_model(replace(recipe, checkpoints=(0, 200)), recipe.size("large"), 0, tmp_path)
    trained = losses[losses["document"].isin(list(recipe.documents))]
    mean = trained.groupby("step")["loss"].mean()
    assert mean[200] < mean[0] - 0.3


def test_checkpoints_are_float16_and_load_as_the_rounded_model(recipe: Recipe, tmp_path: Path):
    grow(recipe, tmp_path / "large")
    stored = load_file(tmp_path / "large/step0/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    rounded = fresh_model(recipe.size("large"), 0).half().float()
    tokens = torch.arange(20)[None]
    model = ie.load_family(tmp_path / "large").load("large", 0)
    assert model.dtype == torch.float32
    torch.testing.assert_close(model.logits(tokens), rounded.eval()(input_ids=tokens).logits[:, -1])


def test_the_losses_are_of_the_model_at_each_checkpoint(recipe: Recipe, tmp_path: Path):
    frame = grow_model(recipe, recipe.size("small"), 0, tmp_path)
    assert frame["step"].unique().tolist() == list(recipe.checkpoints)
    at_start = frame[frame["step"] == 0].set_index("document")["loss"].to_dict()
    assert at_start == pytest.approx(held_out_losses(fresh_model(recipe.size("small"), 0)), abs=1e-5)


def test_the_loss_of_a_model_that_knows_nothing_is_that_of_guessing():
    model = fresh_model(RECIPE.sizes[0], 0)
    model.get_output_embeddings().weight.data.zero_()
    tokens = torch.from_numpy(np.random.default_rng(0).integers(64, size=(4, 49)))
    assert next_token_loss(model, tokens).item() == pytest.approx(np.log(64), abs=1e-5)


@pytest.mark.parametrize("size", RECIPE.sizes, ids=lambda size: size.name)
def test_fresh_models_have_the_shape_of_their_size(size: SizeRecipe):
    model = ie.hook(fresh_model(size, 0))
    assert (model.graph.n_layers, model.graph.n_heads) == (size.n_layers, size.n_heads)
    assert model.hf.config.hidden_size == size.d_model
    assert model.graph.parallel
    _, rotary = model.hf.gpt_neox.rotary_emb(torch.zeros(1, 3, size.d_model), torch.arange(3)[None])
    assert rotary.shape[-1] == size.rotary_dimensions
    name = float(size.name.removesuffix("k")) * 1000
    assert model.n_parameters == pytest.approx(name, rel=0.15)
