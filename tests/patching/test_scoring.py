from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.core.errors import InputError, ModelError, UnknownNameError
from interp_emerge.patching.scoring import estimate
from tests.models.small_models import VOCABULARY, build, random_pairs, small_model


def score(**options) -> None:
    ie.score(small_model("gpt_neox"), random_pairs(), **options)


def test_a_callable_may_stand_for_the_name_of_a_metric():
    def answer_logit(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        return logits.gather(1, pairs.answer[:, None])[:, 0]

    def foil_logit(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        return logits.gather(1, pairs.foil[:, None])[:, 0]

    model, pairs = small_model("gpt2"), random_pairs()
    answer, foil, both = (
        ie.score(model, pairs, method="eap", metric=m) for m in (answer_logit, foil_logit, "logit_diff")
    )
    np.testing.assert_allclose(answer.scores - foil.scores, both.scores, atol=1e-5)
    assert answer.origin["metric"] == "answer_logit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "eap_gi"}, "unknown method 'eap_gi'; did you mean 'eap_ig'"),
        ({"metric": "logit_dif"}, "unknown metric 'logit_dif'; did you mean 'logit_diff'"),
        ({"direktion": "noising"}, "unknown option 'direktion'; did you mean 'direction'"),
        ({"step": 3}, "unknown option 'step'; did you mean 'steps'"),
        (
            {"direction": "denoise", "method": "activation_patching"},
            "unknown direction 'denoise'; did you mean 'denois",
        ),
        ({"ablation": "means", "method": "ablation"}, "unknown ablation 'means'; did you mean 'mean'"),
        ({"mlps": "thawed", "method": "path_patching"}, "unknown mlps 'thawed'"),
        ({"sites": "heads", "method": "activation_patching"}, "unknown site 'heads'; did you mean 'head'"),
        ({"positions": ["frist"], "method": "eap"}, "unknown position 'frist'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(options: dict, message: str):
    with pytest.raises(UnknownNameError, match=message):
        score(**options)


@pytest.mark.parametrize("method", ["eap", "eap_ig", "attribution_patching"])
def test_a_metric_without_a_gradient_is_refused_by_methods_that_need_one(method: str):
    with pytest.raises(
        InputError, match="metric 'accuracy' has no gradient; gradient methods need one such as logit_diff"
    ):
        score(method=method, metric="accuracy")
    score(method="activation_patching", metric="accuracy")


@pytest.mark.parametrize("method", ["eap", "activation_patching"])
@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            lambda logits, pairs: logits,
            r"metric '<lambda>' returned \[6, 40\]; it has to return one value for each of the 6",
        ),
        (lambda logits, pairs: logits.sum(), r"returned \[\]; it has to return one value"),
        (lambda logits, pairs: 1.0, "returned float; it has to return one value"),
        (lambda logits, pairs: logits[:, 0] * torch.nan, "metric '<lambda>' is not finite on 6 of 6 pairs"),
        (lambda logits, pairs: (logits[:, 0] > 99).float() / 0, "is not finite on 6 of 6 pairs"),
    ],
)
def test_a_metric_has_to_return_one_finite_value_a_pair(method: str, metric, message: str):
    with pytest.raises(InputError, match=message):
        score(method=method, metric=metric)


@pytest.mark.parametrize(
    ("metric", "taken"), [(lambda: 1, r"\(\)"), (lambda x: x, r"\(x\)"), (lambda x, y, z: x, r"\(x, y, z\)")]
)
def test_a_metric_has_to_take_logits_and_pairs(metric, taken: str):
    with pytest.raises(InputError, match=f"metric '<lambda>' takes {taken}; give a function of the logits"):
        score(metric=metric)


def test_a_first_token_is_recorded_where_prompts_begin_with_it():
    model, pairs = ie.hook(build("gpt2"), prepend_bos=3), random_pairs()
    begun = replace(pairs, clean=torch.cat([torch.full((6, 1), 3), pairs.clean], 1),
                    corrupt=torch.cat([torch.full((6, 1), 3), pairs.corrupt], 1))  # fmt: skip
    recorded = [ie.score(model, one, method="eap").origin["model"]["prepended"] for one in (begun, pairs)]
    assert recorded == ["3", ""]


def test_tokens_that_the_model_lacks_are_refused():
    clean = random_pairs().clean.clone()
    clean[2, 3] = VOCABULARY
    with pytest.raises(InputError, match=r"token ids go from . to 40, but .* has 40 tokens"):
        ie.score(small_model("gpt_neox"), replace(random_pairs(), clean=clean))


