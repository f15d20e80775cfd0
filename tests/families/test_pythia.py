"""Pythia's names and steps, and revisions of the hub read from a cache without a network."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.core.errors import InterpEmergeError, ModelError, UnknownNameError
from tests.families.tiny import cache_revision, some_tokens, tiny_model
from tests.models.computed_apart import assert_same_logits

REPOSITORY = "EleutherAI/pythia-14m"
STEPS = [0, 1000, 143_000]


@pytest.fixture
def commits(hub_cache: Path, asked_for: list[str]) -> dict[int, str]:
    """Commits of three cached checkpoints of the smallest size, by step."""
    return {step: cache_revision(hub_cache, REPOSITORY, f"step{step}", seed) for seed, step in enumerate(STEPS)}


def refusal(size: str, step: int | str = "last") -> str:
    with pytest.raises(InterpEmergeError) as raised:
        ie.load_family("pythia").load(size, step)  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_there_are_ten_sizes_in_order():
    sizes = ie.load_family("pythia").sizes
    number = {size: float(size[:-1]) * {"m": 1e6, "b": 1e9}[size[-1]] for size in sizes}
    assert len(sizes) == 10
    assert sizes == sorted(sizes, key=number.__getitem__)
    assert (sizes[0], sizes[-1]) == ("14m", "12b")


def test_there_are_154_checkpoints_of_each(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    steps = ie.load_family("pythia").steps("12b")
    assert len(steps) == 154
    assert steps[:13] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000]
    assert steps[-1] == 143_000


def test_the_checkpoints_to_follow_lie_evenly_on_the_logarithm_of_the_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    spaced = ie.load_family("pythia").spaced_steps("14m")
    assert spaced == [0, 1, 4, 8, 32, 128, 512, 1000, 4000, 13_000, 44_000, 143_000]


def test_offline_only_the_cached_steps_exist(commits: dict[int, str]):
    family = ie.load_family("pythia")
    assert family.steps("14m") == STEPS
    assert family.spec("14m").step == 143_000


def test_a_revision_is_the_commit(commits: dict[int, str]):
    family = ie.load_family("pythia")
    for step, commit in commits.items():
        spec = family.spec("14m", step)
        assert (spec.revision, spec.location) == (commit, REPOSITORY)
        assert str(spec) == f"pythia/14m/step{step}/seed0"


@pytest.mark.parametrize("offline", [True, False])
def test_each_cached_step_loads_its_own_weights_without_a_network(
    commits: dict[int, str], asked_for: list[str], monkeypatch: pytest.MonkeyPatch, offline: bool
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    family, tokens = ie.load_family("pythia"), some_tokens()
    for seed, step in enumerate(STEPS):
        model = family.load("14m", step)
        assert_same_logits(model.logits(tokens), tiny_model(seed=seed)(input_ids=tokens).logits[:, -1])
        assert model.spec == family.spec("14m", step)
        assert model.encode("w5") == [5]
        assert model.bridge(tokens).shape == (*tokens.shape, 64)
    assert asked_for == []


def test_a_size_that_is_not_cached_says_how_to_get_it(commits: dict[int, str], asked_for: list[str]):
    message = "no checkpoint of EleutherAI/pythia-70m is in the cache, and HF_HUB_OFFLINE is set; unset it to download"
    assert refusal("70m") == message
    assert asked_for == []


def test_a_step_that_is_not_cached_says_how_to_get_it_and_what_is_there(commits: dict[int, str], asked_for: list[str]):
    message = refusal("14m", 512)
    assert message.startswith(f"step 512 of {REPOSITORY} is not in the cache, and HF_HUB_OFFLINE is set; unset it to ")
    assert message.endswith("download, or take one of 0, 1000, 143000")
    assert asked_for == []


def test_a_step_that_was_never_published_is_unknown(commits: dict[int, str]):
    with pytest.raises(UnknownNameError, match=r"unknown step of pythia/14m '1001'; did you mean '1000'\?"):
        ie.load_family("pythia").spec("14m", 1001)


def test_an_unknown_size_is_told_apart_from_one_that_is_not_cached(commits: dict[int, str]):
    with pytest.raises(UnknownNameError, match=r"unknown size of pythia '14M'; did you mean '14m'\?"):
        ie.load_family("pythia").steps("14M")


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_half_a_download_does_not_count_as_cached(commits: dict[int, str], hub_cache: Path, lost: str):
    [path] = hub_cache.glob(f"*/snapshots/{commits[1000]}/{lost}")
    path.unlink()
    assert ie.load_family("pythia").steps("14m") == [0, 143_000]


def test_a_revision_with_pickled_weights_alone_does_not_count_as_cached(commits: dict[int, str], hub_cache: Path):
    [path] = hub_cache.glob(f"*/snapshots/{commits[0]}/model.safetensors")
    path.rename(path.with_name("pytorch_model.bin"))
    assert ie.load_family("pythia").steps("14m") == [1000, 143_000]


def test_an_emptied_cache_is_noticed(commits: dict[int, str], hub_cache: Path):
    family = ie.load_family("pythia")
    assert family.steps("14m") == STEPS
    shutil.rmtree(hub_cache)
    with pytest.raises(ModelError, match="unset it to download"):
        family.steps("14m")


def test_with_the_network_down_the_refusal_names_both_ways_out(
    commits: dict[int, str], asked_for: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    message = refusal("14m", 512)
    assert message.startswith(
        f"{REPOSITORY} at 'step512' is neither in the cache nor can it be downloaded; check the network"
    )
    assert "or take a model that is cached: `interp-emerge doctor FAMILY`" in message
    assert asked_for
