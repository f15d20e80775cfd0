"""Verdicts on ladders whose truth is known: smooth curves behind a threshold, true steps, and undecided cases."""

from typing import Any

import numpy as np
import pytest

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.emergence.scale.axes import AXES
from interp_emerge.emergence.scale.ladder import Ladder
from interp_emerge.emergence.scale.mirage import Mirage, mirage_check
from interp_emerge.emergence.scale.rise import RiseShape, jump_shape
from interp_emerge.emergence.scale.tables import MirageVerdict

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
def test_the_jump_of_a_smooth_curve_behind_a_threshold_is_the_metrics(n: int, step: float, noise: float) -> None:
    found = verdicts([over_a_threshold(logits(n, step, noise, seed)) for seed in SEEDS])

    assert found == {MirageVerdict.METRIC}


def test_exact_match_on_a_coarse_grid_is_the_metrics() -> None:
    found = verdicts([all_tokens_right(logits(7, 4.0, 0.2, seed), 5, seed) for seed in SEEDS])

    assert found == {MirageVerdict.METRIC}


def test_exact_match_on_a_fine_grid_is_late_and_so_the_metrics() -> None:
    ladders = [all_tokens_right(logits(12, 1.0, 0.2, seed, 512), 5, seed) for seed in SEEDS]

    assert verdicts(ladders) == {MirageVerdict.METRIC}
    assert {jump_shape(one, "accuracy", **FEW).shape for one in ladders} == {RiseShape.LATE}


@pytest.mark.parametrize("n", [7, 10])
def test_exact_match_of_a_power_law_is_the_metrics(n: int) -> None:
    """The case of Schaeffer et al. (2023): the log-probability of a token improves from the first point on."""

    def one(seed: int) -> Ladder:
        rng = np.random.default_rng(seed)
        log_prob = -4 * 10 ** (-2 * np.linspace(0, 1, n))[:, None] + rng.normal(0, 0.05, (n, PROMPTS))
        return ladder(rng.random((n, PROMPTS)) < np.exp(5 * log_prob), log_prob)

    assert verdicts([one(seed) for seed in SEEDS]) == {MirageVerdict.METRIC}


def test_a_model_that_begins_to_improve_late_is_not_called_a_mirage() -> None:
    """The log-probability is flat over half of the axis, then rises evenly; accuracy appears after that."""

    def one(seed: int) -> Ladder:
        rng = np.random.default_rng(seed)
        x = np.linspace(0, 1, 9)
        log_prob = -4.6 * (1 - np.clip((x - 0.5) / 0.5, 0, 1))[:, None] + rng.normal(0, 0.1, (9, PROMPTS))
        return ladder(rng.random((9, PROMPTS)) < np.exp(log_prob), log_prob)

    assert not verdicts([one(seed) for seed in SEEDS]) & {MirageVerdict.METRIC, MirageVerdict.NO_JUMP}


def test_a_jump_of_the_model_with_a_point_inside_it_is_not_called_a_mirage() -> None:
    rng = np.random.default_rng(0)
    middle = np.array([-4.6, -4.6, -4.6, -1.5, -0.1, -0.1, -0.1])[:, None]
    log_prob = middle + rng.normal(0, 0.1, (7, PROMPTS))
    found = mirage_check(ladder(log_prob > np.log(0.3), log_prob))

    assert found.thresholded.shape == RiseShape.SHARP
    assert found.verdict == MirageVerdict.UNDECIDED
    assert "log_prob rises around the jump of accuracy, but not as sharply" in found.reason


def test_a_step_of_less_than_a_fifth_of_the_way_is_small_whatever_its_concentration() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((7, 2000)) < np.repeat([0.5, 0.6], [3, 4])[:, None]
    shape = jump_shape(ladder(right, np.log(np.where(right, 0.9, 0.1))), "accuracy")

    assert shape.concentration.low > 0.5
    assert shape.shape == RiseShape.SMALL


def test_what_came_before_the_first_point_is_not_known() -> None:
    """A power law of the log-probability that begins below chance: its steepest gap is the first."""
    rng = np.random.default_rng(0)
    log_prob = np.array([-8, -2.5, -0.8, -0.25, -0.08])[:, None] + rng.normal(0, 0.1, (5, PROMPTS))
    shape = jump_shape(ladder(rng.random((5, PROMPTS)) < np.exp(log_prob), log_prob), "log_prob")

    assert shape.shape == RiseShape.UNDECIDED
    assert "what comes before is not known" in shape.reason


