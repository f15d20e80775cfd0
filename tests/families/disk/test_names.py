"""Names that trainers give to checkpoints: what each gives, and which are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.families._disk.names import read_names
from interp_emerge.study.grid import Grid
from interp_emerge.study.settings import StudySettings
from tests.families.tiny import save_checkpoint, some_tokens
from tests.models.computed_apart import assert_same_logits


def save(root: Path, *places: str, **changes: int) -> Path:
    """Checkpoints below a directory, each with weights of its own."""
    for number, place in enumerate(places):
        save_checkpoint(root / place, seed=number, **changes)
    return root


def refusal(root: Path) -> str:
    with pytest.raises(ModelError) as raised:
        ie.load_family(root)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def grid(root: Path, **fields: Any) -> Grid:
    return Grid(ie.load_family(root), StudySettings(axis="tokens", **fields))


def record(checkpoint: Path, step: object) -> None:
    """Write the record that a Trainer keeps in a checkpoint's folder."""
    (checkpoint / "trainer_state.json").write_text(json.dumps({"epoch": 1.0, "global_step": step}))


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["checkpoint-500", "checkpoint-1000", "checkpoint-2000"], [500, 1000, 2000]),
        (["step0-tokens0B", "step1000-tokens4B", "step20000-tokens84B"], [0, 1000, 20_000]),
        (["stage1-step1000-tokens5B", "stage1-step900-tokens4B"], [900, 1000]),
        (["iter_0000500", "iter_0001000", "iter_0010000"], [500, 1000, 10_000]),
        (["global_step9", "global_step10"], [9, 10]),
        (["ba1000", "ba200"], [200, 1000]),
        (["ep0-ba500", "ep1-ba1000", "ep10-ba9000"], [500, 1000, 9000]),
        (["step_9", "step-10", "Step11"], [9, 10, 11]),
        (["epoch=0-step=90", "epoch=1-step=180"], [90, 180]),
        (["500", "1000", "0200"], [200, 500, 1000]),
        (["step10k", "step9k", "step500"], [500, 9000, 10_000]),
    ],
    ids=lambda value: str(value[0]),
)
def test_checkpoints_of_a_trainer_are_steps_of_one_size_in_numerical_order(
    tmp_path: Path, names: list[str], steps: list[int]
):
    for root in (tmp_path / "alone", tmp_path / "below" / "70m", tmp_path / "seeds" / "70m" / "seed3"):
        save(root, *names)
    for root, size, seed in (("alone", "alone", 0), ("below", "70m", 0), ("seeds", "70m", 3)):
        family = ie.load_family(tmp_path / root)
        assert family.sizes == [size]
        assert family.steps(size, seed) == steps


def test_each_step_has_the_weights_of_the_folder_that_is_named_after_it(tmp_path: Path):
    save(tmp_path / "run", "checkpoint-1000", "checkpoint-500")
    family, tokens = ie.load_family(tmp_path / "run"), some_tokens()
    for step in (500, 1000):
        alone = ie.load_family(tmp_path / "run" / f"checkpoint-{step}")
        assert_same_logits(family.load("run", step).logits(tokens), alone.load(alone.sizes[0]).logits(tokens))


@pytest.mark.parametrize(
    ("name", "size", "seed", "step"),
    [
        ("pythia-14m-seed1-step1000", "pythia-14m", 1, 1000),
        ("llama-7b-checkpoint-500", "llama-7b", None, 500),
        ("70m/iter_0001000", "70m", None, 1000),
        ("125/500", "125", None, 500),
        ("1.4b", "1.4b", None, None),
        ("gpt-2", "gpt-2", None, None),
        ("Qwen2.5-0.5B", "Qwen2.5-0.5B", None, None),
        ("huggingface/ep0-ba10-rank0", "huggingface", None, 10),
        ("checkpoint-step-30", "", None, 30),
    ],
)
def test_a_size_is_what_stands_before_seed_and_step(name: str, size: str, seed: int | None, step: int | None):
    named = read_names(name.split("/"))
    assert (named.size, named.seed, named.step) == (size, seed, step)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("step1000-tokens4B", 4 * 10**9),
        ("step5-tokens4.2B", 4_200_000_000),
        ("tokens120M-step5", 120_000_000),
        ("stage2-ingredient1-step11931-tokens50B", 50 * 10**9),
        ("step7-2Ttokens", 2 * 10**12),
        ("step7_tokens_300k", 300_000),
        ("step7-tokens512", 512),
        ("step7", None),
    ],
)
def test_tokens_in_a_name_are_the_tokens_of_the_checkpoint(tmp_path: Path, name: str, tokens: int | None):
    family = ie.load_family(save(tmp_path, f"1b/{name}"))
    assert family.tokens("1b") == tokens
    assert family.counts_tokens == (tokens is not None)


