"""Verdicts on ladders whose truth is known: smooth curves behind a threshold, true steps, and undecided cases."""

from typing import Any

import numpy as np
import pytest

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.emergence.scale.axes import AXES
from interp_emerge.emergence.scale.ladder import Ladder
from interp_emerge.emergence.scale.mirage import Mirage, MirageVerdict, jump_shape, mirage_check

PROMPTS = 128
SEEDS = range(4)
FEW: dict[str, Any] = {"resamples": 300}


def ladder(right: np.ndarray, log_prob: np.ndarray, *, steps: np.ndarray | None = None) -> Ladder:
    """A ladder of accuracy and log-probability, shape [point, prompt] each, over evenly spaced sizes."""
    n = len(right)
    return Ladder(
        ability="made up",
        axis=AXES["parameters"],
        points=tuple(f"{i}" for i in range(n)),
        places=1e6 * 2.0 ** (np.arange(n) if steps is None else steps),
        metrics=("accuracy", "log_prob"),
        values=tuple((np.stack([a, b], 1).astype(float),) for a, b in zip(right, log_prob, strict=True)),
        chance=0.05,
    )


def logits(n: int, step: float, noise: float, seed: int, prompts: int = PROMPTS) -> np.ndarray:
    """Logits of the answer's probability, linear in the logarithm of scale, with noise over prompts and readings."""
    rng = np.random.default_rng(seed)
    middle = (np.arange(n) - (n - 1) / 2) * step
    return middle[:, None] + rng.normal(0, noise, prompts) + rng.normal(0, noise / 2, (n, prompts))


def over_a_threshold(z: np.ndarray) -> Ladder:
    """A prompt is correct where the answer is more likely than its only competitor."""
    return ladder(z > 0, -np.logaddexp(0, -z))


def all_tokens_right(z: np.ndarray, length: int, seed: int) -> Ladder:
    """A prompt is correct where all of several tokens are, each with the probability that has these logits."""
    p = 1 / (1 + np.exp(-z))
    return ladder(np.random.default_rng(seed).random(z.shape) < p**length, np.log(p))


def true_step(n: int, at: int, noise: float, seed: int, prompts: int = PROMPTS) -> Ladder:
    rng = np.random.default_rng(seed)
    middle = np.where(np.arange(n) < at, -4.0, -0.3)[:, None]
    log_prob = np.minimum(middle + rng.normal(0, noise, prompts) + rng.normal(0, noise / 2, (n, prompts)), 0)
    return ladder(log_prob > np.log(0.3), log_prob)


def verdicts(ladders: list[Ladder]) -> set[str]:
    return {mirage_check(one, **FEW).verdict for one in ladders}


@pytest.mark.parametrize("n", [6, 8, 12])
@pytest.mark.parametrize(("step", "noise"), [(2.0, 0.2), (3.0, 0.2), (3.0, 0.8)])
def test_a_smooth_curve_behind_a_threshold_is_sharp_under_thresholding_only(n: int, step: float, noise: float) -> None:
    found = verdicts([over_a_threshold(logits(n, step, noise, seed)) for seed in SEEDS])

    assert found == {MirageVerdict.THRESHOLDED}


def test_exact_match_on_a_coarse_grid_is_sharp_under_thresholding_only() -> None:
    found = verdicts([all_tokens_right(logits(7, 4.0, 0.2, seed), 5, seed) for seed in SEEDS])

    assert found == {MirageVerdict.THRESHOLDED}


def test_exact_match_on_a_fine_grid_is_smooth() -> None:
    found = verdicts([all_tokens_right(logits(12, 1.0, 0.2, seed, 512), 5, seed) for seed in SEEDS])

    assert found == {MirageVerdict.SMOOTH}


