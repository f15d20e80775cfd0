"""Nothing leaks from training to held-out prompts: random labels of repeated prompts cannot be decoded."""

from typing import Any

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.probing.engines.folds import halves_of, inner_folds
from tests.models.small_models import small_model


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return small_model("gpt2")


def pairs_of(clean: np.ndarray, foil: np.ndarray | None = None, **more: Any) -> ie.PromptPairs:
    corrupt = clean.copy()
    corrupt[:, -1] = 4
    foils = np.full(len(clean), 3) if foil is None else foil
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=[1, 2] * (len(clean) // 2), foil=foils.tolist(), **more)


def repeated() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """40 random prompts, each five times, and a random label for each prompt."""
    rng = np.random.default_rng(0)
    label = rng.permutation(40) % 2
    return np.repeat(rng.integers(5, 40, size=(40, 6)), 5, axis=0), {"coin": np.repeat(label, 5)}


@pytest.mark.parametrize("held_out", ["foil", "templates"])
def test_equal_prompts_share_a_fold_whatever_is_held_out(model: HookedModel, held_out: str):
    clean, labels = repeated()
    prompt, copy = np.arange(200) // 5, np.arange(200) % 5
    value = 5 + 3 * (prompt // 4) + copy % 3  # four prompts share three values, so there are ten groups
    pairs = pairs_of(clean, value, templates=[f"t{one}" for one in value])
    frame = ie.probe(model, pairs, variable="coin", labels=labels, held_out=held_out, method="ridge").to_frame()
    assert {*frame["n_groups"]} == {10}
    assert (frame["accuracy"] < 0.75).all()


def test_values_that_equal_prompts_link_into_one_group_are_refused(model: HookedModel):
    clean, labels = repeated()
    pairs = pairs_of(clean, 5 + np.arange(200) % 5)
    with pytest.raises(InputError, match="equal prompts link all its values; hold out prompts"):
        ie.probe(model, pairs, variable="coin", labels=labels, held_out="foil")


def test_equal_prompts_are_in_one_half_of_an_exchange():
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 5))
    half = halves_of(groups, seed=0).numpy()
    assert half.sum() == 100 and not {*groups[half]} & {*groups[~half]}
    with pytest.raises(InputError, match="1 different clean prompts"):
        halves_of(np.zeros(40, dtype=int), seed=0)


def of_prefixes() -> tuple[ie.PromptPairs, dict[str, np.ndarray]]:
    """200 prompts that differ after their first three tokens, of which there are 20, and a coin for each of these."""
    rng = np.random.default_rng(1)
    clean = np.concatenate([np.repeat(rng.integers(5, 40, (20, 3)), 10, 0), rng.integers(5, 40, (200, 3))], 1)
    return pairs_of(clean), {"coin": np.repeat(rng.permutation(20) % 2, 10)}


def test_prompts_that_are_equal_up_to_the_position_share_a_fold_and_are_one_group(model: HookedModel):
    pairs, labels = of_prefixes()
    frame = ie.probe(model, pairs, variable="coin", labels=labels, positions=["2", "last"], method="ridge").to_frame()
    inner, last = (frame[frame["position"] == position] for position in ("2", "last"))
    assert {*inner["n_groups"]} == {20} and {*last["n_groups"]} == {200}
    assert (inner["accuracy"] < 0.8).all() and (inner["ci_high"] - inner["ci_low"] > 0.25).all()


def test_a_position_before_which_all_prompts_are_equal_is_refused_or_left_out(
    model: HookedModel, caplog: pytest.LogCaptureFixture
):
    clean = np.random.default_rng(2).integers(5, 40, size=(40, 4))
    clean[:, 0] = 7
    pairs = pairs_of(clean)
    with pytest.raises(InputError, match=r"same tokens up to the probed position.*probe a later position"):
        ie.probe(model, pairs, positions="0")
    frame = ie.probe(model, pairs, positions="all", method="nearest_centroid").to_frame()
    assert {*frame["position"]} == {"1", "2", "3"}
    assert "positions 0 are not probed" in caplog.text


def test_the_strength_is_chosen_on_whole_groups():
    groups = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(np.arange(10), 8)))
    folds = (groups >= 5).long()
    chosen = inner_folds(folds, groups, seed=0)
    for fold in (0, 1):
        assert not (chosen[fold] & (folds == fold)).any()
        assert 8 <= int(chosen[fold].sum()) <= 24
        assert not {*groups[chosen[fold]].tolist()} & {*groups[(folds != fold) & ~chosen[fold]].tolist()}
    alone = inner_folds(folds, folds, seed=0)
    assert (alone.sum(1) == 10).all()  # a fold that is a single group can only be divided by pairs
