"""A model set by hand in which one head's output is used, one is as informative and not used, and one is used at one
position only: decoding does not tell them apart, interventions do."""

import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.model import HookedModel
from interp_emerge.probing import use

N = 256
USED, UNUSED = 0, 1
"""Heads of the second layer of `induction_distractors`: both find the answer, the second writes it to `noise`."""


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return ie.load_family("handset").load("induction_distractors")


@pytest.fixture(scope="module")
def pairs(model: HookedModel) -> ie.PromptPairs:
    return ie.load_ability("induction").sample(model, n=N)


@pytest.fixture(scope="module")
def known(model: HookedModel, pairs: ie.PromptPairs) -> pd.DataFrame:
    frame = ie.probe(model, pairs, sites="z", method="nearest_centroid").to_frame()
    return frame[frame["layer"] == 1].set_index("head")


@pytest.fixture(scope="module", params=["interchange", "leace", "amnesic", "steering", "das"])
def used(request: pytest.FixtureRequest, model: HookedModel, pairs: ie.PromptPairs) -> pd.DataFrame:
    frame = use(model, pairs, sites="z", method=request.param, placebos=3, steps=5).to_frame()
    return frame[frame["layer"] == 1].set_index("head")


def test_both_heads_know_the_answer(known: pd.DataFrame):
    both = known.loc[[USED, UNUSED]]
    assert (both["accuracy"] > 0.95).all() and (both["q_value"] < 1e-6).all()
    assert (both["gain_low"] > 0.5).all() and (both["over_untrained_low"] > 0.3).all()
    assert (both["shuffled"] < 0.15).all() and (both["compression"] > 1.5).all()


def test_only_one_of_them_is_used(used: pd.DataFrame):
    assert used["beyond_placebo_low"].to_dict()[USED] > 0.5
    assert abs(used["effect"].to_dict()[UNUSED]) < 0.01


def test_the_repeated_token_is_used_at_the_position_after_it_only(model: HookedModel, pairs: ie.PromptPairs):
    positions = ["after first occurrence", "first occurrence", "last"]
    given = {"variable": "repeated token", "positions": positions}
    known = ie.probe(model, pairs, method="nearest_centroid", **given).to_frame()
    used = use(model, pairs, placebos=3, **given).to_frame()
    of_first = known[known["layer"] == 0].set_index("position")
    assert (of_first["accuracy"] > 0.9).all()
    first = used[used["layer"] == 0].set_index("position")
    effects, lowest = first["effect"].to_dict(), first["beyond_placebo_low"].to_dict()
    assert lowest["after first occurrence"] > 0.2
    # The last token is the same in the clean and the corrupted prompt: there is nothing to exchange.
    assert effects["last"] == pytest.approx(0, abs=1e-4)
    assert effects["first occurrence"] == pytest.approx(0, abs=0.05)