def test_an_axis_of_tokens_needs_them_in_every_name(tmp_path: Path):
    save(tmp_path / "all", "a/step1-tokens2B", "a/step2-tokens4B")
    save(tmp_path / "all", "b/step1-tokens3B", num_hidden_layers=1)
    asked = grid(tmp_path / "all")
    assert [asked.family.tokens(*at) for at in asked.models] == [3 * 10**9, 2 * 10**9, 4 * 10**9]
    save(tmp_path / "all", "a/step0")
    with pytest.raises(InputError, match=r"does not say how many tokens a/step0/seed0 was trained on; leave it out"):
        grid(tmp_path / "all")
    assert grid(tmp_path / "all", steps=(1, 2)).sizes == ["b", "a"]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["checkpoint-500", "checkpoint-500-best"], "'checkpoint-500-best' cannot be read as one; name it SIZE/stepN"),
        (["step1000", "step1000_old"], "'step1000_old' cannot be read as one"),
        (["epoch_1", "epoch_2"], "epoch_1 names an epoch but not the number of optimiser steps by then"),
        (["1b/tokens4B", "1b/tokens8B"], "tokens4B names a number of tokens but not the number of optimiser steps"),
        (["stage1-step10", "stage2-step10"], "are both step 10 of one model"),
        (
            ["stage1-step10", "stage2-step20"],
            "are of different stages of training, and each stage counts its own steps",
        ),
        (["epoch1-step10", "epoch0-step20"], "as a later step than .*epoch1-step10, but with fewer epochs"),
        (["step10-tokens4B", "step20-tokens3B"], "as a later step than .*step10-tokens4B, but with fewer tokens"),
        (["a/b/step1"], "could be of size 'a' or 'b'; name it SIZE/stepN"),
        (["step1/checkpoint-2"], "names step twice"),
        (["checkpoint-500", "Checkpoint-500"], "are both step 500 of one model"),
    ],
    ids=str,
)
def test_a_name_that_leaves_the_step_open_is_refused(tmp_path: Path, places: list[str], message: str):
    with pytest.raises(ModelError, match=message):
        ie.load_family(save(tmp_path, *places))


@pytest.mark.parametrize(
    "names", [["early", "late"], ["run_a", "run_a_final"], ["best", "step10"], ["lr1e-3", "lr1e-4"]]
)
def test_models_with_the_same_number_of_parameters_are_not_two_sizes(tmp_path: Path, names: list[str]):
    message = refusal(save(tmp_path, *names))
    assert "have the same number of parameters (15072), so they are not two sizes" in message
    assert message.endswith("or load each model from its own directory")
    assert ie.load_family(tmp_path / names[0]).sizes == [names[0]]


def test_plain_numbers_that_are_widths_are_not_read_as_steps(tmp_path: Path):
    save(tmp_path, "64", num_hidden_layers=1)
    save(tmp_path, "128", num_hidden_layers=2)
    assert "64 and " in (message := refusal(tmp_path))
    assert "are named as checkpoints of one size, but have 7568 and 15072 parameters" in message


def test_a_final_model_above_its_checkpoints_has_the_step_that_the_trainer_recorded(tmp_path: Path):
    save(tmp_path / "out", ".", "checkpoint-500", "checkpoint-1000")
    assert "nothing says at which step it was saved; move it to a folder named stepN" in refusal(tmp_path / "out")
    record(tmp_path / "out", 1200)
    family = ie.load_family(tmp_path / "out")
    assert (family.sizes, family.steps("out")) == (["out"], [500, 1000, 1200])
    assert family.spec("out").location == "."
    record(tmp_path / "out", 1000)
    assert "are both step 1000 of one model" in refusal(tmp_path / "out")


def test_a_copy_of_a_checkpoint_counts_once(tmp_path: Path):
    save(tmp_path, "checkpoint-500", "checkpoint-1000")
    shutil.copytree(tmp_path / "checkpoint-500", tmp_path / "checkpoint-best")
    for path in (tmp_path / "checkpoint-1000").iterdir():
        shutil.copy(path, tmp_path)
    record(tmp_path, 1500)  # load_best_model_at_end leaves the record of the last step
    family = ie.load_family(tmp_path)
    assert (family.sizes, family.steps(tmp_path.name)) == ([tmp_path.name], [500, 1000])


