import pytest
import torch

import interp_emerge as ie
from interp_emerge.caching.recording import EMBED, mlp_name, pattern_name, record, writer_outputs
from interp_emerge.core.model import hooked
from tests.core.slow_model import SlowModel
from tests.core.small_models import ARCHITECTURES, MORE_ARCHITECTURES, build, random_pairs, small_model


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "qwen3"])
def test_a_recording_holds_what_transformer_lens_records_under_the_same_names(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    recorded = record(model, tokens, patterns=True).activations
    logits, cache = model.bridge.run_with_cache(tokens)
    for name, values in recorded.items():
        expected = logits[:, -1] if name == "logits" else cache[name].flatten(2) if "hook_z" in name else cache[name]
        # Largest difference 5e-6, on values of order 1.
        torch.testing.assert_close(values, expected, atol=3e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    per_layer = {"attn.hook_z", "attn.hook_pattern", "hook_mlp_out"}
    assert {*recorded} == {EMBED, "logits"} | {f"blocks.{layer}.{part}" for layer in range(3) for part in per_layer}


@pytest.mark.parametrize("architecture", MORE_ARCHITECTURES)
def test_writers_and_biases_sum_to_the_final_residual_stream(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    final: list[torch.Tensor] = []
    with torch.no_grad(), hooked([(model.anatomy.final_norm, "input", final.append)]):
        model.logits(tokens)
    biases = [getattr(block.attention_out, "bias", None) for block in model.anatomy.blocks]
    total = writer_outputs(model, record(model, tokens)).sum(2) + sum(bias for bias in biases if bias is not None)
    torch.testing.assert_close(total, final[0], atol=3e-5, rtol=0)


@pytest.mark.parametrize("architecture", MORE_ARCHITECTURES)
def test_every_writer_has_the_output_that_a_slow_reading_of_the_model_gives(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    with torch.no_grad():
        _, written = SlowModel(model.hf).run(tokens)
    outputs = writer_outputs(model, record(model, tokens))
    torch.testing.assert_close(outputs, torch.stack([*written.values()], 2), atol=3e-5, rtol=0)


def test_patterns_are_causal_and_sum_to_one():
    model = small_model("gpt2")
    patterns = record(model, random_pairs().clean, patterns=True).patterns(model.graph.n_layers)
    assert patterns.shape == (6, 3, 4, 7, 7)
    torch.testing.assert_close(patterns.sum(-1), torch.ones(6, 3, 4, 7))
    assert not patterns.triu(1).any()


def test_recording_patterns_changes_no_activation_and_leaves_the_attention_kernel_as_it_was():
    model, tokens = small_model("gpt_neox"), random_pairs().clean
    kernel = model.hf.config._attn_implementation
    without, with_patterns = record(model, tokens).activations, record(model, tokens, patterns=True).activations
    assert kernel == model.hf.config._attn_implementation == "sdpa"
    assert {*with_patterns} - {*without} == {pattern_name(layer) for layer in range(3)}
    for name, values in without.items():
        torch.testing.assert_close(values, with_patterns[name], atol=1e-5, rtol=0)


def test_a_small_budget_records_prompt_by_prompt_with_the_same_result():
    model, tokens = small_model("llama_grouped"), random_pairs().clean
    whole, by_prompt = record(model, tokens).activations, record(model, tokens, budget=1).activations
    for name, values in whole.items():
        torch.testing.assert_close(values, by_prompt[name], atol=1e-5, rtol=0)


def test_some_rows_of_a_recording_are_those_of_the_prompts():
    recording = record(small_model("gpt2"), random_pairs().clean)
    part = recording[slice(2, 4)]
    assert len(part.logits) == 2
    assert (part.activations[mlp_name(1)] == recording.activations[mlp_name(1)][2:4]).all()


def test_an_error_while_recording_leaves_no_hook_and_the_attention_kernel_as_it_was():
    def hooks() -> list[int]:
        return [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.hf.modules()]

    model = ie.hook(build("gpt_neox"))
    record(model, random_pairs().clean, patterns=True)
    before = hooks()  # transformers itself leaves some behind when it first returns patterns
    with pytest.raises(IndexError):
        record(model, torch.full((1, 3), 99), patterns=True)
    assert hooks() == before
    assert model.hf.config._attn_implementation == "sdpa"
