"""A family that is grown in seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from interp_emerge.training.growing import grow_family
from interp_emerge.training.recipe import Recipe, SizeRecipe

TINY = Recipe(
    name="tiny",
    sizes=(
        SizeRecipe(name="small", n_layers=1, d_model=8, n_heads=2, learning_rate=1e-2, n_seeds=2),
        SizeRecipe(name="large", n_layers=2, d_model=8, n_heads=2, learning_rate=1e-2),
    ),
    checkpoints=(0, 4, 8),
    documents={"markov": 2, "induction": 2, "two_hop": 1},
    warmup=2,
)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return TINY


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family as `interp-emerge train` would have left it."""
    return grow_family(TINY, tmp_path_factory.mktemp("grown") / "tiny", workers=1, device="cpu")


@pytest.fixture(autouse=True)
def same_threads_after() -> Iterator[None]:
    """Training sets the number of threads of its process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
