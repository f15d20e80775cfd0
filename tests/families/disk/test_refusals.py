"""What the hub refuses, lacks or cannot be asked is one clear line, without waiting for a network."""

import socket
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.core.errors import InterpEmergeError, ModelError
from interp_emerge.families._disk import network
from tests.families.fake_hub import FakeHub
from tests.families.tiny import cache_revision, save_checkpoint

REPOSITORY = "EleutherAI/pythia-14m"


def refusal(family: str, size: str, step: int | str = "last") -> str:
    with pytest.raises(InterpEmergeError) as raised:
        ie.load_family(family).load(size, step)  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_missing_revision_is_named_and_says_where_to_look(hub: FakeHub, tmp_path: Path):
    hub.add(REPOSITORY, "step0", save_checkpoint(tmp_path / "0"))
    message = refusal("pythia", "14m", 1000)
    assert message.startswith(f"the hub has no {REPOSITORY} with a revision 'step1000'; see https://huggingface.co/")


def test_a_missing_repository_is_named(hub: FakeHub):
    assert refusal("pythia", "31m", 0).startswith(
        "the hub has no EleutherAI/pythia-31m, or it is private; check the name"
    )


@pytest.mark.parametrize("hidden", [False, True])
def test_a_gated_repository_says_what_to_accept_and_how_to_log_in(hub: FakeHub, hidden: bool):
    """Without a login the hub may answer as if a gated repository did not exist."""
    if not hidden:
        hub.gated.add("meta-llama/Llama-3.2-1B")
    message = refusal("llama3", "1b")
    assert message.startswith(
        "meta-llama/Llama-3.2-1B is gated: accept its licence at https://huggingface.co/meta-llama/"
    )
    assert "`hf auth login`" in message


def test_a_repository_with_pickles_alone_is_refused_before_it_is_downloaded(hub: FakeHub, tmp_path: Path):
    directory = save_checkpoint(tmp_path / "model", architecture="gpt2")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    hub.add("stanford-crfm/alias-gpt2-small-x21", "checkpoint-10", directory)
    message = refusal("crfm_gpt2", "small", 10)
    assert (
        "has pickled weights only (pytorch_model.bin), which can run code; convert them where that is safe" in message
    )
    assert hub.downloaded == []


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_a_half_downloaded_snapshot_says_what_it_lacks(hub_cache: Path, asked_for: list[str], lost: str):
    for seed, step in enumerate((0, 1000)):
        cache_revision(hub_cache, REPOSITORY, f"step{step}", seed)
    [half] = hub_cache.glob(f"*/snapshots/{1:040x}/{lost}")
    half.unlink()
    message = refusal("pythia", "14m", 1000)
    assert message.startswith(
        f"step 1000 of {REPOSITORY} is only half in the cache (it lacks {lost}), and HF_HUB_OFFLINE"
    )
    assert asked_for == []


def test_a_missing_shard_counts_as_half_a_download(hub_cache: Path, asked_for: list[str]):
    cache_revision(hub_cache, REPOSITORY, "step0", 0)
    commit = cache_revision(hub_cache, REPOSITORY, "step1000", 1)
    [whole] = hub_cache.glob(f"*/snapshots/{commit}/model.safetensors")
    whole.rename(whole.with_name("model-00001-of-00002.safetensors"))
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    whole.with_name("model.safetensors.index.json").write_text(index)
    assert ie.load_family("pythia").steps("14m") == [0]
    assert "it lacks model-00002-of-00002.safetensors" in refusal("pythia", "14m", 1000)


def test_no_network_is_noticed_by_one_connection_and_remembered(
    hub_cache: Path, asked_for: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for step in (0, 1):
        message = refusal("pythia", "14m", step)
        assert "can it be downloaded; check the network, or take a model that is cached" in message
    assert len(asked_for) == 1


def test_a_host_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch):
    """Resolving a name has no timeout of its own; the answer comes though it never returns."""
    waiting: list[float] = []

    def wait(*_: object, **__: object) -> None:
        waiting.append(network.SECONDS_TO_ANSWER)
        time.sleep(30)

    monkeypatch.setattr(network, "SECONDS_TO_ANSWER", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", wait)
    assert network.why_unreachable() == "huggingface.co does not answer"
    assert waiting == [0.05]


def test_the_proxy_is_asked_if_there_is_one(monkeypatch: pytest.MonkeyPatch, asked_for: list[str]):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert "proxy.example cannot be reached" in network.why_unreachable()
    monkeypatch.setenv("NO_PROXY", "localhost, huggingface.co")
    assert "huggingface.co cannot be reached" in network.why_unreachable()


def test_what_would_be_downloaded_is_known_beforehand(hub: FakeHub, tmp_path: Path):
    directory = save_checkpoint(tmp_path / "0")
    (directory / "optimizer.pt").write_bytes(b"x" * 10_000)
    hub.add(REPOSITORY, "step0", directory)
    family = ie.load_family("pythia")
    wanted = [path for path in directory.iterdir() if path.name not in ("optimizer.pt", "generation_config.json")]
    assert family.bytes_to_download("14m", 0) == sum(path.stat().st_size for path in wanted)
    assert not family.is_here("14m", 0)
    family.load("14m", 0)
    assert family.is_here("14m", 0)
    assert family.bytes_to_download("14m", 0) == 0


def test_a_device_and_a_map_of_devices_contradict_each_other(tmp_path: Path):
    family = ie.load_family(save_checkpoint(tmp_path / "model"))
    with pytest.raises(InterpEmergeError, match="contradict each other; give one"):
        family.load("model", device="cpu", device_map="auto")
    assert family.load("model", device_map={"": "cpu"}).device.type == "cpu"


def test_an_error_of_the_hub_keeps_its_reason():
    from interp_emerge.families._disk.downloads import refused

    error = refused(OSError("disk is full.\nmore"), "a/b", "main")
    assert isinstance(error, ModelError)
    assert str(error).endswith("(disk is full)")