@pytest.mark.parametrize("target", ["checkpoint-1000", "../elsewhere"])
def test_a_link_to_a_checkpoint_is_not_another_one(tmp_path: Path, target: str):
    root = save(tmp_path / "run", "checkpoint-500", "checkpoint-1000")
    if target == "../elsewhere":
        (root / "checkpoint-1000").rename(tmp_path / "elsewhere")
        (root / "checkpoint-1000").symlink_to(target, target_is_directory=True)
    for name in ("latest", "checkpoint-best"):
        (root / name).symlink_to(target, target_is_directory=True)
    family = ie.load_family(root)
    assert (family.sizes, family.steps("run")) == (["run"], [500, 1000])
    assert family.spec("run").location == "checkpoint-1000"


def test_one_folder_under_two_steps_is_refused(tmp_path: Path):
    save(tmp_path, "step10")
    (tmp_path / "step20").symlink_to("step10", target_is_directory=True)
    assert "are the same folder under two steps; remove one of them" in refusal(tmp_path)


def test_a_trainers_record_gives_the_step_where_the_name_has_none(tmp_path: Path):
    save(tmp_path, "70m", "70m/seed1", "70m/seed2/epoch_3")
    for number, place in enumerate(("70m", "70m/seed1", "70m/seed2/epoch_3")):
        record(tmp_path / place, 100 + number)
    family = ie.load_family(tmp_path)
    assert [family.steps("70m", seed) for seed in (0, 1, 2)] == [[100], [101], [102]]


def test_a_trainers_record_of_another_step_than_the_name_is_refused(tmp_path: Path):
    save(tmp_path, "checkpoint-500")
    record(tmp_path / "checkpoint-500", 500)
    assert ie.load_family(tmp_path).steps(tmp_path.name) == [500]
    record(tmp_path / "checkpoint-500", 600)
    assert "checkpoint-500 is named as step 500, but its trainer_state.json says step 600" in refusal(tmp_path)
    record(tmp_path / "checkpoint-500", "many")
    assert "trainer_state.json has no number 'global_step'" in refusal(tmp_path)


@pytest.mark.parametrize(
    "folder", ["onnx", "1_Pooling", "2_Dense", "runs", "70m", "tmp-checkpoint-600", ".cache/step3"]
)
def test_folders_without_a_model_are_ignored_if_others_hold_one(tmp_path: Path, folder: str):
    save(tmp_path, "70m/step5", "70m/step6")
    path = tmp_path / folder
    path.mkdir(parents=True, exist_ok=True)
    config = (tmp_path / "70m/step5/config.json").read_text()
    (path / "config.json").write_text('{"in_features": 384}' if folder[0].isdecimal() else config)
    if folder in ("2_Dense", "tmp-checkpoint-600", ".cache/step3"):
        shutil.copy(tmp_path / "70m/step5/model.safetensors", path)
    if folder == "runs":
        (path / "training_args.bin").write_bytes(b"settings")
    family = ie.load_family(tmp_path)
    assert (family.sizes, family.steps("70m")) == (["70m"], [5, 6])


def test_pickled_weights_are_not_ignored_if_others_hold_a_model(tmp_path: Path):
    save(tmp_path, "a")
    save(tmp_path, "b", num_hidden_layers=1)
    (tmp_path / "b/model.safetensors").rename(tmp_path / "b/pytorch_model.bin")
    family = ie.load_family(tmp_path)
    assert family.sizes == ["b", "a"]
    with pytest.raises(ModelError, match=r"holds pickled weights only \(pytorch_model.bin\)"):
        family.load("b")


def test_a_step_without_weights_is_not_ignored(tmp_path: Path):
    save(tmp_path, "step1", "step2")
    (tmp_path / "step1/model.safetensors").unlink()
    family = ie.load_family(tmp_path)
    with pytest.raises(ModelError, match=r"step1 holds a config.json but no weights"):
        family.load(tmp_path.name, 1)


def test_if_no_folder_holds_a_model_the_error_is_that_of_the_first(tmp_path: Path):
    save(tmp_path, "onnx")
    (tmp_path / "onnx/model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"onnx holds a config.json but no weights; add its model.safetensors"):
        ie.load_family(tmp_path).load("onnx")
