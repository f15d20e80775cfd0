"""A family on text files is grown like any other: the same bits again, interrupted or not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.training import text_tokens, trainer
from interp_emerge.training._text_run import TextRun, bands, grow_on_text, read_again, spread_windows, windows
from interp_emerge.training.estimate import estimate_training
from interp_emerge.training.growing import grow_family
from interp_emerge.training.text import TextRecipe, begin_text, size_recipe, spaced_checkpoints, text_recipe
from interp_emerge.training.text_tokens import END, read_tokens, remove_tokens

SENTENCE = "the king and his people went up to a city by the river ; then they came back with bread, wine — and Élise"
OPTIONS = {"sizes": ("1x16", "2x16"), "steps": 6, "checkpoints": 3, "vocabulary": 300, "context": 32, "batch": 4}


class StoppedError(Exception):
    """Stops a training, as an interruption would."""


def write_texts(folder: Path, n_files: int = 24) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(n_files):
        lines = [" ".join(rng.choice(SENTENCE.split(), size=12)) for _ in range(12)]
        (folder / f"{number:02}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("text") / "texts")


@pytest.fixture(scope="module")
def recipe(folder: Path) -> TextRecipe:
    return text_recipe(folder, seeds=(2, 1), **OPTIONS)


@pytest.fixture(scope="module")
def prepared(recipe: TextRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family before its first training step."""
    directory = tmp_path_factory.mktemp("prepared")
    begin_text(recipe, directory)
    return directory


