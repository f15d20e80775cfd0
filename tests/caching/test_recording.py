"""Recordings agree with TransformerLens and with a slow reading of the model, and leave the model unchanged."""

import pytest
import torch

import interp_emerge as ie
from interp_emerge.caching.recording import (
    EMBED,
    bytes_per_prompt,
    final_logits,
    mlp_name,
    pattern_name,
    record,
    streams,
    writer_outputs,
    z_name,
)
from interp_emerge.core.decoder import Attention
from interp_emerge.core.errors import InputError
from tests.models.computed_apart import assert_same_logits, differ
from tests.models.slow_model import SlowModel
from tests.models.small_models import EVERY_ARCHITECTURE, NO_BRIDGE, build, random_pairs, small_model


@pytest.mark.parametrize("architecture", [name for name in EVERY_ARCHITECTURE if name not in NO_BRIDGE])
def test_a_recording_holds_what_transformer_lens_records_under_the_same_names(architecture: str):
    # TransformerLens refuses Phi's norms of queries and keys, and records no patterns of OPT.
    model = small_model(architecture) if architecture != "phi" else ie.hook(build("phi", qk_layernorm=False))
    tokens = random_pairs().clean
    recorded = record(model, tokens, patterns=True).activations
    cache = model.bridge.run_with_cache(tokens)[1]
    for name, values in recorded.items():
        if architecture == "opt" and name.endswith("hook_pattern"):
            continue
        expected = cache[name]
        # Largest difference 5e-6, on values of order 1.
        torch.testing.assert_close(values, expected, atol=3e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    per_layer = {"attn.hook_z", "attn.hook_pattern", "hook_mlp_out"}
    assert {*recorded} == {EMBED} | {f"blocks.{layer}.{part}" for layer in range(3) for part in per_layer}


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_writers_and_biases_sum_to_the_final_residual_stream(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    recording = record(model, tokens)
    biases = [block.attention_out.bias() for block in model.decoder.blocks]
    total = writer_outputs(model, recording).sum(2) + sum(bias for bias in biases if bias is not None)
    torch.testing.assert_close(total, streams(model, recording)[-1], atol=3e-5, rtol=0)
    normed = model.hf(input_ids=tokens, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(model.decoder.final_norm(total), normed, atol=3e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_streams_are_the_hidden_states_before_each_block(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    hidden = model.hf(input_ids=tokens, output_hidden_states=True).hidden_states
    found = streams(model, record(model, tokens))
    assert len(found) == model.graph.n_layers + 1
    for ours, theirs in zip(found[:-1], hidden[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=0)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_every_writer_has_the_output_that_a_slow_reading_of_the_model_gives(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    with torch.no_grad():
        _, written = SlowModel(model.hf).run(tokens)
    outputs = writer_outputs(model, record(model, tokens))
    # Largest difference 7e-6, on values of order 1.
    torch.testing.assert_close(outputs, torch.stack([*written.values()], 2), atol=3e-5, rtol=0)
    assert outputs.abs().amax((0, 1, 3)).min() > 0.01  # no writer's output is zero


def test_patterns_are_causal_and_sum_to_one():
    model = small_model("gpt2")
    patterns = record(model, random_pairs().clean, patterns=True).patterns(model.graph.n_layers)
    assert patterns.shape == (6, 3, 4, 7, 7)
    torch.testing.assert_close(patterns.sum(-1), torch.ones(6, 3, 4, 7))
    assert not patterns.triu(1).any()


def test_recording_patterns_changes_neither_activations_nor_the_attention_kernel():
    model, tokens = small_model("gpt_neox"), random_pairs().clean
    kernel = model.hf.config._attn_implementation
    without, with_patterns = record(model, tokens).activations, record(model, tokens, patterns=True).activations
    assert kernel == model.hf.config._attn_implementation == "sdpa"
    assert {*with_patterns} - {*without} == {pattern_name(layer) for layer in range(3)}
    for name, values in without.items():
        torch.testing.assert_close(values, with_patterns[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_a_small_budget_records_prompt_by_prompt_with_the_same_result(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    least = bytes_per_prompt(model, tokens.shape[1])
    whole, by_prompt = record(model, tokens).activations, record(model, tokens, budget=least).activations
    for name, values in whole.items():
        # With the last bit of every product changed at random the largest difference is 1.5e-5.
        torch.testing.assert_close(values, by_prompt[name], atol=5e-5, rtol=0)


def test_a_budget_that_no_prompt_fits_is_refused():
    with pytest.raises(
        InputError, match=r"one prompt needs about \S+ KiB, but only 1 bytes are allowed; raise the budget"
    ):
        record(small_model("gpt2"), random_pairs().clean, budget=1)


def test_the_memory_estimate_exceeds_the_recorded_bytes():
    model, tokens = small_model("gemma2"), random_pairs().clean
    kept = record(model, tokens, patterns=True).activations
    bytes_kept = sum(values.numel() * values.element_size() for values in kept.values()) / len(tokens)
    assert bytes_kept < bytes_per_prompt(model, tokens.shape[1]) < 10 * bytes_kept


def test_some_rows_of_a_recording_are_those_of_the_prompts():
    recording = record(small_model("gpt2"), random_pairs().clean)
    part = recording[slice(2, 4)]
    assert len(part.activations[EMBED]) == 2
    assert (part.activations[mlp_name(1)] == recording.activations[mlp_name(1)][2:4]).all()


def test_z_is_recorded_for_each_head():
    model = small_model("qwen3")
    z = record(model, random_pairs().clean).activations[z_name(1)]
    assert z.shape == (6, 7, model.graph.n_heads, 8)


def test_recording_in_half_precision_keeps_the_models_precision():
    kept = record(ie.hook(build("gpt2").bfloat16()), random_pairs().clean, patterns=True).activations
    assert {values.dtype for values in kept.values()} == {torch.bfloat16}


def test_a_model_in_training_mode_is_recorded_in_evaluation_mode_and_stays_in_training_mode():
    model = ie.hook(build("opt", dropout=0.5))
    expected = final_logits(model, record(model, random_pairs().clean))
    model.hf.train()
    assert_same_logits(final_logits(model, record(model, random_pairs().clean)), expected)
    with torch.no_grad():
        assert differ(model.hf(random_pairs().clean).logits[:, -1], expected)
    assert all(part.training for part in model.hf.modules())


def test_an_error_while_recording_leaves_no_hook_and_the_same_attention_kernel(monkeypatch: pytest.MonkeyPatch):
    def hooks() -> list[int]:
        return [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.hf.modules()]

    model = ie.hook(build("gpt_neox"))
    model.decoder.prove_gradients()

    def fail(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(Attention, "pattern", fail)
    with pytest.raises(IndexError):
        record(model, torch.full((1, 3), 9), patterns=True)
    assert not any(hooks())
    assert model.hf.config._attn_implementation == "sdpa"
