"""Fixtures: a hub cache filled by the tests, and a machine without a network."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from interp_emerge.families import shelf
from interp_emerge.families._disk import network
from interp_emerge.families._disk.hub import HubFamily
from tests.families.fake_hub import FakeHub
from tests.families.tiny import save_checkpoint


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hosts that the code tried to reach; every attempt fails."""
    hosts: list[str] = []

    def refuse(host: object, *_: object, **__: object) -> None:
        hosts.append(str(host))
        raise socket.gaierror("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: refuse(address))
    return hosts


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub without repositories, which tests fill; the cache is empty and the network answers."""
    return FakeHub().install(monkeypatch)


@pytest.fixture(autouse=True)
def network_is_asked_anew() -> Iterator[None]:
    """What an earlier test found out about the network is forgotten."""
    network.forget()
    yield
    network.forget()


@pytest.fixture(scope="session")
def full_hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with up to three small checkpoints of every run of every family on the hub; larger sizes are deeper."""
    root = tmp_path_factory.mktemp("full")
    made: dict[tuple[int, int], Path] = {}
    for family in shelf:
        if not isinstance(family, HubFamily):
            continue
        for layers, (size, repositories) in enumerate(family.repositories.items(), start=1):
            for seed, repository in enumerate(repositories):
                for place, revision in enumerate(some_revisions(family, size, seed)):
                    key = layers, place  # runs may share weights here: what is loaded from where is tested elsewhere
                    if key not in made:
                        directory = root / f"{layers}-{place}"
                        made[key] = save_checkpoint(directory, 10 * layers + place, num_hidden_layers=layers)
                    link_revision(root / "hub", repository, revision, made[key])
        if family.tokenizer_repository:
            link_revision(root / "hub", family.tokenizer_repository, "main", next(iter(made.values())))
    return root / "hub"


def some_revisions(family: HubFamily, size: str, seed: int) -> list[str]:
    """Up to three revisions of a run: the first, one in the middle and the last."""
    pattern = family.patterns[0]
    steps = family._known_steps(size, seed) or [0, 1000, 2000]
    chosen = dict.fromkeys((steps[0], steps[len(steps) // 2], steps[-1]))
    return [pattern.name(step).replace("{tokens}", f"{4 * step // 1000}B") for step in chosen]


def link_revision(cache: Path, repository: str, revision: str, directory: Path) -> None:
    """Put a checkpoint into a cache by links, as a download would."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    commit = hashlib.sha1(f"{repository}@{revision}".encode(), usedforsecurity=False).hexdigest()
    (folder / "snapshots").mkdir(parents=True, exist_ok=True)
    if not (folder / "snapshots" / commit).exists():  # two families may have a run in common
        (folder / "snapshots" / commit).symlink_to(directory, target_is_directory=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / revision).write_text(commit)
