"""A directory of checkpoints as a family: layouts, names, tokenizers, and the errors of a faulty directory."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InterpEmergeError, ModelError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.families._disk.directory import DirectoryFamily
from interp_emerge.families.base import PASSAGE, Family
from tests.families.tiny import save_checkpoint, save_model, some_tokens, tiny_tokenizer
from tests.models.computed_apart import assert_same_logits, differ


def load_any(directory: Path) -> HookedModel:
    family = ie.load_family(directory)
    return family.load(family.sizes[0])


def refusal(directory: Path) -> str:
    """The error of `load_family`, or else of loading the only model; always one line."""
    with pytest.raises(InterpEmergeError) as raised:
        load_any(directory)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("layout", "size", "seeds", "steps"),
    [
        (["."], "DIR", [0], [0]),
        (["step0", "step10", "step9"], "DIR", [0], [0, 9, 10]),
        (["big"], "big", [0], [0]),
        (["big/step1", "big/step20", "big/step3"], "big", [0], [1, 3, 20]),
        (["big/step5", "big/seed2/step5", "big/seed10/step5"], "big", [0, 2, 10], [5]),
    ],
    ids=["DIR", "DIR/stepN", "DIR/SIZE", "DIR/SIZE/stepN", "DIR/SIZE/seedK/stepN"],
)
def test_a_layout_is_understood(tmp_path: Path, layout: list[str], size: str, seeds: list[int], steps: list[int]):
    root = tmp_path / "DIR"
    for number, place in enumerate(layout):
        save_checkpoint(root / place, seed=number)
    family = ie.load_family(root)
    assert (family.name, family.sizes) == ("DIR", [size])
    assert family.seeds(size) == seeds
    assert [family.steps(size, seed) for seed in seeds] == [steps] * len(seeds)
    model = family.load(size, seed=seeds[-1])
    assert (model.spec.step, model.spec.seed) == (steps[-1], seeds[-1])
    assert model.encode("w5 w6") == [5, 6]


def test_each_name_leads_to_its_own_weights(tmp_path: Path):
    for number, place in enumerate(["a/step0", "a/step1", "a/seed1/step1", "b/step1"]):
        save_checkpoint(tmp_path / place, seed=number, num_hidden_layers=1 if place.startswith("b") else 2)
    family, tokens = ie.load_family(tmp_path), some_tokens()
    asked = [("a", 0, 0), ("a", 1, 0), ("a", 1, 1), ("b", 1, 0)]
    logits = [family.load(*names).logits(tokens) for names in asked]
    for number, place in enumerate(["a/step0", "a/step1", "a/seed1/step1", "b/step1"]):
        assert_same_logits(logits[number], ie.load_family(tmp_path / place).load(Path(place).name).logits(tokens))
    assert all(differ(logits[i], logits[j]) for i in range(4) for j in range(i))


def test_sizes_ascend_by_parameters_whatever_their_names(tmp_path: Path):
    for name, layers in {"1b": 1, "2a": 3, "10m": 2}.items():
        save_checkpoint(tmp_path / name / "step0", num_hidden_layers=layers)
    assert ie.load_family(tmp_path).sizes == ["1b", "10m", "2a"]


def test_embeddings_do_not_count_as_size(tmp_path: Path):
    save_model(tmp_path / "deep", num_hidden_layers=2)
    save_model(tmp_path / "many words", num_hidden_layers=1, vocab_size=5000)
    assert ie.load_family(tmp_path).sizes == ["many words", "deep"]


def test_a_path_and_its_text_are_the_same_family(tmp_path: Path):
    save_checkpoint(tmp_path / "big")
    assert ie.load_family(str(tmp_path)).spec("big") == ie.load_family(tmp_path).spec("big")


def test_hidden_directories_are_ignored(tmp_path: Path):
    for place in ("big/step1", "big/.step2.partial", ".cache/step3"):
        save_checkpoint(tmp_path / place)
    family = ie.load_family(tmp_path)
    assert (family.sizes, family.steps("big")) == (["big"], [1])


def test_nothing_is_read_before_it_is_needed(tmp_path: Path):
    family = DirectoryFamily(tmp_path / "not there yet", name="later")
    assert family.name == "later"
    with pytest.raises(ModelError, match="holds no model"):
        _ = family.sizes
    save_checkpoint(tmp_path / "not there yet")
    assert family.sizes == ["not there yet"]


@pytest.mark.parametrize("tokenizer_at", ["a/step1", "a", "."])
def test_the_tokenizer_may_lie_in_any_directory_above(tmp_path: Path, tokenizer_at: str):
    save_model(tmp_path / "a/step1")
    tiny_tokenizer().save_pretrained(tmp_path / tokenizer_at)
    assert ie.load_family(tmp_path).load("a").encode("w7") == [7]


def test_a_tokenizer_above_the_family_is_not_its_own(tmp_path: Path):
    save_model(tmp_path / "family/a/step1")
    tiny_tokenizer().save_pretrained(tmp_path)
    assert ie.load_family(tmp_path / "family").load("a").tokenizer is None


def test_the_nearest_tokenizer_is_taken(tmp_path: Path):
    save_model(tmp_path / "a/step1")
    tiny_tokenizer(64).save_pretrained(tmp_path)
    tiny_tokenizer(50).save_pretrained(tmp_path / "a")
    assert len(ie.load_family(tmp_path).load("a").tokenizer) == 50


def test_the_revision_is_of_the_content_and_not_of_the_place(tmp_path: Path):
    save_checkpoint(tmp_path / "here/a/step1")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (ie.load_family(tmp_path / place).spec("a").revision for place in ("here", "there"))
    assert re.fullmatch("[0-9a-f]{16}", here)
    assert here == there


@pytest.mark.parametrize("change", ["weights", "config", "tokenizer in the folder", "tokenizer above"])
def test_the_revision_changes_with_all_that_the_numbers_depend_on(tmp_path: Path, change: str):
    save_checkpoint(tmp_path / "a/step1")
    if change == "tokenizer above":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (tmp_path / "a/step1" / name).rename(tmp_path / name)
    before = ie.load_family(tmp_path).spec("a").revision
    match change:
        case "weights":
            save_checkpoint(tmp_path / "a/step1", seed=1)
        case "config":
            path = tmp_path / "a/step1/config.json"
            path.write_text(path.read_text().replace('"rope_theta": 10000.0', '"rope_theta": 20000.0'))
        case "tokenizer in the folder":
            tiny_tokenizer(60).save_pretrained(tmp_path / "a/step1")
        case "tokenizer above":
            tiny_tokenizer(60).save_pretrained(tmp_path)
    assert ie.load_family(tmp_path).spec("a").revision != before


def test_held_out_text_is_the_directorys_own_where_it_has_one(tmp_path: Path):
    save_checkpoint(tmp_path)
    family = ie.load_family(tmp_path)
    assert family.held_out_text() == [PASSAGE]
    (tmp_path / "held_out.txt").write_text("w2 w3\nw4\n")
    assert family.held_out_text() == ["w2 w3", "w4"]


def test_a_directory_without_a_model_fails_at_once(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(
        ModelError, match=r"holds no model; put a config.json into it, or below it into SIZE/, stepN/, .*seedK/stepN/$"
    ):
        ie.load_family(tmp_path)


def test_a_file_is_refused(tmp_path: Path):
    path = save_checkpoint(tmp_path) / "model.safetensors"
    assert refusal(path) == f"{path} is a file; give the directory of checkpoints that contains it"


def test_a_path_that_is_not_there_is_unknown_and_near_misses_are_named(tmp_path: Path):
    with pytest.raises(UnknownNameError, match=r"unknown family or directory '.*nowhere' \(known: .*miniature"):
        ie.load_family(tmp_path / "nowhere")
    with pytest.raises(UnknownNameError, match=r"did you mean 'miniature'\?"):
        ie.load_family("minature")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not a valid JSON file"),
        ("[]", "Should have a `model_type`"),
        ('{"model_type": "no such thing"}', "model type `no such thing`"),
        ('{"model_type": "t5"}', "Unrecognized configuration class"),
        ('{"model_type": "gpt_neox", "hidden_size": "wide"}', "'hidden_size' expected int, got str"),
        ('{"model_type": "gpt_neox", "num_attention_heads": 0}', "modulo by zero"),
    ],
)
def test_a_configuration_that_cannot_be_read_fails_at_once_and_is_named(tmp_path: Path, content: str, reason: str):
    save_checkpoint(tmp_path / "good")
    save_checkpoint(tmp_path / "bad")
    (tmp_path / "bad/config.json").write_text(content)
    with pytest.raises(ModelError, match=r"bad/config.json does not describe a causal language model: ") as raised:
        ie.load_family(tmp_path)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_checkpoints_of_one_name_are_refused(tmp_path: Path):
    for number, place in enumerate(("a/step10", "a/step010")):
        save_checkpoint(tmp_path / place, seed=number)
    assert refusal(tmp_path).endswith("/a/step10 are both step 10 of one model; name one of them stepN")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda family: family.load("14M"), "unknown size of .* '14M'; did you mean '14m'"),
        (lambda family: family.seeds("15m"), "unknown size of .* '15m'; did you mean '14m'"),
        (lambda family: family.steps("15m"), "unknown size of .* '15m'; did you mean '14m'"),
        (lambda family: family.spaced_steps("15m"), "unknown size of .* '15m'; did you mean '14m'"),
        (lambda family: family.load("14m", seed=1), r"unknown seed of .*/14m '1' \(known: 0\)"),
        (lambda family: family.steps("14m", 1), r"unknown seed of .*/14m '1' \(known: 0\)"),
        (
            lambda family: family.load("14m", 143),
            r"unknown step of .*/14m '143'; did you mean '1\d+'\? \(known: 0, 1000",
        ),
    ],
)
def test_unknown_sizes_seeds_and_steps_get_suggestions(tmp_path: Path, ask: Callable[[Family], object], message: str):
    for step in (0, 1000, 143_000):
        save_checkpoint(tmp_path / f"14m/step{step}")
    with pytest.raises(UnknownNameError, match=message):
        ask(ie.load_family(tmp_path))
