"""A whole family, grown in processes, goes on where it stopped and leaves a clean directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoTokenizer

import interp_emerge as ie
from interp_emerge.abilities import _language as language
from interp_emerge.core.errors import InputError
from interp_emerge.training import growing
from interp_emerge.training.growing import _timed, grow_family, write_tokenizer
from interp_emerge.training.outcome import Times
from interp_emerge.training.recipe import Recipe
from interp_emerge.training.trainer import LOSSES, grow_model

pytestmark = pytest.mark.slow


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture
def copy(grown: Path, tmp_path: Path) -> Path:
    """The grown family, to be changed."""
    return shutil.copytree(grown, tmp_path / "tiny")


def test_every_size_seed_and_step_is_there(grown: Path, recipe: Recipe):
    family = ie.load_family(grown)
    assert family.sizes == ["small", "large"]
    assert family.seeds("small") == [0, 1]
    for size in recipe.sizes:
        for seed in range(size.n_seeds):
            assert family.steps(size.name, seed) == list(recipe.checkpoints)
            assert family.load(size.name, "last", seed).encode("Mary met John") != []


def test_a_process_trains_the_same_bits_as_a_call(grown: Path, recipe: Recipe, tmp_path: Path):
    grow_model(recipe, recipe.size("large"), 0, tmp_path)
    assert files(tmp_path) == files(grown / "large")


def test_the_directory_holds_nothing_but_the_family(grown: Path):
    assert sorted(path.name for path in grown.iterdir()) == [
        *["README.md", "card.json", "held_out.txt", "large", "losses.csv", "recipe.json", "small"],
        *["tokenizer.json", "tokenizer_config.json", "training.json"],
    ]
    assert list(grown.rglob(".*")) == []


def test_the_losses_of_all_runs_are_gathered(grown: Path, recipe: Recipe):
    losses = pd.read_csv(grown / LOSSES)
    assert list(losses.columns) == ["size", "seed", "step", "document", "loss"]
    runs = {(size.name, seed) for size in recipe.sizes for seed in range(size.n_seeds)}
    assert set(zip(losses["size"], losses["seed"], strict=True)) == runs
    assert len(losses) == len(runs) * len(recipe.checkpoints) * 5


def test_a_second_call_does_nothing(copy: Path, recipe: Recipe):
    before = files(copy)
    assert grow_family(recipe, copy) == copy
    assert files(copy) == before


def test_what_is_missing_is_grown_again_and_the_rest_is_kept(
    copy: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
):
    before = files(copy)
    shutil.rmtree(copy / "small/seed1/step8")
    (copy / "card.json").unlink()
    (copy / "large/.state").mkdir()
    (copy / "large/.step4.partial").mkdir()
    (copy / ".losses.csv.1.tmp").write_text("half of it")
    grow_family(recipe, copy, workers=1, device="cpu")
    after = files(copy)
    changing = {"training.json", "README.md", "card.json"}  # they say how long it took in all
    assert {name: after[name] for name in set(after) - changing} == {n: before[n] for n in set(before) - changing}
    assert set(after) == set(before)
    first, both = (json.loads(content["training.json"]) for content in (before, after))
    assert both["parts"][:-1] == first["parts"] and both["seconds"] == pytest.approx(sum(both["parts"]))
    assert both["seconds"] > first["seconds"]
    assert "in 2 parts of" in after["README.md"].decode() and "parts of" not in before["README.md"].decode()


def test_another_recipe_does_not_get_the_directory(copy: Path, recipe: Recipe):
    before = files(copy)
    with pytest.raises(InputError, match="contains a family of another recipe; choose an empty directory"):
        grow_family(replace(recipe, warmup=3), copy)
    assert files(copy) == before


INTERRUPTED = """
import signal
import sys
from pathlib import Path
from interp_emerge.training.growing import grow_family
from interp_emerge.training.recipe import Recipe, SizeRecipe

