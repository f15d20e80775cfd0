"""Places on the axes of scale, and the errors where a place is not known."""

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.emergence.scale.axes import AXES, load_axis, on_axis

MODELS = pd.DataFrame(
    {"size": ["7k", "560k"], "step": [10, 5000], "seed": [2, 0], "n_parameters": [6592, 559392], "loss": [3.5, 1.2]},
    index=[4, 9],
)
FAMILY = ie.load_family("miniature")
TOKENS_PER_STEP = 96 * 49


@pytest.mark.parametrize(
    ("axis", "places"),
    [
        ("parameters", [6592, 559392]),
        ("tokens", [10 * TOKENS_PER_STEP, 5000 * TOKENS_PER_STEP]),
        ("flops", [6 * 6592 * 10 * TOKENS_PER_STEP, 6 * 559392 * 5000 * TOKENS_PER_STEP]),
        ("loss", [3.5, 1.2]),
    ],
)
def test_every_model_has_its_place(axis: str, places: list[float]) -> None:
    found = on_axis(MODELS, axis, family=FAMILY)

    assert found.tolist() == places
    assert found.index.tolist() == [4, 9]
    assert found.name == axis


def test_a_step_of_the_bundled_family_is_the_batch_of_its_recipe() -> None:
    from interp_emerge.training.corpus import CONTEXT
    from interp_emerge.training.miniature import RECIPE

    assert FAMILY.tokens_per_step == sum(RECIPE.documents.values()) * CONTEXT
    assert FAMILY.tokens("7k", "last", 1) == 5000 * TOKENS_PER_STEP
    assert FAMILY.tokens("7k", 0) == 0


def test_a_step_of_pythia_is_two_million_tokens() -> None:
    assert ie.load_family("pythia").tokens_per_step == 2_097_152


def test_the_tokens_of_a_model_that_is_not_there_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown step"):
        FAMILY.tokens("7k", 11)


def test_a_directory_of_checkpoints_does_not_say_its_tokens(tmp_path) -> None:
    ie.load_family("handset").write(tmp_path)  # pyright: ignore[reportAttributeAccessIssue]
    family = ie.load_family(tmp_path)

    assert family.tokens(family.sizes[0], 1) is None
    with pytest.raises(InputError, match=r"how many tokens a training step has.*or take axis 'parameters' or 'loss'"):
        on_axis(MODELS, "flops", family=family)


def test_an_error_names_what_is_missing() -> None:
    with pytest.raises(UnknownNameError, match="unknown axis 'token'; did you mean 'tokens'"):
        load_axis("token")
    with pytest.raises(InputError, match="tokens of a training step; give the family"):
        on_axis(MODELS, "tokens")
    with pytest.raises(InputError, match="axis 'loss' needs column 'loss'; the table has only size, step"):
        on_axis(MODELS.drop(columns="loss"), "loss")
    with pytest.raises(InputError, match="the place of 560k/step5000/seed0 on axis 'loss' is not known"):
        on_axis(MODELS.assign(loss=[1.0, np.nan]), "loss")


def test_coordinates_grow_with_scale_also_where_the_axis_descends() -> None:
    assert np.allclose(AXES["parameters"].coordinate(np.array([1.0, np.e])), [0, 1])
    assert AXES["loss"].coordinate(np.array([3.0, 2.0])).tolist() == [-3, -2]
    with pytest.raises(InputError, match="0 tokens have no place on a logarithmic axis; leave out models before"):
        AXES["tokens"].coordinate(np.array([0.0, 1.0]))
