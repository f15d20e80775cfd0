"""Caches on disk: the same bits are read back, and damaged or unfinished files are recorded again."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import interp_emerge as ie
from interp_emerge.caching import store as store_module
from interp_emerge.caching.store import ALIGNMENT, ActivationStore, manifest
from tests.models.small_models import build, draw_parameters, random_pairs, small_model


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    return ActivationStore(tmp_path / "cache")


def same_bits(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(bool((one[name] == other[name]).all()) for name in one)


def assert_same_run(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    """Two recordings of one run: with the last bit of every product changed at random they differ by 2e-5 at most."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=5e-5, rtol=0)


@pytest.mark.parametrize("patterns", [False, True])
def test_the_second_call_reads_the_same_bits_from_disk(patterns: bool, store: ActivationStore, monkeypatch):
    model, tokens = small_model("gpt2"), random_pairs().clean
    first = store.recording(model, tokens, patterns=patterns).activations
    monkeypatch.setattr(store_module, "record", None)
    second = ActivationStore(store.root).recording(model, tokens, patterns=patterns).activations
    assert same_bits(first, second)
    assert any("pattern" in name for name in second) == patterns


@pytest.mark.parametrize("length", range(4, 9))
def test_recorded_and_read_tensors_have_aligned_addresses(length: int, store: ActivationStore):
    """The last bits of a product can depend on the addresses of its factors, so a resumed run would differ."""
    model, tokens = small_model("gpt2"), random_pairs(length=length).clean
    first = store.recording(model, tokens).activations
    again = ActivationStore(store.root).recording(model, tokens).activations
    assert {tensor.data_ptr() % ALIGNMENT for tensor in [*first.values(), *again.values()]} == {0}


def test_a_cache_is_a_file_with_a_manifest_of_its_content(store: ActivationStore):
    model, tokens = small_model("gpt2"), random_pairs().clean
    assert store.bytes_on_disk() == 0
    store.recording(model, tokens)
    tensors, description = sorted(store.root.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert tensors.stem == description.stem
    content = json.loads(description.read_text())
    assert content["model"] == model.spec.to_dict()
    assert content["tensors"]["blocks.0.hook_resid_pre"] == [6, 7, 24]
    assert store.bytes_on_disk() == tensors.stat().st_size


def test_other_prompts_weights_or_contents_have_other_keys(store: ActivationStore):
    model, tokens = small_model("gpt_neox"), random_pairs().clean
    reweighted = ie.hook(draw_parameters(build("gpt_neox"), 1))
    for which, prompts, patterns in (
        (model, tokens, False),
        (model, tokens.flip(0), False),
        (model, tokens.reshape(7, 6), False),
        (model, tokens, True),
        (reweighted, tokens, False),
        (ie.hook(build("gpt_neox").double()), tokens, False),
    ):
        store.recording(which, prompts, patterns=patterns)
    assert len([*store.root.glob("*.safetensors")]) == 6


def test_the_same_weights_in_another_object_have_the_same_key():
    tokens = random_pairs().clean
    one, other = (manifest(ie.hook(build("gpt_neox")), tokens, patterns=False) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"", lambda content: b"x" * 500])
def test_a_damaged_file_is_recorded_again_with_a_warning(damage, store: ActivationStore, caplog):
    model, tokens = small_model("gpt2"), random_pairs().clean
    first = store.recording(model, tokens).activations
    (path,) = store.root.glob("*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        again = ActivationStore(store.root).recording(model, tokens).activations
    assert_same_run(first, again)
    assert "cannot be read" in caplog.text
    caplog.clear()
    assert same_bits(again, ActivationStore(store.root).recording(model, tokens).activations)
    assert not caplog.text


def test_a_file_without_its_manifest_counts_as_unfinished(store: ActivationStore):
    model, tokens = small_model("gpt2"), random_pairs().clean
    store.recording(model, tokens)
    (description,) = store.root.glob("*.json")
    description.unlink()
    ActivationStore(store.root).recording(model, tokens)
    assert description.is_file()


def test_recordings_of_the_current_model_stay_in_memory(store: ActivationStore, monkeypatch):
    model, tokens = small_model("gpt2"), random_pairs().clean
    first = store.recording(model, tokens)
    for path in store.root.iterdir():
        path.unlink()
    monkeypatch.setattr(store_module, "record", None)
    assert store.recording(model, tokens) is first
    assert store.passing(model, tokens) is first


def test_another_model_or_too_small_a_budget_drops_a_recording(store: ActivationStore, monkeypatch):
    model, other, tokens = small_model("gpt2"), small_model("gpt_neox"), random_pairs().clean
    first = store.passing(model, tokens)
    store.passing(other, tokens)
    assert store.passing(model, tokens) is not first
    again = store.passing(model, tokens)
    monkeypatch.setattr(store_module, "CPU_BUDGET", sum(tensor.nbytes for tensor in again.activations.values()))
    store.passing(model, tokens.flip(0))
    assert store.passing(model, tokens) is not again


def test_a_passing_recording_is_the_same_and_is_not_on_disk(store: ActivationStore):
    model, tokens = small_model("llama"), random_pairs().clean
    passing = store.passing(model, tokens).activations
    assert not store.root.exists()
    assert_same_run(passing, ActivationStore(store.root).recording(model, tokens).activations)


def test_the_oldest_caches_make_room_for_new_ones_and_are_recorded_again(tmp_path: Path):
    model = small_model("gpt2")
    prompts = [random_pairs(seed=seed).clean for seed in range(4)]
    first = ActivationStore(tmp_path).recording(model, prompts[0]).activations
    size = ActivationStore(tmp_path).bytes_on_disk()
    store = ActivationStore(tmp_path, most_bytes=int(2.5 * size))
    for tokens in prompts[1:]:
        store.recording(model, tokens)
        assert store.bytes_on_disk() <= store.most_bytes
    assert len([*tmp_path.glob("*.safetensors")]) == len([*tmp_path.glob("*.json")]) == 2
    assert same_bits(ActivationStore(tmp_path).recording(model, prompts[0]).activations, first)


def test_a_cache_that_another_process_removes_meanwhile_is_passed_over(tmp_path: Path):
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")  # is listed, but not there
    store = ActivationStore(tmp_path, most_bytes=1)
    store.recording(small_model("gpt2"), random_pairs(seed=0).clean)
    assert len([*tmp_path.glob("*.json")]) == 1
