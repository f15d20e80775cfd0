"""Which models a study looks at."""

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families.base import Family
from interp_emerge.study.grid import Grid
from interp_emerge.study.settings import StudySettings


class Holes(Family):
    """Two sizes whose runs have different steps, one with a second seed; nothing can be loaded."""

    name = "holes"
    runs = {("s", 0): [0, 10, 20], ("s", 3): [0, 20], ("l", 1): [0, 30]}

    @property
    def sizes(self) -> list[str]:
        return ["s", "l"]

    def _seeds(self, size: str) -> list[int]:
        return sorted(seed for name, seed in self.runs if name == size)

    def _steps(self, size: str, seed: int) -> list[int]:
        return self.runs[size, seed]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        raise NotImplementedError

    def _load(self, spec: ModelSpec, device: str) -> ie.HookedModel:
        raise NotImplementedError


def grid(family: Family | None = None, **fields) -> Grid:
    return Grid(family or Holes(), StudySettings(**fields))


def test_tokens_cannot_be_the_axis_of_sizes_with_the_same_number_of_tokens():
    family = ie.load_family("miniature")
    with pytest.raises(
        InputError, match=r"sizes of miniature were trained on the same number of tokens; use parameters, flops"
    ):
        grid(family, axis="tokens")
    assert grid(family, axis="tokens", sizes=("7k",)).sizes == ["7k"]
    assert grid(family, axis="flops").sizes == family.sizes


def test_by_default_every_run_has_its_own_steps():
    assert grid().models == [
        *(("s", step, 0) for step in (0, 10, 20)),
        *(("s", step, 3) for step in (0, 20)),
        *(("l", step, 1) for step in (0, 30)),
    ]
    assert grid().last == [("s", 20, 0), ("l", 30, 1)]


def test_a_step_that_only_some_runs_have_is_used_in_these():
    assert grid(steps=(0, 10, 30)).models == [("s", 0, 0), ("s", 10, 0), ("s", 0, 3), ("l", 0, 1), ("l", 30, 1)]
    assert grid(steps="last").models == [("s", 20, 0), ("s", 20, 3), ("l", 30, 1)]
    assert grid(steps=(10, "last")).models == [("s", 10, 0), ("s", 20, 0), ("s", 20, 3), ("l", 30, 1)]


def test_a_size_without_the_chosen_seed_uses_its_first():
    assert grid(seeds=(3,), steps="last").models == [("s", 20, 3), ("l", 30, 1)]
    assert grid(sizes=("l",)).runs == [("l", 1)]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"sizes": ("m",)}, UnknownNameError, "unknown size of holes 'm'"),
        ({"seeds": (2,)}, UnknownNameError, r"unknown seed of holes '2' \(known: 0, 1, 3\)"),
        ({"steps": (0, 40)}, UnknownNameError, r"unknown step of holes '40'.*\(known: 0, 10, 20, 30\)"),
        ({"axis": "flops"}, InputError, "holes does not say how many tokens a step has; use parameters or loss"),
        ({"steps": (10, 20)}, InputError, "holes/l, seed 1, has none of the steps 10, 20; it has 0, 30"),
    ],
)
def test_a_choice_that_the_family_lacks_is_named(fields: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        grid(**fields)
