"""Linearity and breakthroughness of curves whose values are known in closed form."""

import numpy as np
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.axes import AXES
from interp_emerge.emergence.scale.ladder import Ladder
from interp_emerge.emergence.scale.sharpness import sharpness, sharpness_table


@pytest.mark.parametrize("n", [3, 4, 9])
def test_a_line_of_n_points_scores_n_less_one_on_both(n: int) -> None:
    found = sharpness(np.linspace(0.2, 0.7, n))

    assert found.improvement == pytest.approx(0.5)
    assert found.linearity == pytest.approx(n - 1)
    assert found.breakthroughness == pytest.approx(n - 1)


@pytest.mark.parametrize("n", [4, 9])
def test_a_step_has_the_root_of_that_as_linearity_and_breaks_through_without_bound(n: int) -> None:
    step = np.repeat([0.0, 0.8], [n - 2, 2])
    found = sharpness(step)

    assert found.linearity == pytest.approx(np.sqrt(n - 1))
    assert found.breakthroughness == np.inf
    assert sharpness(step, floor=0.02).breakthroughness == pytest.approx(0.8 / 0.02)


def test_a_sigmoid_lies_between_the_line_and_the_step() -> None:
    x = np.linspace(-6, 6, 13)
    of = {k: sharpness(1 / (1 + np.exp(-k * x)), floor=1e-3) for k in (0.1, 1, 10)}

    assert 12 > of[0.1].linearity > of[1].linearity > of[10].linearity > np.sqrt(12) - 1e-3
    assert of[0.1].breakthroughness < of[1].breakthroughness < of[10].breakthroughness <= 1000


def test_a_falling_curve_has_the_opposite_sign() -> None:
    rising = np.array([0.0, 0.1, 0.4, 0.9])
    up, down = sharpness(rising), sharpness(rising[::-1])

    assert (down.improvement, down.linearity) == (-up.improvement, -up.linearity)


def test_two_points_have_no_sharpness_and_equal_ones_no_direction() -> None:
    assert np.isnan([*vars(sharpness(np.array([0.0, 1.0]))).values()]).all()
    flat = sharpness(np.ones(5))
    assert flat.improvement == 0 and np.isnan([flat.linearity, flat.breakthroughness]).all()


def test_of_a_ladder_the_floor_is_what_could_be_seen_and_intervals_hold_the_value() -> None:
    rng = np.random.default_rng(1)
    values = [np.stack([rng.random(100) < rate, rng.normal(rate, 0.1, 100)], 1) for rate in (0, 0, 0, 0.9, 1)]
    ladder = Ladder(
        ability="made up",
        axis=AXES["parameters"],
        points=tuple("abcde"),
        places=2.0 ** np.arange(5),
        metrics=("accuracy", "log_prob"),
        values=tuple((value.astype(float),) for value in values),
    )
    table = sharpness_table(ladder)
    accuracy, log_prob = table.iloc[0], table.iloc[1]

    assert accuracy["floor"] >= 0.01
    assert log_prob["floor"] == pytest.approx(0.1 * np.sqrt(2 / 100), rel=0.25)
    for name in ("improvement", "linearity", "breakthroughness"):
        assert (table[f"{name}_low"] <= table[name]).all() and (table[name] <= table[f"{name}_high"]).all()
    assert accuracy["breakthroughness"] > 10


def test_scores_that_are_no_curve_are_refused() -> None:
    with pytest.raises(InputError, match=r"finite scores of shape \[point\].*1 of them are not finite"):
        sharpness(np.array([0.0, np.nan, 1.0]))
    with pytest.raises(InputError, match="a floor of -1 is below 0"):
        sharpness(np.arange(4.0), floor=-1.0)
