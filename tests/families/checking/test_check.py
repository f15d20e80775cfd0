"""Planted faults are found, and a sound run passes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import interp_emerge as ie
from interp_emerge.cli import main
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.families import CHECKS, CheckVerdict
from tests.families.tiny import tiny_model, tiny_tokenizer

STEPS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90)
FIRST, SECOND = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight", "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
NORM = "gpt_neox.final_layer_norm.weight"


def grow(directory: Path, seed: int) -> Path:
    """A run whose weights move away from a random start, more at each step."""
    model, generator = tiny_model(seed=seed), torch.Generator().manual_seed(100 + seed)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    drift = {name: torch.randn(value.shape, generator=generator) for name, value in start.items()}
    for step in STEPS:
        moved = {name: value + 0.003 * step * drift[name] for name, value in start.items()}
        model.load_state_dict(moved)
        model.save_pretrained(directory / f"step{step}")
    return directory


def weights(directory: Path, **replaced: torch.Tensor) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint; those given replace its own on disk."""
    path = directory / "model.safetensors"
    content = load_file(path)
    if replaced:
        save_file(content | replaced, path, {"format": "pt"})
    return content


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seeds: a sound one, and three with planted faults."""
    root = tmp_path_factory.mktemp("grown") / "family"
    tiny_tokenizer().save_pretrained(root)
    (root / "held_out.txt").write_text("w1 w2 w3 w4 w5 w6\nw7 w8 w9 w2 w3\n")
    one, two, three = (grow(root / "small" / f"seed{seed}", seed) for seed in (1, 2, 3))
    grow(root / "small" / "seed0", 0)
    weights(one / "step30", **{NORM: torch.full_like(weights(one / "step30")[NORM], float("nan"))})
    weights(one / "step60", **weights(one / "step50"))
    weights(two / "step30", **{SECOND: weights(one / "step80")[SECOND]})
    weights(two / "step60", **{FIRST: weights(two / "step90")[FIRST]})
    weights(three / "step0", **weights(one / "step0"))
    return root


@pytest.fixture(scope="module")
def table(grown: Path) -> pd.DataFrame:
    return ie.families.check(ie.load_family(grown))


def failed(table: pd.DataFrame, seed: int) -> set[tuple[int, str]]:
    rows = table[(table["seed"] == seed) & (table["verdict"] == CheckVerdict.FAILED)]
    return set(zip(rows["step"], rows["test"], strict=True))


def detail(table: pd.DataFrame, seed: int, step: int, test: str) -> str:
    [row] = table[(table["seed"] == seed) & (table["step"] == step) & (table["test"] == test)].to_dict("records")
    return row["detail"]


def test_a_sound_run_passes_every_test(table: pd.DataFrame):
    rows = table[table["seed"] == 0]
    assert {*rows["verdict"]} <= {CheckVerdict.PASSED, CheckVerdict.NOT_TESTED}
    tested = rows[rows["verdict"] == CheckVerdict.PASSED]
    assert {*tested["test"]} == {
        "loads",
        "finite",
        "distinct",
        "own tensors",
        "between neighbours",
        "loss in line",
        "descends from step 0",
        "plain transformers",
        "bridge",
    }
    assert (tested.groupby("test")["step"].nunique()[["loads", "distinct", "own tensors"]] == len(STEPS)).all()


def test_a_weight_that_is_not_finite_is_found_and_named(table: pd.DataFrame):
    assert (30, "finite") in failed(table, 1)
    assert f"weights are not finite ({NORM})" in detail(table, 1, 30, "finite")


def test_a_duplicated_checkpoint_is_found_with_its_twin(table: pd.DataFrame):
    assert (60, "distinct") in failed(table, 1)
    assert detail(table, 1, 60, "distinct") == "has the weights of step 50 of seed 1"
    assert failed(table, 1) == {(30, "finite"), (60, "distinct")}


def test_a_layer_of_another_run_is_found_and_named(table: pd.DataFrame):
    assert (30, "between neighbours") in failed(table, 2)
    assert detail(table, 2, 30, "between neighbours") == f"far from steps 20 and 40: {SECOND}"


def test_a_layer_of_another_step_is_found_and_named(table: pd.DataFrame):
    assert (60, "own tensors") in failed(table, 2)
    assert detail(table, 2, 60, "own tensors") == f"as at step 90: {FIRST}"
    assert {step for step, _ in failed(table, 2)} == {30, 60, 90}


def test_a_foreign_step_0_is_found_with_the_run_that_it_fits(table: pd.DataFrame):
    assert failed(table, 3) == {(0, "descends from step 0"), (0, "distinct")}
    assert "no more similar to it than to an unrelated start" in detail(table, 3, 0, "descends from step 0")


def test_the_table_has_its_columns_and_is_in_order(table: pd.DataFrame):
    assert [*table.columns] == [*CHECKS.columns]
    assert {*table["verdict"]} == {*CheckVerdict}
    keys = [*zip(table["seed"], table["step"], strict=True)]
    assert keys == sorted(keys)


def test_a_frozen_matrix_is_not_taken_for_a_borrowed_one(tmp_path: Path):
    root = grow(tmp_path / "family" / "small", 0)
    frozen = weights(root / "step0")[SECOND]
    for step in STEPS:
        weights(root / f"step{step}", **{SECOND: frozen})
    table = ie.families.check(ie.load_family(tmp_path / "family"), steps=STEPS[:4])
    assert failed(table, 0) == set()


def test_a_model_in_memory_is_compared_with_transformers_and_the_bridge():
    table = ie.families.check(ie.hook(tiny_model("llama"), tokenizer=tiny_tokenizer()))
    rows = table.set_index("test")
    assert rows.loc[["plain transformers", "bridge"], "verdict"].tolist() == ["passed", "passed"]
    assert np.isfinite(rows["value"]["bridge"])


def test_choices_that_do_not_exist_are_refused(grown: Path):
    family = ie.load_family(grown)
    for chosen in ({"sizes": ["huge"]}, {"steps": [11]}, {"seeds": [9]}):
        with pytest.raises(UnknownNameError):
            ie.families.check(family, **chosen)  # pyright: ignore[reportArgumentType]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["interp-emerge", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_ends_with_1_where_a_test_fails(
    grown: Path, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
):
    words = ["check", str(grown), "--seeds", "3", "--steps", "0,10", "--json", "--only", "failed"]
    assert run(monkeypatch, *words, "--out", str(tmp_path / "all.csv")) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["test"] for row in rows] == ["descends from step 0"]
    assert len(pd.read_csv(tmp_path / "all.csv")) > len(rows)
    assert run(monkeypatch, "check", str(grown), "--seeds", "0", "--steps", "0,10") == 0
    assert run(monkeypatch, "check", str(grown), "--only", "some") == 2


def test_a_dry_run_says_what_would_be_loaded(grown: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(monkeypatch, "check", str(grown), "--seeds", "1", "--dry-run", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["checkpoints"], row["to_download"], row["bytes"]) == (len(STEPS), 0, 0)


def test_last_is_the_last_step_of_every_run(grown: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(monkeypatch, "check", str(grown), "--steps", "last", "--dry-run", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) > 1
    assert {row["checkpoints"] for row in rows} == {1}
    assert run(monkeypatch, "check", str(grown), "--steps", "last", "--seeds", "0", "--json") == 0
    family = ie.load_family(grown)
    last = family.steps(family.sizes[0], 0)[-1]
    assert {row["step"] for row in json.loads(capsys.readouterr().out)} == {last}
    for steps in ("first", (0, "first")):
        with pytest.raises(InputError, match="steps: 'first' is not a step; give numbers, 'last', or both"):
            ie.families.check(family, steps=steps)


def test_last_may_be_one_of_several_steps(grown: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    family = ie.load_family(grown)
    for steps in ((10, "last"), (90, 10, "last")):
        assert [*ie.families.plan_check(family, steps=steps)["checkpoints"]] == [2] * 4
    words = ["check", str(grown), "--seeds", "0", "--dry-run", "--json"]
    assert run(monkeypatch, *words, "--steps", "10, last") == 0
    assert json.loads(capsys.readouterr().out)[0]["checkpoints"] == 2
    assert run(monkeypatch, *words, "--steps", "10,lost") == 2
    assert "--steps 10,lost: 'lost' is not a step; give numbers or last, separated by" in capsys.readouterr().err


def test_the_doctor_says_what_there_is(monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(monkeypatch, "doctor", "--family", "miniature", "--json") == 0
    rows = {(row["topic"], row["name"]): row["value"] for row in json.loads(capsys.readouterr().out)}
    assert rows["packages", "torch"] == torch.__version__
    assert rows["hub", "can be reached"].startswith("HF_HUB_OFFLINE is set")
    assert rows["miniature", "3k"].endswith("checkpoints are here")
