"""The checkpoints that a study follows are spread over training."""

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families.base import Family


class Steps(Family):
    """A family of one size that has steps but no models."""

    name = "steps"

    def __init__(self, *steps: int) -> None:
        self._all = list(steps)

    @property
    def sizes(self) -> list[str]:
        return ["only"]

    def _seeds(self, size: str) -> list[int]:
        return [0]

    def _steps(self, size: str, seed: int) -> list[int]:
        return self._all

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        return ModelSpec(family=self.name, size=size, step=step, seed=seed)

    def _load(self, spec: ModelSpec, device: str) -> HookedModel:
        raise NotImplementedError


def test_few_steps_are_all_kept():
    assert Steps(0, 10, 20).spaced_steps("only", at_most=3) == [0, 10, 20]
    assert Steps(5).spaced_steps("only") == [5]


def test_powers_of_two_are_evenly_spaced_already():
    powers = Steps(0, *(2**power for power in range(13)))
    assert powers.spaced_steps("only", at_most=8) == [0, 1, 4, 16, 64, 256, 1024, 4096]


def test_a_linear_grid_is_thinned_toward_its_end():
    spaced = Steps(*range(0, 100_001, 100)).spaced_steps("only", at_most=5)
    assert spaced == [0, 100, 1000, 10_000, 100_000]


@pytest.mark.parametrize("first", [0, 300])
def test_the_first_and_the_last_step_are_always_there(first: int):
    family = Steps(first, *range(400, 5000, 7))
    for at_most in range(2, 20):
        spaced = family.spaced_steps("only", at_most=at_most)
        assert (spaced[0], spaced[-1]) == (first, family.steps("only")[-1])
        assert len(spaced) <= at_most


def test_fewer_than_two_steps_are_refused():
    with pytest.raises(
        InputError, match="at_most = 1 cannot include both the first and the last checkpoint; allow 2 or more"
    ):
        Steps(0, 1).spaced_steps("only", at_most=1)


def test_the_last_step_has_a_name():
    assert Steps(0, 7, 9).spec("only", "last").step == 9
    assert Steps(0, 7, 9).spec("only", 7).step == 7


def test_the_size_may_be_left_out_only_where_there_is_one():
    with pytest.raises(InputError, match="miniature has several sizes; give one of 3k"):
        ie.load_family("miniature").load()
    only = ie.families.of_model(ie.load_family("miniature").load("3k"))
    assert only.load().n_parameters == ie.load_family("miniature").load("3k").n_parameters