@pytest.mark.parametrize("n", [6, 8, 12])
@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_a_true_step_is_sharp_under_both(n: int, noise: float) -> None:
    found = [mirage_check(true_step(n, n // 2, noise, seed), **FEW) for seed in SEEDS]

    assert {one.verdict for one in found} == {MirageVerdict.BOTH}
    assert {(one.continuous.before, one.continuous.after) for one in found} == {(f"{n // 2 - 1}", f"{n // 2}")}


@pytest.mark.parametrize("noise", [0.2, 0.8])
def test_a_slow_rise_is_smooth(noise: float) -> None:
    def one(seed: int) -> Ladder:
        z = logits(8, 0.4, noise, seed, 512)
        return ladder(np.random.default_rng(seed).random(z.shape) < 1 / (1 + np.exp(-z)), -np.logaddexp(0, -z))

    assert verdicts([one(seed) for seed in SEEDS]) == {MirageVerdict.SMOOTH}


def test_an_ability_present_from_the_start_is_smooth_whatever_its_small_changes() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((7, 400)) < np.array([0.9, 0.9, 0.9, 0.95, 0.95, 0.95, 0.95])[:, None]
    log_prob = np.repeat([-1.2, -1.0], [3, 4])[:, None] + rng.normal(0, 0.3, (7, 400))

    assert mirage_check(ladder(right, log_prob)).verdict == MirageVerdict.SMOOTH


def test_prompts_that_cross_the_threshold_at_different_scales_make_accuracy_smooth_too() -> None:
    found = verdicts([over_a_threshold(logits(8, 2.0, 3.0, seed)) for seed in SEEDS])

    assert found == {MirageVerdict.SMOOTH}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_fewer_than_five_points_are_undecided_even_without_noise(n: int) -> None:
    found = mirage_check(true_step(n, max(n // 2, 1), 0.1, 0), **FEW)

    assert found.verdict == MirageVerdict.UNDECIDED
    assert found.reason


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_within_noise_is_undecided(seed: int) -> None:
    steep = true_step(8, 4, 6.0, seed, prompts=20)
    few = true_step(8, 4, 0.1, seed, prompts=10)

    assert mirage_check(steep, **FEW).verdict == MirageVerdict.UNDECIDED
    assert "10 prompts are fewer than 20" in mirage_check(few, **FEW).reason


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_a_model_that_never_leaves_chance_has_no_jump_to_judge(noise: float) -> None:
    rng = np.random.default_rng(0)
    found = mirage_check(ladder(rng.random((8, 256)) < 0.05, -3 + rng.normal(0, noise, (8, 256))))

    assert found.verdict == MirageVerdict.UNDECIDED
    assert "accuracy never leaves chance" in found.reason


def test_a_jump_to_the_last_point_is_undecided_unless_it_reaches_the_ceiling() -> None:
    rng = np.random.default_rng(0)
    half = np.repeat([0.0, 0.5], [7, 1])[:, None]
    found = mirage_check(ladder(rng.random((8, 256)) < half, half * 4 - 4 + rng.normal(0, 0.1, (8, 256))))

    assert found.verdict == MirageVerdict.UNDECIDED
    assert "jumps right before the last point, and what comes after is not known" in found.reason
    assert mirage_check(true_step(8, 7, 0.1, 0), **FEW).verdict == MirageVerdict.BOTH


def test_a_line_on_an_uneven_grid_is_smooth_although_one_gap_holds_most_of_it() -> None:
    sizes = np.array([0.0, 1, 2, 3, 13, 14, 15])
    rng = np.random.default_rng(0)
    value = (sizes / 15)[:, None]
    found = ladder(rng.random((7, 512)) < value, 3 * value - 3 + rng.normal(0, 0.2, (7, 512)), steps=sizes)
    shape = jump_shape(found, "log_prob")

    assert shape.share.value > 0.6 > 0.3 > shape.concentration.high
    assert mirage_check(found).verdict == MirageVerdict.SMOOTH


def test_seeds_that_disagree_leave_the_jump_undecided() -> None:
    one = true_step(8, 4, 0.1, 0)
    split = one.values[3] + one.values[4]
    both = (*one.values[:3], split, *one.values[4:])
    spread = Ladder(**{**vars(one), "values": both})

    assert mirage_check(spread).verdict == MirageVerdict.UNDECIDED


def test_the_sentence_gives_the_distance_between_the_points_around_the_jump() -> None:
    found = mirage_check(true_step(8, 4, 0.1, 0), **FEW)

    assert isinstance(found, Mirage)
    assert "between 3 and 4 (a factor of 2 and 14% of the axis, where nothing was measured)" in str(found)
    table = found.to_frame()
    assert table["metric"].tolist() == ["accuracy", "log_prob"]
    assert (table["share_low"] > 0.9).all()
    assert set(table["apart"]) == {"a factor of 2"}


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric of the ladder 'kl'"):
        mirage_check(true_step(6, 3, 0.1, 0), continuous="kl")