def test_an_answer_that_is_its_own_foil_is_refused():
    pairs = random_pairs()
    with pytest.raises(InputError, match="pair 0 has the same token as answer and foil; they have to differ"):
        replace(pairs, foil=pairs.answer)


def test_an_unknown_position_is_answered_with_those_that_the_pairs_name():
    pairs = replace(random_pairs(), positions={"subject": torch.full((6,), 2)})
    with pytest.raises(UnknownNameError, match="unknown position 'subjekt'; did you mean 'subject'"):
        ie.score(small_model("gpt2"), pairs, method="eap", positions="subjekt")
    with pytest.raises(UnknownNameError, match="all, subject"):
        ie.score(small_model("gpt2"), pairs, method="eap", positions="xyz")


def test_an_option_that_a_method_does_not_take_is_refused_with_those_that_it_takes():
    with pytest.raises(
        InputError, match=r"eap_ig takes no option 'direction' \(options that it takes: positions, steps\)"
    ):
        score(method="eap_ig", direction="noising")
    with pytest.raises(InputError, match=r"random takes no option 'sites' \(options that it takes: seed\)"):
        score(method="random", sites=["head"])
    with pytest.raises(
        InputError, match=r"eap takes no option 'steps' \(options that it takes: positions, direction\)"
    ):
        score(method="eap", steps=5)


def test_an_option_that_is_none_is_left_to_the_method():
    model, pairs = small_model("gpt2"), random_pairs()
    left = ie.score(model, pairs, method="eap")
    given = ie.score(model, pairs, method="eap", positions=None, direction=None)
    assert (left.scores == given.scores).all() and left.origin == given.origin


def test_an_estimate_refuses_what_scoring_refuses():
    model, pairs = small_model("gpt2"), random_pairs()
    with pytest.raises(UnknownNameError, match="unknown option 'positoins'; did you mean 'positions'"):
        estimate(model, pairs, method="eap", positoins="all")
    with pytest.raises(InputError, match="takes no option 'threshold'"):
        estimate(model, pairs, method="eap", threshold=0.1)


def test_an_estimate_is_the_cost_of_the_method_times_one_pass():
    found = estimate(small_model("gpt2"), random_pairs(), method="eap_ig", steps=4)
    longer = estimate(small_model("gpt2"), random_pairs(), method="eap_ig", steps=40)
    assert found.method == "eap_ig" and found.seconds > 0 and found.bytes > 0
    assert longer.passes > 5 * found.passes


def test_prompts_with_padding_are_refused():
    clean = random_pairs().clean.clone()
    clean[2, -2:] = 0
    with pytest.raises(InputError, match="prompt 2 contains the padding token 0"):
        ie.score(small_model("gpt_neox"), replace(random_pairs(), clean=clean))


def test_an_architecture_that_is_not_split_is_refused_before_anything_runs():
    model = ie.hook(build("bloom", apply_residual_connection_post_layernorm=True))
    for method in ("eap", "activation_patching"):
        with pytest.raises(ModelError, match="'bloom' is not split into heads and edges"):
            ie.score(model, random_pairs(), method=method)


@pytest.mark.parametrize("method", ["activation_patching", "ablation", "attribution_patching", "eap", "exact_edges"])
def test_a_position_below_zero_is_the_one_counted_from_the_end(method: str):
    model, pairs = small_model("llama_grouped"), random_pairs(length=7)
    named = replace(pairs, positions={"early": [1] * 6, "late": [-2, 5, -2, 5, 5, -2]})
    counted = ie.score(model, pairs, method=method, positions=["1", "5"])
    assert np.abs(counted.scores).max() > 1e-3
    for positions in (["1", "-2"], [1, -2], np.array([-6, 5])):
        found = ie.score(model, pairs, method=method, positions=positions)
        np.testing.assert_array_equal(found.scores, counted.scores)
        assert found.positions == counted.positions == ("1", "5")
    by_name = ie.score(model, named, method=method, positions=["early", "late"])
    np.testing.assert_allclose(by_name.scores, counted.scores, atol=1e-6)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([7], "position 7 is beyond the prompts' 7 tokens; give 0 to 6, or -1 to -7 counted from the end"),
        ("-8", "position -8 is beyond the prompts' 7 tokens"),
        ([1.5], "unknown position '1.5'"),
        (2.0, "positions cannot be 2.0; give one name or a list of names"),
        ([True], "unknown position 'True'"),
        ([], "positions is empty"),
    ],
)
@pytest.mark.parametrize("method", ["activation_patching", "eap"])
def test_a_position_that_is_not_in_the_prompts_is_refused(positions: object, message: str, method: str):
    with pytest.raises((InputError, UnknownNameError), match=message):
        score(method=method, positions=positions)
