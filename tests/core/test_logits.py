"""A model's own logits: in chunks that fit, in evaluation mode, whatever state the model is in."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import interp_emerge as ie
from interp_emerge.abilities.measuring import held_out_loss, measure
from interp_emerge.abilities.metrics import FROM_LOGITS, bind_metric, metrics_of_clean
from interp_emerge.core import memory
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import bytes_of_run
from interp_emerge.core.model import HookedModel
from interp_emerge.families._split.shape import shape_of, shape_of_config
from tests.models.small_models import build, random_pairs, small_model

DROPOUT: dict[str, Any] = {
    "attention_dropout": 0.5,
    "hidden_dropout": 0.5,
    "resid_pdrop": 0.5,
    "embd_pdrop": 0.5,
    "attn_pdrop": 0.5,
}
ROUNDING = 1e-5
"""Batches of other sizes differ by 1e-6 at most on logits up to 10."""


def plain(hf: Any, tokens: Tensor) -> Tensor:
    """Logits after every token by transformers alone, each prompt by itself."""
    with torch.no_grad():
        return torch.cat([hf(input_ids=row[None], use_cache=False, return_dict=True).logits for row in tokens])


def a_few_at_once(hf: Any, length: int, n: int) -> int:
    """A budget in which so many prompts fit, with the logits of one position."""
    return n * bytes_of_run(shape_of(hf), length, 1)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2", "bloom"])
@pytest.mark.parametrize("at_once", [1, 4, 11, 100])
def test_logits_in_chunks_are_those_of_each_prompt_by_itself(architecture: str, at_once: int):
    model, tokens = small_model(architecture), random_pairs(11, length=9).clean
    whole = plain(model.hf, tokens)
    budget = a_few_at_once(model.hf, 9, at_once)
    torch.testing.assert_close(model.logits(tokens, budget=budget), whole[:, -1], atol=ROUNDING, rtol=0)
    chunks = [*model.logits_in_chunks(tokens, last=3, budget=2 * budget)]
    assert torch.cat([torch.arange(11)[rows] for rows, _ in chunks]).tolist() == [*range(11)]
    torch.testing.assert_close(torch.cat([logits for _, logits in chunks]), whole[:, -3:], atol=ROUNDING, rtol=0)


def test_no_more_prompts_run_together_than_fit_and_a_single_one_that_does_not_is_refused():
    model, tokens, seen = ie.hook(build("gpt2")), random_pairs(11, length=9).clean, []
    model.hf.register_forward_pre_hook(lambda _m, _a, given: seen.append(len(given["input_ids"])), with_kwargs=True)
    model.logits(tokens[:1])  # with its new hook the model gets a new name first
    seen.clear()
    model.logits(tokens, budget=a_few_at_once(model.hf, 9, 4))
    assert seen == [4, 4, 3]
    with pytest.raises(InputError, match=r"one prompt needs about .* are allowed; raise the budget"):
        model.logits(tokens, budget=100)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama"])
def test_bundled_sizes_and_usual_numbers_of_prompts_run_at_once(architecture: str):
    """The size of a batch decides last bits, so what is small has to stay one batch."""
    hf = build(architecture)
    wide = hf.config.to_dict() | {"hidden_size": 96, "num_attention_heads": 8, "intermediate_size": 384}
    config = type(hf.config)(**{name: value for name, value in wide.items() if name != "layer_types"})
    assert 128 * bytes_of_run(shape_of_config(config, 64), 32, 32) < memory.CPU_BUDGET / 4


def readings(model: HookedModel) -> dict[str, np.ndarray]:
    """Everything that is read off a model's own logits."""
    pairs, text = random_pairs(12, length=9), torch.arange(3).repeat(2, 4)[:, :9]
    followed = replace(pairs, continuation=torch.cat([pairs.answer[:, None], pairs.corrupt], 1))
    found = ie.emergence.scale.continuations.several_tokens(model, followed)
    return {
        "logits": model.logits(pairs.clean).numpy(),
        "kl": np.asarray(bind_metric("kl", model, pairs)(model.logits(pairs.corrupt))),
        "several_tokens": found.log_prob,
        "in_context": ie.emergence.forming.in_context_scores(model, text),
        "addition": ie.emergence.forming.addition_logits(model, modulus=5),
        "ladder": metrics_of_clean(model, pairs, FROM_LOGITS)["log_prob"],
        "passes": ie.emergence.scale.answer_sampler(model, pairs)(200, np.random.default_rng(0)).astype(float),
    }


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama"])
def test_a_model_left_in_training_mode_gives_what_it_gives_in_evaluation_mode_and_stays_in_it(architecture: str):
    model = ie.hook(build(architecture, **DROPOUT))
    expected = readings(model)
    model.hf.train()
    model.hf.get_input_embeddings().eval()
    flags = [part.training for part in model.hf.modules()]
    tokens = random_pairs(12, length=9).clean
    with torch.no_grad():
        dropped = model.hf(input_ids=tokens, use_cache=False).logits[:, -1]
    assert (dropped - torch.from_numpy(expected["logits"])).abs().max() > 0.1  # dropout does something
    for name, values in readings(model).items():
        np.testing.assert_allclose(values, expected[name], atol=ROUNDING, err_msg=name)
    assert [part.training for part in model.hf.modules()] == flags
    assert all(parameter.requires_grad for parameter in model.hf.parameters())


