"""Fixtures: a hub cache filled by the tests, and a machine without a network."""

import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from tests.families.tiny import cache_revision


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


@pytest.fixture(scope="session")
def full_hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with three small checkpoints of every size of every family on the hub; larger sizes are deeper."""
    cache = tmp_path_factory.mktemp("full") / "hub"
    for family in shelf:
        if isinstance(family, HubFamily):
            steps = family.published_steps
            for layers, repository in enumerate(family.repositories.values(), start=1):
                for seed, step in enumerate((steps[0], steps[len(steps) // 2], steps[-1])):
                    cache_revision(cache, repository, f"step{step}", 10 * layers + seed, num_hidden_layers=layers)
    return cache