if __name__ == "__main__":
    # A shell starts what runs in the background with interrupts ignored, and so may whatever runs the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    size = SizeRecipe(name="small", n_layers=1, d_model=8, n_heads=2, learning_rate=1e-2, n_seeds=2)
    recipe = Recipe(name="long", sizes=(size,), checkpoints=(0, 10, 1_000_000), documents={"markov": 1})
    grow_family(recipe, Path(sys.argv[1]), workers=2, device="cpu")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_training_that_is_stopped_leaves_no_process_behind(tmp_path: Path, how: signal.Signals):
    """One that went on would train in the same directory as the next call."""
    script = tmp_path / "grow.py"
    script.write_text(INTERRUPTED)
    main = subprocess.Popen(
        [sys.executable, script, tmp_path / "family"], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("family/**/step10"))) == 2)
        main.send_signal(how)
        main.wait(timeout=300)
        wait_until(lambda: not runs(main.pid))
    finally:
        if runs(main.pid):
            os.killpg(main.pid, signal.SIGKILL)


def wait_until(reached: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def runs(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_times_of_several_calls_add_up(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(growing, "NOTE_EVERY", 0.05)
    path = tmp_path / "training.json"
    path.write_text('{"device": "cuda", "seconds": 100.0, "threads": 1, "torch": "2.0.0"}')
    with _timed(tmp_path, recipe, "cpu"):
        time.sleep(0.3)
        assert json.loads(path.read_text())["seconds"] > 100  # noted before the end
    with pytest.raises(KeyboardInterrupt), _timed(tmp_path, recipe, "cpu"):
        raise KeyboardInterrupt(time.sleep(0.3))
    noted = json.loads(path.read_text())
    assert 100.5 < noted["seconds"] < 110
    assert (noted["device"], noted["threads"]) == ("cuda, cpu", 1)
    assert noted["torch"].startswith("2.0.0, ")
    assert "parts" not in noted  # the first record did not say in how many


def test_each_part_of_a_training_is_recorded_even_if_it_was_killed(recipe: Recipe, tmp_path: Path):
    path = tmp_path / "training.json"
    with _timed(tmp_path, recipe, "cpu"):
        as_killed = path.read_text()
    path.write_text(as_killed.replace("[0.0]", "[120.0]").replace('"seconds":0.0', '"seconds":120.0'))
    with _timed(tmp_path, recipe, "cpu"):
        time.sleep(0.3)
    times = Times.read(tmp_path)
    assert times.parts[0] == 120 and 0.3 <= times.parts[1] < 10
    assert times.seconds == pytest.approx(sum(times.parts))


def test_the_time_is_said_with_its_parts():
    known = {"device": "cpu", "threads": 1, "torch": "2.13.0"}
    assert Times(seconds=90.0, **known).took == Times(seconds=90.0, parts=(90.0,), **known).took == "1.5 minutes"
    several = Times(seconds=360.0, parts=(180.0, 30.0, 150.0), **known)
    assert several.took == "6.0 minutes, in 3 parts of 3.0, 0.5 and 2.5"


def test_every_word_is_one_token_and_comes_back(tmp_path: Path):
    write_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == len(language.VOCABULARY)
    for number, word in enumerate(language.VOCABULARY):
        if word not in (language.BOS, language.UNKNOWN):
            assert tokenizer.encode(f" {word}", add_special_tokens=False) == [number]
        assert tokenizer.decode([number]) == word
    text = "When Mary and John met , John gave the book to Mary ."
    assert tokenizer.decode(tokenizer.encode(text)).split() == text.split()
    assert tokenizer.bos_token_id == language.VOCABULARY.index(language.BOS)


def test_the_held_out_text_is_of_every_kind_and_all_known_words(grown: Path):
    passages = ie.load_family(grown).held_out_text()
    assert len(passages) == 5 * growing.HELD_OUT_LINES
    assert {word for passage in passages for word in passage.split()} <= set(language.VOCABULARY)
    assert {"met", "plus", "reaches"} <= {word for passage in passages for word in passage.split()}
