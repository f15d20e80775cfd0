"""Answers of several tokens: read at the first token that differs, and measured as a whole."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import FROM_LOGITS, METRICS, bind_metric, metrics_of_clean
from interp_emerge.abilities.own.completions import Completions
from interp_emerge.abilities.own.sequences import OF_WHOLE
from interp_emerge.core.model import HookedModel
from tests.abilities.own.written import bytes_model
from tests.models.small_models import random_pairs, small_model


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return bytes_model()


def pairs_of(model: HookedModel, answer: Any, foil: Any, **changed: Any) -> ie.PromptPairs:
    text = {"clean": [" When Mary met"], "corrupt": [" When John met"], **changed}
    return ie.PromptPairs.from_text(model, answer=[answer], foil=[foil], **text)


def log_prob_of(model: HookedModel, prompt: str, answer: str) -> float:
    """The log-probability of an answer, one run for each of its tokens."""
    before, after = model.encode(prompt), model.encode(prompt + answer)
    total = 0.0
    with torch.no_grad():
        for at in range(len(before), len(after)):
            logits = model.hf(torch.tensor([model.bos + after[:at]])).logits[0, -1]
            total += float(logits.double().log_softmax(-1)[after[at]])
    return total


def test_tokens_that_all_answers_share_stand_at_the_end_of_both_prompts(model: HookedModel):
    pairs = pairs_of(model, " Maryab", " Maryac")
    assert model.words(model.encode(" Maryab")) == [" Mary", "a", "b"]
    assert model.words(pairs.clean[0].tolist()) == [" When", " Mary", " met", " Mary", "a"]
    assert model.words(pairs.corrupt[0].tolist()) == [" When", " John", " met", " Mary", "a"]
    assert model.words([int(pairs.answer[0]), int(pairs.foil[0])]) == ["b", "c"]
    assert pairs.appended.tolist() == [2]
    assert "answers of up to 3 tokens: patching reads the first that differs" in repr(pairs)
    frame = pairs.to_frame()
    assert frame[["answer", "foil", "appended", "n_tokens"]].to_numpy().tolist() == [[" Maryab", " Maryac", 2, 5]]


def test_without_a_shared_token_the_first_is_read_and_the_whole_measured(model: HookedModel):
    pairs = pairs_of(model, " bookab", [" park", " toab"])
    assert pairs.appended.tolist() == [0] and pairs.lengths.tolist() == [3]
    assert model.words([int(pairs.answers[0, 0]), *pairs.foils[0].tolist()]) == [" book", " park", " to"]
    assert pairs.continuation is not None
    assert model.words(pairs.continuation[0].tolist()) == [" book", "a", "b"]


@pytest.mark.parametrize(
    ("answers", "foils"),
    [
        ([" Maryab"], [" Maryac"]),
        ([" bookab", " a"], [" park", " toab"]),
        ([" book"], [" park"]),
        ([" gavexyz", " gavexyw", " gavexv"], [" metx"]),
    ],
)
def test_metrics_of_whole_answers_are_those_of_single_runs(answers: list[str], foils: list[str], model: HookedModel):
    pairs = pairs_of(model, answers, foils)
    one, other = (
        math.log(sum(math.exp(log_prob_of(model, " When Mary met", text)) for text in texts))
        for texts in (answers, foils)
    )
    choice = 1 / (1 + math.exp(other - one))
    wanted = {
        "log_prob": one,
        "prob": math.exp(one),
        "logit_diff": one - other,
        "prob_diff": math.exp(one) - math.exp(other),
        "choice_prob": choice,
        "brier": -((1 - choice) ** 2),
    }
    found = metrics_of_clean(model, pairs, FROM_LOGITS)
    assert {name: float(found[name][0]) for name in wanted} == pytest.approx(wanted, abs=2e-5)


def test_a_whole_answer_is_right_if_the_most_likely_tokens_spell_it(model: HookedModel):
    spelled = model.encode(" When Mary met")
    for _ in range(3):
        spelled.append(int(model.logits(torch.tensor([spelled]))[0].argmax()))
    fields: dict[str, Any] = {"clean": [spelled[:3]], "corrupt": [model.encode(" When John met")], "foil": [599]}
    for tokens, right in ((spelled[3:], 1.0), ([*spelled[3:5], (spelled[5] + 1) % 500], 0.0)):
        whole = Completions.of_lists([[tokens]], [[[599]]], [0])
        pairs = ie.PromptPairs(**fields, answer=[tokens[0]], completions=whole)
        assert metrics_of_clean(model, pairs, ["accuracy"])["accuracy"].tolist() == [right]


def test_whole_answers_of_one_token_have_the_metrics_of_that_token():
    model, pairs = small_model("gpt2"), random_pairs()
    whole = replace(pairs, completions=Completions.of_single(pairs.answers, pairs.foils))
    single, read = (metrics_of_clean(model, one, FROM_LOGITS) for one in (pairs, whole))
    for name in FROM_LOGITS:
        assert np.allclose(single[name], read[name], atol=1e-5), name


def test_every_metric_has_a_form_for_whole_answers():
    assert {*OF_WHOLE} == {*FROM_LOGITS}


def test_several_answers_are_summed_by_hand():
    pairs = ie.PromptPairs(clean=[[5, 6]], corrupt=[[5, 7]], answer=[[0, 1]], foil=[[2]])
    logits = torch.log(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))  # probabilities 0.1, 0.2, 0.3, 0.4
    wanted = {"logit_diff": 0.0, "prob": 0.3, "log_prob": math.log(0.3), "prob_diff": 0.0, "choice_prob": 0.5}
    found = {name: float(METRICS[name](logits, pairs)) for name in wanted}
    assert found == pytest.approx(wanted, abs=1e-6)
    assert float(METRICS["accuracy"](logits, pairs)) == 0.0
    assert float(METRICS["brier"](logits, pairs)) == pytest.approx(-0.25)


def test_patching_reads_the_appended_prompts(model: HookedModel):
    pairs = pairs_of(model, " Maryab", " Maryac")
    read = bind_metric("logit_diff", model, pairs)(model.logits(pairs.clean))
    plain = ie.PromptPairs(clean=pairs.clean, corrupt=pairs.corrupt, answer=pairs.answer, foil=pairs.foil)
    assert torch.equal(read, bind_metric("logit_diff", model, plain)(model.logits(pairs.clean)))
    scores = [np.asarray(ie.score(model, one, method="eap").scores) for one in (pairs, plain)]
    assert np.array_equal(scores[0], scores[1]) and np.abs(scores[0]).max() > 0
    assert pairs.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("answer", "foil", "message"),
    [
        (" Mary", " Maryab", "the answer of pair 0 is only the beginning of its other answers and foils"),
        ([" Maryab", " book"], " Maryac", "has the token ' Mary' as the beginning of an answer and of a foil, so no"),
        ([" Maryab", " Marybb"], [" Maryac"], "beginning of an answer and of a foil after the 1 token that all share"),
        (" Maryab", " Maryab", "pair 0 has the same token as answer and foil"),
        ([" Maryab", " Maryab"], " book", "pair 0 has the answer ' Maryab' twice"),
        ("", " book", "is empty text; give at least one token"),
    ],
)
def test_answers_that_no_single_token_tells_apart_are_refused(answer: Any, foil: Any, message: str, model: HookedModel):
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        pairs_of(model, answer, foil)


def test_an_answer_that_only_continues_another_adds_nothing(model: HookedModel):
    both, short = (pairs_of(model, answers, " park") for answers in ([" book", " bookab"], [" book"]))
    assert both.fingerprint == short.fingerprint


def test_an_index_from_the_end_is_refused_where_tokens_are_appended(model: HookedModel):
    with pytest.raises(
        ie.InterpEmergeError, match="position 'name' of pair 0 is -2, but its answers share their first 2"
    ):
        pairs_of(model, " Maryab", " Maryac", positions={"name": -2})
    assert pairs_of(model, " Maryab", " Maryac", positions={"last": -1}).positions["last"].tolist() == [4]


def test_continuations_of_several_lengths_are_refused_where_one_is_needed(model: HookedModel):
    pairs = pairs_of(model, " bookab", " park") + pairs_of(model, " a", " park")
    assert pairs.continuation is not None and pairs.continuation[1].tolist()[1:] == [-1, -1]
    with pytest.raises(ie.InterpEmergeError, match="the continuations have 1 to 3 tokens; give those of one length"):
        ie.emergence.scale.continuations.several_tokens(model, pairs)
    assert len(ie.emergence.scale.continuations.several_tokens(model, pairs[:1]).truth) == 1


def test_a_prompt_that_fits_only_without_its_answer_is_refused(model: HookedModel):
    text = " When" * 63
    pairs = ie.PromptPairs.from_text(
        model, clean=[text + " Mary"], corrupt=[text + " John"], answer=[" bookab"], foil=[" park"]
    )
    assert pairs.lengths.tolist() == [model.n_context]
    with pytest.raises(ie.InterpEmergeError, match="a prompt with its answer has 67 tokens"):
        metrics_of_clean(model, pairs, ["prob"])


def test_an_answer_that_continues_the_last_word_of_its_prompt_is_said(
    model: HookedModel, caplog: pytest.LogCaptureFixture
):
    pairs_of(model, " and", " at")
    assert not caplog.records
    pairs_of(model, "and", "at")
    (said,) = caplog.messages
    assert said == ("answer or foil 'and' of pair 0, and 1 more: read as the rest of the word 'metand'; for a new word "
                    "begin it with a space, ' and'")  # fmt: skip