@pytest.fixture(scope="module")
def grown(recipe: TextRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family as `interp-emerge train text` would have left it."""
    return grow_family(recipe, tmp_path_factory.mktemp("grown") / "text", workers=1, device="cpu")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def grow(recipe: TextRecipe, prepared: Path, directory: Path, *, stop_at: int | None = None) -> None:
    def report(step: int, loss: float) -> None:
        if step == stop_at:
            raise StoppedError

    shape: dict[str, Any] = {"vocabulary": recipe.vocabulary, "context": recipe.context, "batch": recipe.batch}
    grow_on_text(recipe, recipe.size("2x16"), 0, directory, family=prepared, report=report, **shape)


def test_every_size_seed_and_step_is_there_and_prompts_begin_with_the_mark(grown: Path, recipe: TextRecipe):
    family = ie.load_family(grown)
    assert family.sizes == ["1x16", "2x16"]
    assert (family.seeds("1x16"), family.seeds("2x16")) == ([0, 1], [0])
    assert family.steps("2x16") == list(recipe.checkpoints) == [0, 6]
    model = family.load("2x16", "last", 0)
    assert model.bos == [model.tokenizer.convert_tokens_to_ids(END)] == [0]


def test_an_interrupted_training_ends_in_the_same_bits(
    recipe: TextRecipe, prepared: Path, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trainer, "STATE_EVERY", 3)
    with pytest.raises(StoppedError):
        grow(recipe, prepared, tmp_path / "run", stop_at=4)
    torch.manual_seed(1)
    grow(recipe, prepared, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(grown / "2x16")


def test_a_grown_family_that_lacks_something_gets_its_token_ids_again(
    recipe: TextRecipe, prepared: Path, grown: Path, tmp_path: Path
):
    copy = shutil.copytree(grown, tmp_path / "text")
    begin_text(recipe, copy)
    assert {name: contents(copy)[name] for name in contents(prepared)} == contents(prepared)


@pytest.mark.parametrize(
    "lost", ["tokenizer.json", "tokenizer_config.json", "held_out.txt", "text.json", ".tokens/training.npy"]
)
@pytest.mark.parametrize("damaged", [False, True])
def test_what_was_prepared_and_is_missing_or_damaged_is_made_again(
    recipe: TextRecipe, prepared: Path, tmp_path: Path, lost: str, damaged: bool
):
    copy = shutil.copytree(prepared, tmp_path / "text")
    (copy / "2x16/step0").mkdir(parents=True)  # training has begun
    (copy / lost).write_bytes(b"{") if damaged else (copy / lost).unlink()
    begin_text(recipe, copy)
    assert contents(copy) == contents(prepared)


def test_what_is_whole_is_not_made_again(recipe: TextRecipe, prepared: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_tokens, "train_tokenizer", None)
    begin_text(recipe, prepared)


def test_a_finished_family_without_its_tokenizer_gets_it_again(recipe: TextRecipe, grown: Path, tmp_path: Path):
    copy = shutil.copytree(grown, tmp_path / "text")
    (copy / "tokenizer.json").unlink()
    grow_family(recipe, copy, workers=1, device="cpu")
    assert contents(copy) == contents(grown)


def test_what_does_not_come_out_as_models_were_trained_with_is_refused(
    recipe: TextRecipe, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = shutil.copytree(prepared, tmp_path / "text")
    (copy / "2x16/step0").mkdir(parents=True)
    (copy / "tokenizer.json").unlink()
    left = contents(copy)
    as_ever = text_tokens.train_tokenizer

    def trained_otherwise(documents: tuple[str, ...], vocabulary: int) -> Tokenizer:
        return as_ever(documents[1:], vocabulary)

    with monkeypatch.context() as changed:
        changed.setattr(text_tokens, "train_tokenizer", trained_otherwise)
        with pytest.raises(
            InputError, match=r"^tokenizer.json in .* the text does not give this as it was .*put it back"
        ):
            begin_text(recipe, copy)
        (copy / "text.json").unlink()
        shutil.copy(prepared / "tokenizer.json", copy)
        with pytest.raises(InputError, match=r"\.tokens/training.npy.* the text does not give this as it was"):
            begin_text(recipe, copy)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"has lost both tokenizer\.json and the hash of it in text\.json"):
        begin_text(recipe, copy)
    assert {**contents(copy), "text.json": left["text.json"]} == left


def test_a_preparation_that_was_interrupted_is_done_again(recipe: TextRecipe, prepared: Path, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{")
    begin_text(recipe, tmp_path)
    assert contents(tmp_path) == contents(prepared)


def test_another_text_or_setting_does_not_get_the_directory(recipe: TextRecipe, grown: Path, tmp_path: Path):
    other = text_recipe(write_texts(tmp_path / "fewer", n_files=23), seeds=(2, 1), **OPTIONS)
    for chosen in (other, replace(recipe, context=33)):
        assert chosen.hash != recipe.hash
        with pytest.raises(InputError, match="contains a family of another recipe"):
            grow_family(chosen, grown)


def test_the_hash_is_that_of_the_text_wherever_it_lies(folder: Path, recipe: TextRecipe, tmp_path: Path):
    copy = shutil.copytree(folder, tmp_path / "moved")
    assert text_recipe(copy, seeds=(2, 1), **OPTIONS).hash == recipe.hash
    (copy / "00.txt").write_text("the king")
    assert text_recipe(copy, seeds=(2, 1), **OPTIONS).hash != recipe.hash
    with pytest.raises(InputError, match="the text has changed since its recipe was made"):
        begin_text(replace(recipe, folder=str(copy)), tmp_path)


def test_every_text_comes_back_from_its_tokens(prepared: Path):
    tokenizer = AutoTokenizer.from_pretrained(prepared)
    assert len(tokenizer) == 300
    for text in ("the king went up", "  two  spaces\n\tand a tab", "Zürich 東京 🙂", "\x00\x7f", ""):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
        assert 0 not in ids


def test_held_out_files_are_in_no_training_window(prepared: Path, folder: Path):
    facts = json.loads((prepared / "text.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(prepared)
    streams = {name: tokenizer.decode(read_tokens(prepared, name).tolist()).split(END)[1:]
               for name in ("training", "held_out")}  # fmt: skip
    held_out = {(folder / name).read_text(encoding="utf-8") for name in facts["held_out"]}
    assert set(streams["held_out"]) == held_out != set()
    assert not held_out & set(streams["training"])
    assert len(streams["training"]) + len(held_out) == facts["n_files"] == 24
    (passage, *_) = (prepared / "held_out.txt").read_text(encoding="utf-8").splitlines()
    assert any(passage in " ".join(text.split()) for text in held_out)


def test_a_window_is_the_mark_and_what_follows_a_position():
    stream = np.arange(100, dtype=np.int32)
    assert windows(stream, np.array([0, 96]), 5).tolist() == [[0, 0, 1, 2, 3], [0, 96, 97, 98, 99]]
    spread = spread_windows(stream, 11, n=4)
    assert spread[:, 1].tolist() == [0, 30, 60, 90]
    assert spread[-1, -1] == 99


def test_in_a_share_of_the_windows_a_passage_is_read_again_and_again():
    rows = windows(np.arange(1, 200, dtype=np.int32), np.arange(8) * 10, 64)
    changed = read_again(np.random.default_rng(0), rows, 0.5)
    assert (changed[4:] == rows[4:]).all()
    assert (changed[:, 0] == 0).all()
    for before, after in zip(rows[:4], changed[:4], strict=True):
        length = len(set(after[1:]))
        assert 8 <= length <= 32
        assert after[1:].tolist() == (before[1 : 1 + length].tolist() * 8)[:63]
    assert len({len(set(row)) for row in changed[:4]}) > 1


def test_the_spread_of_initial_weights_falls_with_the_root_of_the_width(grown: Path):
    family = ie.load_family(grown)
    keys = family.load("1x16", 0).bridge.blocks[0].attn.q.weight
    assert keys.std().item() == pytest.approx(0.8 / 16**0.5, rel=0.15)
    with pytest.raises(InputError, match="deviation of 0"):
        replace(text_recipe(grown / "held_out.txt", **OPTIONS), initial=0.0)


def test_the_last_token_of_the_text_is_trained_on(recipe: TextRecipe, prepared: Path, tmp_path: Path):
    streams = {name: read_tokens(prepared, name) for name in ("training", "held_out")}
    streams["training"] = np.arange(1, 33, dtype=np.int32)
    run = TextRun(recipe, recipe.sizes[0], 0, tmp_path, "cpu", streams=streams, shape=(64, 32), vocabulary=300)
    assert sorted({row[-1] for row in run.next_batch().tolist()}) == [31, 32]


def test_early_and_late_losses_are_those_of_the_positions(grown: Path, prepared: Path):
    assert bands(128) == {
        "held-out text, tokens 6 to 19": slice(5, 19),
        "held-out text, tokens 114 to 127": slice(113, 127),
    }
    tokens = torch.from_numpy(spread_windows(read_tokens(prepared, "held_out"), 32))
    logits = ie.load_family(grown).load("2x16", "last", 0).bridge(tokens)[:, :-1].log_softmax(-1)
    by_position = -logits.gather(-1, tokens[:, 1:, None])[..., 0].mean(0)
    losses = pd.read_csv(grown / "losses.csv").query("size == '2x16' and step == 6").set_index("document")["loss"]
    assert losses["held-out text"] == pytest.approx(by_position.mean().item(), abs=2e-3)
    for name, at in bands(32).items():
        assert losses[name] == pytest.approx(by_position[at].mean().item(), abs=5e-3)


def test_the_card_has_hashes_losses_and_times(grown: Path, recipe: TextRecipe):
    card = json.loads((grown / "card.json").read_text())
    assert (card["recipe"], card["text"]["hash"]) == (recipe.hash, recipe.text)
    assert card["times"]["seconds"] > 0
    assert [(row["size"], row["seed"]) for row in card["losses"]] == [("1x16", 0), ("1x16", 1), ("2x16", 0)]
    family = ie.load_family(grown)
    assert [row["n_parameters"] for row in card["sizes"]] == [
        family.load(s, "last", 0).n_parameters for s in family.sizes
    ]
    text = (grown / "README.md").read_text()
    assert all(part in text for part in (recipe.hash, recipe.text, "| 2x16 | 0 |", "744 predicted tokens"))


def test_the_estimate_names_steps_models_and_disk(recipe: TextRecipe, grown: Path):
    estimate = estimate_training(recipe, workers=2)
    weights = sum(len(content) for name, content in contents(grown).items() if "/step" in name)
    assert estimate.mb == pytest.approx(weights / 1e6, rel=0.01)
    one, two = estimate.sizes["cpu_minutes"]
    assert estimate.minutes == pytest.approx(max(two, 2 * one, one + min(one, two)), rel=1e-6)
    assert "3 models, 2 at once" in str(estimate)


def test_steps_are_spaced_on_a_logarithmic_axis():
    assert spaced_checkpoints(3200, 4) == (0, 32, 320, 3200)
    assert spaced_checkpoints(10, 5) == (0, 10)


@pytest.mark.parametrize(("name", "heads"), [("2x48", 3), ("3x128", 4), ("1x16", 1)])
def test_a_size_is_read_from_its_name(name: str, heads: int):
    size = size_recipe(name)
    assert (f"{size.n_layers}x{size.d_model}", size.n_heads) == (name, heads)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": ("2x50",)}, "cannot read '2x50' as a size; give LAYERSxWIDTH"),
        ({"sizes": ("big",)}, "cannot read 'big' as a size"),
        ({"seeds": (1, 2, 3)}, "seeds 1,2,3 do not fit 2 sizes"),
        ({"steps": 0}, "0 steps with 3 checkpoints cannot be trained"),
        ({"vocabulary": 256}, "a vocabulary of 256 is too small"),
        ({"context": 8}, "a context of 8 tokens and a batch of 4 cannot be trained on"),
        ({"repeated": 1.5}, "a share of 1.5 repeated windows cannot be"),
        ({"learning_rate": -1.0}, "a learning rate of -1 cannot be trained with"),
    ],
)
def test_what_cannot_be_trained_is_refused(folder: Path, options: dict, said: str):
    with pytest.raises(InputError, match=said):
        text_recipe(folder, **{**OPTIONS, **options})


def test_too_little_text_is_refused_before_training(recipe: TextRecipe, tmp_path: Path):
    for change, said in (
        ({"vocabulary": 5000}, r"too little for a vocabulary of 5000 tokens; it gives \d+: ask"),
        ({"batch": 10_000}, "training text has .* tokens, and one batch needs 320,000"),
        ({"context": 2000, "batch": 1}, "held-out text has .* tokens, and one window needs 2,000"),
    ):
        with pytest.raises(InputError, match=said):
            begin_text(replace(recipe, **change), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_token_ids_are_kept_only_while_they_are_needed(grown: Path, prepared: Path, tmp_path: Path):
    assert not (grown / ".tokens").exists()
    copy = shutil.copytree(prepared, tmp_path / "copy")
    remove_tokens(copy)
    assert {*contents(copy)} == {"held_out.txt", "text.json", "tokenizer.json", "tokenizer_config.json"}


def test_a_refused_recipe_does_not_keep_the_directory_from_another(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="too little for a vocabulary of 5000"):
        grow_family(text_recipe(folder, **{**OPTIONS, "vocabulary": 5000}), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_with_a_readme_of_its_own_is_not_grown_into(recipe: TextRecipe, tmp_path: Path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"is no family and has a README\.md"):
        grow_family(recipe, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
