"""A model in memory becomes a hooked model and a TransformerBridge."""

import copy

import pytest
import torch
from torch import nn

import interp_emerge as ie
from interp_emerge.core.errors import ModelError
from interp_emerge.families.hooking import untrained
from tests.families.tiny import some_tokens, tiny_model, tiny_tokenizer
from tests.models.computed_apart import assert_same_logits, differ


def storages(module: nn.Module) -> set[int]:
    return {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt_neox, one after the other", "llama"])
def test_the_bridge_gives_the_logits_of_the_hugging_face_model(architecture: str):
    hf, tokens = tiny_model(architecture), some_tokens()
    with torch.no_grad():
        assert_same_logits(ie.hook(hf).bridge(tokens), hf(input_ids=tokens).logits)


def test_the_bridge_of_gpt2_computes_the_same_function_up_to_the_order_of_sums():
    """TransformerLens multiplies queries, keys and values apart: 1.2e-6 in float32, 8e-16 in float64."""
    hf, tokens = tiny_model("gpt2").double(), some_tokens()
    with torch.no_grad():
        torch.testing.assert_close(ie.hook(hf).bridge(tokens), hf(input_ids=tokens).logits, rtol=0, atol=1e-13)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama"])
def test_the_bridge_shares_the_models_parameters(architecture: str):
    model, tokens = ie.hook(tiny_model(architecture)), some_tokens()
    assert storages(model.hf) <= storages(model.bridge)
    before = model.bridge(tokens)
    with torch.no_grad():
        model.hf.get_output_embeddings().weight.mul_(2)
        after = model.bridge(tokens)
        torch.testing.assert_close(after, model.hf(input_ids=tokens).logits)
    assert not torch.allclose(before, after)


def test_the_bridge_leaves_the_hugging_face_modules_alone():
    hf = tiny_model()
    modules = [type(module) for module in hf.modules()]
    _ = ie.hook(hf).bridge
    assert [type(module) for module in hf.modules()] == modules


def test_a_tokenizer_in_memory_goes_into_the_bridge():
    tokenizer = tiny_tokenizer()
    assert "name_or_path" not in tokenizer.init_kwargs
    model = ie.hook(tiny_model(), tokenizer=tokenizer)
    assert model.bridge.to_tokens("w5 w6", prepend_bos=True).tolist() == [[0, 5, 6]]
    assert model.bridge.to_tokens("w5 w6", prepend_bos=False).tolist() == [[5, 6]]
    assert "name_or_path" not in tokenizer.init_kwargs


def test_without_a_tokenizer_the_bridge_takes_token_ids():
    model = ie.hook(tiny_model())
    assert model.tokenizer is None
    assert model.bridge(some_tokens()).shape == (3, 9, 64)


def test_a_hooked_model_is_in_evaluation_mode_and_known_by_its_weights():
    first, again, other = (ie.hook(tiny_model(seed=seed).train()) for seed in (0, 0, 1))
    assert not first.hf.training
    assert first.spec == again.spec
    assert first.spec.revision != other.spec.revision


def test_the_dtype_stays_as_it_is():
    model = ie.hook(tiny_model().bfloat16())
    assert model.dtype == torch.bfloat16
    assert model.spec.dtype == "bfloat16"


def test_a_tokenizer_with_more_tokens_than_the_model_embeds_is_refused():
    assert ie.hook(tiny_model(), tokenizer=tiny_tokenizer(64)).d_vocab == 64
    with pytest.raises(ModelError, match=r"does not fit .*: 'w64' has id 64, but the model has ids 0 to 63; give the"):
        ie.hook(tiny_model(), tokenizer=tiny_tokenizer(65))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(bad: float):
    hf = tiny_model()
    hf.gpt_neox.layers[1].mlp.dense_4h_to_h.weight.data[0, 0] = bad
    with pytest.raises(ModelError, match=r"not finite \(gpt_neox.layers.1.mlp.dense_4h_to_h.weight\)"):
        ie.hook(hf)


@pytest.mark.parametrize("module", [nn.Linear(2, 2), tiny_model().gpt_neox], ids=["linear", "no output embeddings"])
def test_a_module_that_is_not_a_causal_language_model_is_refused(module: nn.Module):
    with pytest.raises(ModelError, match="is not a Hugging Face causal language model with output embeddings"):
        ie.hook(module)


def test_untrained_models_have_the_same_shape_and_differ_by_seed_alone():
    model = ie.hook(tiny_model(), tokenizer=tiny_tokenizer())
    first, again, other = (untrained(model, seed) for seed in (0, 0, 1))
    tokens = some_tokens()
    assert first.graph == model.graph
    assert first.tokenizer is model.tokenizer
    assert_same_logits(first.logits(tokens), again.logits(tokens))
    assert differ(first.logits(tokens), other.logits(tokens))
    assert differ(first.logits(tokens), model.logits(tokens))


def test_untrained_models_say_that_they_are():
    model = ie.hook(tiny_model().bfloat16())
    fresh = untrained(model, 3)
    assert fresh.spec.family == "memory, untrained"
    assert (fresh.spec.seed, fresh.spec.step) == (3, 0)
    assert fresh.spec != untrained(model, 4).spec
    assert fresh.dtype == torch.bfloat16


def test_drawing_an_untrained_model_leaves_the_random_state_and_the_model_untouched():
    model = ie.hook(tiny_model())
    weights, state = copy.deepcopy(model.hf.state_dict()), torch.get_rng_state()
    untrained(model, 7)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.hf.state_dict().items())
