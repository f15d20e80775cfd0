"""Pairs with several correct tokens: metrics treat them as a set, in every method."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.abilities.metrics import FROM_LOGITS, METRICS, bind_metric
from interp_emerge.emergence.scale.pass_until import pass_until
from tests.models.small_models import random_pairs, small_model

LOGITS = torch.log(torch.tensor([[1.0, 2.0, 3.0, 4.0, 10.0], [1.0, 2.0, 3.0, 4.0, 10.0]]))
"""Probabilities of 0.05, 0.1, 0.15, 0.2 and 0.5."""
CLOSE = 2e-5
"""Scores of several answers from two metrics differ by up to 3e-6; they are up to 2."""


def with_sets(pairs: ie.PromptPairs) -> ie.PromptPairs:
    """The pairs with one to three answers and two foils each."""
    answers = [[int(one), *extra] for one, extra in zip(pairs.answer, [[], [2], [3, 4]] * 2, strict=True)]
    foils = [[int(one), 1] for one in pairs.foil]
    return replace(pairs, answer=[[*dict.fromkeys(row)] for row in answers], foil=foils)


def test_metrics_of_sets_are_those_of_their_summed_probability() -> None:
    pairs = ie.PromptPairs(clean=[[1, 2], [3, 4]], corrupt=[[1, 3], [3, 5]], answer=[[0, 1], [4]], foil=[[2], [3, 2]])
    expected = {
        "logit_diff": [0.0, math.log(0.5 / 0.35)],
        "prob": [0.15, 0.5],
        "prob_diff": [0.0, 0.15],
        "log_prob": [math.log(0.15), math.log(0.5)],
        "choice_prob": [0.5, 0.5 / 0.85],
        "accuracy": [0.0, 1.0],
        "brier": [-0.25, -((0.35 / 0.85) ** 2)],
    }
    assert {*expected} == {*FROM_LOGITS}
    for name, values in expected.items():
        np.testing.assert_allclose(METRICS[name](LOGITS, pairs), values, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("method", ["eap", "eap_ig", "attribution_patching", "activation_patching", "exact_edges"])
def test_every_method_reads_sets_as_a_metric_of_all_logits_does(method: str) -> None:
    def log_odds(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        rows = zip(logits, pairs.answers.tolist(), pairs.foils.tolist(), strict=True)
        return torch.stack([_log_sum(row, answers) - _log_sum(row, foils) for row, answers, foils in rows])

    model, pairs = small_model("gpt2"), with_sets(random_pairs())
    found, expected = (ie.score(model, pairs, method=method, metric=metric) for metric in ("logit_diff", log_odds))
    np.testing.assert_allclose(found.scores, expected.scores, atol=CLOSE)
    single = ie.score(model, random_pairs(), method=method)
    assert np.abs(np.asarray(found.scores) - np.asarray(single.scores)).max() > 0.02


def _log_sum(row: Tensor, tokens: list[int]) -> Tensor:
    return row[[token for token in tokens if token >= 0]].exp().sum().log()


def test_one_token_in_a_list_is_that_token() -> None:
    model, pairs = small_model("gpt2"), random_pairs()
    listed = replace(pairs, answer=[[int(one)] for one in pairs.answer], foil=pairs.foil[:, None])
    assert listed.fingerprint == pairs.fingerprint
    read = [bind_metric("logit_diff", model, one)(model.logits(pairs.clean)) for one in (listed, pairs)]
    assert torch.equal(*read)


def test_a_sample_passes_with_any_of_the_answers() -> None:
    model, pairs = small_model("gpt2"), with_sets(random_pairs())
    sampler = ie.emergence.scale.answer_sampler(model, pairs)
    chance = float(METRICS["prob"](model.logits(pairs.clean), pairs).mean())
    assert pass_until(sampler, passes=2000).rate == pytest.approx(chance, rel=0.1)
    assert chance > 1.2 * float(METRICS["prob"](model.logits(pairs.clean), random_pairs()).mean())


def test_parts_of_pairs_keep_their_sets_variables_and_continuations() -> None:
    pairs = replace(with_sets(random_pairs()), variables={"turn": range(6), "size": np.linspace(0, 1, 6)})
    pairs = replace(pairs, continuation=torch.stack([random_pairs().answer, torch.arange(6)], 1))
    some = pairs[[4, 1]]
    assert pairs.answers[[4, 1]].tolist() == [[26, 2, -1], [2, -1, -1]]
    assert some.answers.tolist() == [[26, 2], [2, -1]]  # no pair of these has three
    assert some.variables["turn"].tolist() == [4, 1]
    assert some.variables["size"].dtype == torch.float32
    assert some.continuation is not None and some.continuation[:, 1].tolist() == [4, 1]
    assert pairs.fingerprint != random_pairs().fingerprint


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answer": [[7, 3], [7]], "foil": [[8], [5, 7]]}, "pair 1 has the same token as answer and foil"),
        ({"answer": [[7], []]}, "pair 1 has no answer; give each pair at least one"),
        ({"answer": [[-1, -1], [7, 7]]}, "pair 0 has no answer; give each pair at least one"),
        ({"variables": {"turn": ["a", 1]}}, "variable 'turn' holds both text and 1; give either numbers or labels"),
        ({"variables": {"turn": [None, 1]}}, "variable 'turn' is not a list of numbers or labels; give one for each"),
        (
            {"variables": {"turn": [1]}},
            "variable 'turn' has shape [1] for 2 pairs; give one number or label for each pair",
        ),
        ({"continuation": [[7, 1]]}, "continuations of shape [1, 2] do not fit 2 pairs"),
        ({"continuation": [[7, 1], [1, 7]]}, "the continuation of pair 1 begins with a token that is not its answer"),
    ],
)
def test_an_error_names_what_does_not_make_pairs(changed: dict, message: str) -> None:
    given = {"clean": [[1, 2], [3, 4]], "corrupt": [[1, 3], [3, 5]], "answer": [7, 7], "foil": [8, 8], **changed}
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.PromptPairs(**given)


def test_there_may_be_more_pairs_than_a_prompt_has_positions() -> None:
    model, pairs = small_model("gpt2"), random_pairs(100)
    assert model.n_context == 64
    assert len(bind_metric("prob", model, pairs)(model.logits(pairs.clean))) == 100