@pytest.mark.parametrize("n", [6, 8, 12])
@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_a_true_step_is_the_models(n: int, noise: float) -> None:
    found = [mirage_check(true_step(n, n // 2, noise, seed), **FEW) for seed in SEEDS]

    assert {one.verdict for one in found} == {MirageVerdict.MODEL}
    assert {(one.continuous.before, one.continuous.after) for one in found} == {(f"{n // 2 - 1}", f"{n // 2}")}


@pytest.mark.parametrize("noise", [0.2, 0.8])
def test_a_slow_rise_is_no_jump(noise: float) -> None:
    def one(seed: int) -> Ladder:
        z = logits(8, 0.4, noise, seed, 512)
        return ladder(np.random.default_rng(seed).random(z.shape) < 1 / (1 + np.exp(-z)), -np.logaddexp(0, -z))

    assert verdicts([one(seed) for seed in SEEDS]) == {MirageVerdict.NO_JUMP}


def test_an_ability_present_from_the_start_does_not_jump_whatever_its_small_changes() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((7, 400)) < np.array([0.9, 0.9, 0.9, 0.95, 0.95, 0.95, 0.95])[:, None]
    log_prob = np.repeat([-1.2, -1.0], [3, 4])[:, None] + rng.normal(0, 0.3, (7, 400))

    found = mirage_check(ladder(right, log_prob))
    assert (found.thresholded.shape, found.verdict) == (RiseShape.SMALL, MirageVerdict.NO_JUMP)
    still = mirage_check(ladder(rng.random((7, 400)) < 0.9, log_prob))
    assert (still.thresholded.shape, still.verdict) == (RiseShape.FLAT, MirageVerdict.NO_JUMP)


def test_prompts_that_cross_the_threshold_at_different_scales_spread_accuracy_too() -> None:
    found = verdicts([over_a_threshold(logits(8, 2.0, 3.0, seed)) for seed in SEEDS])

    assert found == {MirageVerdict.NO_JUMP}


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


@pytest.mark.parametrize(("back", "falls"), [(-4.0, True), (-0.9, False)])
def test_a_jump_that_is_lost_again_is_not_called_a_jump(back: float, falls: bool) -> None:
    found = []
    for seed in SEEDS:
        noise = np.random.default_rng(seed).normal(0, 0.2, (9, PROMPTS))
        log_prob = np.minimum(np.array([-4.0] * 4 + [-0.3] * 3 + [back] * 2)[:, None] + noise, 0)
        found.append(mirage_check(ladder(log_prob > np.log(0.3), log_prob), **FEW))

    assert {one.verdict for one in found} == {MirageVerdict.UNDECIDED if falls else MirageVerdict.MODEL}
    assert all(("accuracy falls again after 4" in one.reason) == falls for one in found)


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_a_model_that_never_leaves_chance_has_no_jump_to_judge(noise: float) -> None:
    rng = np.random.default_rng(0)
    found = mirage_check(ladder(rng.random((8, 256)) < 0.05, -3 + rng.normal(0, noise, (8, 256))))

    assert found.verdict == MirageVerdict.UNDECIDED
    assert "accuracy never leaves chance" in found.reason


def test_a_jump_to_the_last_point_is_sharp_only_if_it_reaches_the_ceiling() -> None:
    rng = np.random.default_rng(0)
    half = np.repeat([0.0, 0.5], [7, 1])[:, None]
    late = mirage_check(ladder(rng.random((8, 256)) < half, half * 4 - 4 + rng.normal(0, 0.1, (8, 256))))
    whole = mirage_check(true_step(8, 7, 0.1, 0), **FEW)
    above = np.repeat([0.4, 0.7], [7, 1])[:, None]
    found = jump_shape(ladder(rng.random((8, 256)) < above, above + rng.normal(0, 0.1, (8, 256))), "accuracy")

    assert (late.thresholded.shape, late.verdict) == (RiseShape.LATE, MirageVerdict.MODEL)
    assert (whole.thresholded.shape, whole.verdict) == (RiseShape.SHARP, MirageVerdict.MODEL)
    assert "jumps right before the last point, and what comes after is not known" in found.reason


def test_a_line_on_an_uneven_grid_does_not_jump_although_one_gap_holds_most_of_it() -> None:
    sizes = np.array([0.0, 1, 2, 3, 13, 14, 15])
    rng = np.random.default_rng(0)
    value = (sizes / 15)[:, None]
    found = ladder(rng.random((7, 512)) < value, 3 * value - 3 + rng.normal(0, 0.2, (7, 512)), steps=sizes)
    shape = jump_shape(found, "log_prob")

    assert shape.share.value > 0.6 > 0.3 > shape.concentration.high
    assert mirage_check(found).verdict == MirageVerdict.NO_JUMP


def test_seeds_that_disagree_leave_the_jump_undecided() -> None:
    one = true_step(8, 4, 0.1, 0)
    split = one.values[3] + one.values[4]
    both = (*one.values[:3], split, *one.values[4:])
    spread = Ladder(**{**vars(one), "values": both})

    found = mirage_check(spread)
    assert found.verdict == MirageVerdict.UNDECIDED
    assert found.reason == "the 2 training runs of 3 disagree, and 5 are needed where they do"


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"continuous": "accuracy"}, "accuracy is not a continuous metric; take one of log_prob"),
        ({"thresholded": "log_prob"}, "log_prob is not a thresholded metric; take one of accuracy"),
        ({"resamples": 10}, "10 bootstrap samples show no spread; give at least 100"),
    ],
)
def test_metrics_of_the_wrong_kind_and_too_few_samples_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mirage_check(true_step(6, 3, 0.1, 0), **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chance": 1.0}, "chance 1 and ceiling 1 of a ladder are accuracies"),
        ({"places": np.array([1e6, 2e6, np.inf])}, "have to ascend in scale"),
        ({"values": ((np.full((4, 2), np.nan),),) * 3}, "point '0' has values that are not finite"),
    ],
)
def test_a_ladder_that_cannot_be_judged_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Ladder(**{**vars(true_step(3, 1, 0.1, 0)), **change})


def test_without_a_chance_of_a_guess_there_is_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    ladder = Ladder(**{**vars(true_step(8, 4, 0.1, 0)), "chance": 0.0})

    assert mirage_check(ladder, **FEW).verdict == MirageVerdict.MODEL
    assert len(ladder.to_frame()) == 16 and not recwarn
