"""How far a probe's direction turns: planted turns are found, noise and shuffled labels are told apart from them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.direction_fits import CheckpointFits, cosines, fisher_interval
from interp_emerge.emergence.forming.tables import TURNS
from interp_emerge.emergence.forming.turning import _samples, _shuffled, direction_turns
from interp_emerge.probing import shelf
from interp_emerge.probing.engines.trials import Design
from interp_emerge.probing.engines.variables import Target

WIDTH = 12
HOW: dict[str, Any] = {"resamples": 20, "draws": 39}


@pytest.fixture(scope="module")
def family() -> Any:
    return ie.load_family("miniature")


@pytest.fixture(scope="module")
def pairs(family: Any) -> ie.PromptPairs:
    return ie.load_ability("indirect_object").sample(family.load("14k"), n=256)


def run_of(family: Any, *steps: int, size: str = "14k", seed: int = 0):
    return [family.load(size, step=step, seed=seed) for step in steps]


@pytest.fixture(scope="module")
def turns(family: Any, pairs: ie.PromptPairs) -> pd.DataFrame:
    return direction_turns(iter(run_of(family, 5000, 0, 3000)), pairs, variable="receiver", layer=1, **HOW)


def planted(angle: float, *, signal: float, rng: np.random.Generator, n: int = 120) -> list[CheckpointFits]:
    """Two classes at two checkpoints, whose means lie along a direction that has turned; noise of prompts is shared."""
    labels = rng.permutation(np.arange(n) % 2)
    second = np.zeros(n, bool)
    for one in (0, 1):
        second[np.flatnonzero(labels == one)[::2]] = True
    along, across = np.eye(WIDTH)[:2]
    noise = rng.normal(size=(n, WIDTH))
    target = Target(variable="side", labels=torch.from_numpy(labels), classes=(0, 1))
    each = torch.arange(n)
    design = Design(target=target, arms=("true",), labels=target.labels[None], folds=each % 2, groups=each, seed=0)
    decoder: Any = shelf["nearest_centroid"]
    found = []
    for direction in (along, np.cos(angle) * along + np.sin(angle) * across):
        x = torch.from_numpy(noise + signal * np.outer(2 * labels - 1, direction)).float()
        found.append(CheckpointFits(decoder, x, design, second, 0.0, 1.0))
    for one in found:
        one.fit(0.0, _samples(design, second, 40, 0), _shuffled(design, second, 99, 0))
    return found


@pytest.mark.parametrize("angle", [0.0, 1.0, np.pi / 2, np.pi])
def test_a_planted_turn_is_the_cosine_of_its_angle(angle: float, rng: np.random.Generator):
    one, other = planted(angle, signal=8.0, rng=rng)
    assert cosines(one.true, other.true)[0] == pytest.approx(np.cos(angle), abs=0.06)
    assert cosines(one.true, one.true)[0] > 0.99


def test_noise_lowers_the_cosine_to_the_ceiling_and_shared_noise_does_not_raise_it(rng: np.random.Generator):
    one, other = planted(0.0, signal=0.3, rng=rng)
    found, alone = (float(cosines(one.true, which.true)[0]) for which in (other, one))
    assert 0.2 < alone < 0.9 and found == pytest.approx(alone, abs=0.02)  # both have the same prompts' noise
    interval = fisher_interval(found, cosines(one.resampled, other.resampled))
    assert interval.low < found < interval.high < 1
    one, other = planted(np.pi / 2, signal=0.3, rng=rng)
    of_one_half = float((one.true[0] * other.true[0]).sum())
    assert of_one_half > cosines(one.true, other.true)[0] + 0.2


def test_shuffled_labels_have_cosines_around_zero(rng: np.random.Generator):
    one, other = planted(0.0, signal=2.0, rng=rng)
    null = cosines(one.shuffled, other.shuffled)
    assert abs(null.mean()) < 4 * null.std() / len(null) ** 0.5
    assert cosines(one.true, other.true)[0] > np.quantile(null, 0.99)


def test_a_row_for_each_two_checkpoints_in_whatever_order_they_came(turns: pd.DataFrame):
    TURNS.check(turns)
    TURNS.require_unique(turns)
    steps = [(0, 0), (0, 3000), (0, 5000), (3000, 3000), (3000, 5000), (5000, 5000)]
    assert [*zip(turns["step_a"], turns["step_b"], strict=True)] == steps
    assert (turns["ci_low"] < turns["cosine"]).all() and (turns["cosine"] < turns["ci_high"]).all()
    assert (turns["p_value"] >= 1 / 40).all()


def test_a_direction_that_has_formed_stays_and_that_before_training_is_another(turns: pd.DataFrame):
    rows: dict[Any, Any] = {(row["step_a"], row["step_b"]): row for row in turns.to_dict("records")}
    late, early = rows[3000, 5000], rows[0, 5000]
    assert late["accuracy_a"] > 2 * late["majority"] and late["p_value"] == 1 / 40
    assert late["ci_low"] > max(late["null_high"], early["ci_high"])
    own = rows[3000, 3000]["cosine"] * rows[5000, 5000]["cosine"]
    assert late["ceiling"] == pytest.approx(own**0.5) and late["cosine"] < late["ceiling"]


def test_of_random_labels_there_is_no_direction_to_keep(family: Any, pairs: ie.PromptPairs):
    noise = pd.DataFrame({"coin": np.random.default_rng(0).integers(2, size=len(pairs))})
    models = run_of(family, 3000, 5000)
    found = direction_turns(models, pairs, variable="coin", labels=noise, layer=1, seed=1, **HOW)
    assert (found["p_value"] > 0.05).all() and (found["cosine"].abs() < 0.5).all()


def test_real_values_and_heads_have_directions_too(family: Any, pairs: ie.PromptPairs):
    first = pairs.clean[:, 0].numpy() * 0.0 + np.random.default_rng(0).normal(size=len(pairs)).round(3)
    found = direction_turns(run_of(family, 3000, 5000), pairs, variable="x", labels={"x": first}, method="ridge",
                            site="z", head=1, layer=0, **HOW)  # fmt: skip
    assert (found["head"] == 1).all() and (found["majority"] == 0).all() and found["cosine"].notna().all()


@pytest.mark.parametrize(
    ("models", "change", "words"),
    [
        ([("14k", 5000, 0), ("25k", 5000, 0)], {}, "are of two sizes or families, whose directions have other widths"),
        ([("14k", 5000, 0), ("14k", 3000, 1)], {}, "are independent runs, each with a basis of its own"),
        ([("14k", 5000, 0)], {}, "1 checkpoints: a cosine is between two"),
        ([("14k", 5000, 0)] * 2, {}, "step 5000 is given twice"),
        ([("14k", 5000, 0)], {"method": "interchange"}, "'interchange' decodes no variable"),
        ([("14k", 5000, 0)], {"site": "z"}, r"z has \d heads in layer 1; give one, such as head=0"),
        ([("14k", 5000, 0)], {"site": "z", "head": 9}, "has no head 9 at z of layer 1"),
        ([("14k", 5000, 0)], {"resamples": 3}, "resamples cannot be 3; give a whole number of at least 20"),
        ([("14k", 5000, 0)], {"labels": {"receiver": [0] * 252 + [1] * 4}}, "different prompts of one half, and 4 are"),
    ],
)
def test_what_has_no_cosine_is_refused_in_one_line(
    family: Any, pairs: ie.PromptPairs, models: list, change: dict[str, Any], words: str
):
    given = [family.load(size, step=step, seed=seed) for size, step, seed in models]
    with pytest.raises(InputError, match=words) as refused:
        direction_turns(given, pairs, **{"variable": "receiver", "layer": 1, **change})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", ["mass_mean", "logistic"])
def test_activations_that_are_not_finite_are_refused_by_the_checkpoint(
    family: Any, pairs: ie.PromptPairs, monkeypatch: pytest.MonkeyPatch, method: str
):
    damaged = "interp_emerge.emergence.forming.turning.read_activations"
    monkeypatch.setattr(damaged, lambda model, pairs, sites, *rest, **options: {sites[0]: torch.full((256, 4), np.nan)})
    with pytest.raises(InputError, match=r"miniature/14k/step3000/seed0 at .*resid_post.* are not all finite"):
        direction_turns(run_of(family, 3000, 5000), pairs, variable="receiver", layer=1, method=method)