def test_measurements_of_a_model_in_training_mode_are_those_in_evaluation_mode():
    family, ability = ie.load_family("miniature"), ie.load_ability("induction")
    model = family.load("7k")
    text = family.held_out_text()
    expected = measure(model, [ability], n=16)["value"], held_out_loss(model, text)
    for part in model.hf.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.5
        part.training = True
    model.hf.config.attention_dropout = 0.5
    found = measure(model, [ability], n=16)["value"], held_out_loss(model, text)
    # With the last bit of every product changed at random they differ by 5e-5 of their size.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-4)
    assert found[1] == pytest.approx(expected[1], rel=1e-4)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama", "gemma2"])
def test_a_configuration_that_asks_for_tuples_changes_nothing(architecture: str):
    model = ie.hook(build(architecture))
    expected = readings(model)
    model.hf.config.return_dict = False
    for name, values in readings(model).items():
        np.testing.assert_allclose(values, expected[name], atol=ROUNDING, err_msg=name)


def test_whoever_stops_between_two_chunks_leaves_the_model_as_it_was():
    model, tokens = ie.hook(build("gpt2")), random_pairs(11, length=9).clean
    model.hf.train()
    chunks = model.logits_in_chunks(tokens, budget=a_few_at_once(model.hf, 9, 4))
    next(chunks)
    assert model.hf.training and all(parameter.requires_grad for parameter in model.hf.parameters())


@pytest.mark.parametrize("rows", [slice(0, 2), slice(3, 9), slice(8, 11)])
@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped"])
def test_the_divergence_is_the_same_whether_the_clean_run_is_kept_or_made_again(
    architecture: str, rows: slice, monkeypatch: pytest.MonkeyPatch
):
    model, pairs = small_model(architecture), random_pairs(11, length=9)
    kept = bind_metric("kl", model, pairs)
    made = bind_metric("kl", model, pairs, budget=a_few_at_once(model.hf, 9, 1))
    monkeypatch.setattr(memory, "CPU_BUDGET", 4 * 4 * model.d_vocab * 5)
    again = bind_metric("kl", model, pairs)
    assert isinstance(kept.clean_log_probs, Tensor)
    assert not isinstance(again.clean_log_probs, Tensor)
    clean, corrupt = (plain(model.hf, tokens)[:, -1].log_softmax(-1) for tokens in (pairs.clean, pairs.corrupt))
    right = -(clean.exp() * (clean - corrupt)).sum(-1)[rows]
    for metric in (kept, made, again, again[0:11]):
        torch.testing.assert_close(metric[rows](corrupt[rows]), right, atol=ROUNDING, rtol=0)
        torch.testing.assert_close(
            metric[rows](torch.stack([corrupt[rows]] * 2)), right.expand(2, -1), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("run", [
    lambda model, pairs: ie.score(model, pairs, method="eap", metric="kl").scores,
    lambda model, pairs: ie.score(model, pairs, method="activation_patching", metric="kl").scores,
    lambda model, pairs: ie.evaluate(model, ie.Circuit.from_nodes(model, ["a0.h1", "m1"]), pairs).kl,
    lambda model, pairs: ie.evaluate(model, ie.Circuit.from_nodes(model, ["a0.h1", "m1"]), pairs, metric="kl").metric,
    lambda model, pairs: ie.ablate(model, ["m1"], pairs, metric="kl"),
])  # fmt: skip
def test_results_do_not_depend_on_how_many_pairs_are_held_at_once(
    run: Callable[[HookedModel, ie.PromptPairs], np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    model, pairs = small_model("llama"), random_pairs(11, length=9)
    expected = run(model, pairs)
    monkeypatch.setattr(memory, "CPU_BUDGET", 1)
    np.testing.assert_allclose(run(model, pairs), expected, atol=ROUNDING)
    assert np.abs(expected).max() > 1e-2
