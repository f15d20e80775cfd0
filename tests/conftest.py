"""What every test starts from: no network, one thread, the same draws in whatever order the tests run.

Nothing of the package is imported here: the run-time type checks are installed after this file is read.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import gc
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

torch.set_num_threads(1)  # small models: more threads wait for one another longer than they work


def fix_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """What a fixture draws does not depend on the tests before it, of which the first makes it for all."""
    fix_seeds()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """What a test draws does not depend on whether its fixtures were made for it or for a test before it."""
    fix_seeds()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that are slow as a whole come first, so that no process is left with one at the end."""
    slow = {item.path for item in items if item.parent and any(m.name == "slow" for m in item.parent.own_markers)}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """The collector of garbage leaves alone what was imported, and looks rarely: it took a fifth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the test's own, so that its draws do not depend on what other tests have drawn."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def process_is_left_as_found() -> Iterator[None]:
    """Fails a test that changes what all tests share."""

    def state() -> tuple[object, ...]:
        return (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), Path.cwd())

    before = state()
    yield
    assert state() == before


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a directory that the tests of several files look at, once for all processes that share the tests."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        directory, whole = root / name, root / f"{name}.whole"
        with FileLock(root / f"{name}.lock"):
            if not whole.exists():
                fill(directory)
                whole.touch()
        return directory

    return make
