"""A model set by hand in which erasing a value gives the wrong picture and exchanging it the right one.

Nullified values are ones that the model never meets (Canby et al., 2024, https://arxiv.org/abs/2408.15510). Here

- head a1.h0 writes the answer. If it writes no word at all, a copy of it, a2.h0, steps in: erasing finds no use;
- head a1.h1 writes the answer to a feature that no output reads. If it writes no word at all, a2.h1 is startled and
  writes the opposite of the answer: erasing finds a use where there is none.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.model import HookedModel
from interp_emerge.families._handset.weights import (
    BOS,
    POSITIONS,
    SHARPNESS,
    VOCABULARY,
    Handset,
    Stream,
    new_gpt2,
    stacked,
)
from interp_emerge.probing import use

N, ANSWERS = 64, (7, 8)
USED, UNUSED = 0, 1
GAP = 20
"""Twice the logit of a word that is written out."""


def redundant_and_easily_startled() -> Any:
    """Three layers of two heads; the MLP of the second one flags whether each head of its layer has written a word."""
    widths = {"prev": VOCABULARY, "out": VOCABULARY, "aside": VOCABULARY, "written": 1, "calm": 1}
    stream = Stream(tok=VOCABULARY, pos=POSITIONS, **widths)
    model = Handset(new_gpt2(stream, layers=3, heads=2, hidden=2 * VOCABULARY), stream)
    model.look_back(0, 0, 1, reads=stream["tok"], writes=stream.to("prev"))

    def induce(layer: int, head: int, writes: torch.Tensor, silenced_by: str = "") -> None:
        words = stream["tok"].clone()
        words[BOS] = 0
        silence = 2 * stream[silenced_by] if silenced_by else 0 * stream["one"]
        query = SHARPNESS * stacked(2 * stream["tok"], stream["one"] + silence)
        model.head(layer, head, query=query, key=stacked(stream["prev"], stream["tok"][[BOS]]), reads=words,
                   writes=writes)  # fmt: skip

    induce(1, USED, stream.to("out"))
    induce(1, UNUSED, stream.to("aside"))
    # A unit is at 4 for a whole word and at -4 for half of one, which is what is left of either of two words.
    reads = stacked(16 * stream["out"] - 12 * stream["one"], 16 * stream["aside"] - 12 * stream["one"])
    flags = [stream.to(name).expand(-1, VOCABULARY) / 4 for name in ("written", "calm")]
    model.mlp(1, reads=reads, writes=torch.cat(flags, 1))
    induce(2, 0, stream.to("out"), silenced_by="written")
    induce(2, 1, -2 * stream.to("out"), silenced_by="calm")
    return model.hf


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return ie.hook(redundant_and_easily_startled())


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    """Two random tokens, one before each answer, and one of them again; the corrupted prompt exchanges the two."""
    rng = np.random.default_rng(0)
    clean, corrupt, which = [], [], rng.permutation(N) % 2
    for asked in which:
        one, other = rng.choice(np.arange(9, VOCABULARY), size=2, replace=False)
        last = (one, other)[asked]
        clean.append([BOS, one, ANSWERS[0], other, ANSWERS[1], last])
        corrupt.append([BOS, other, ANSWERS[0], one, ANSWERS[1], last])
    answers, foils = ([ANSWERS[one] for one in side] for side in (which, 1 - which))
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=answers, foil=foils)


def of_layer_one(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["layer"] == 1].set_index("head")


@pytest.fixture(scope="module")
def used(model: HookedModel, pairs: ie.PromptPairs) -> dict[str, pd.DataFrame]:
    methods = ("interchange", "das", "leace", "amnesic")
    given: dict[str, Any] = {"sites": "z", "placebos": 2, "steps": 5}
    return {method: of_layer_one(use(model, pairs, method=method, **given).to_frame()) for method in methods}


def test_the_model_answers_and_both_heads_know_the_answer(model: HookedModel, pairs: ie.PromptPairs):
    assert (model.logits(pairs.clean).argmax(-1) == pairs.answer).all()
    known = of_layer_one(ie.probe(model, pairs, sites="z", method="mass_mean").to_frame())
    assert (known["accuracy"] == 1).all() and (known["shuffled"] < 0.75).all()


def test_an_exchange_finds_the_head_that_is_used(used: dict[str, pd.DataFrame]):
    found = used["interchange"]
    assert found["effect"].to_dict() == pytest.approx({USED: GAP, UNUSED: 0}, abs=0.5)
    assert found["beyond_placebo_low"].to_dict()[USED] > GAP / 2


@pytest.mark.parametrize("method", ["leace", "amnesic"])
def test_erasing_misses_it_and_finds_the_head_that_is_not(used: dict[str, pd.DataFrame], method: str):
    effect, complete = used[method]["effect"].to_dict(), used[method]["completeness"].to_dict()
    assert complete == {USED: 1, UNUSED: 1}  # the variable is gone, so the erasing itself has not failed
    assert effect == pytest.approx({USED: 0, UNUSED: GAP}, abs=0.5)


def test_a_learned_exchange_can_leave_what_the_model_has_met(used: dict[str, pd.DataFrame]):
    """It finds the head that is used, and at the other one a direction of half an exchange, which startles a2.h1."""
    effect = used["das"]["effect"].to_dict()
    assert effect[USED] == pytest.approx(GAP, abs=0.5)
    assert effect[UNUSED] > 1
