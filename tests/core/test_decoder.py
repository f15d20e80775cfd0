"""A model that is run by its parts is the model, whole and in pieces."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import interp_emerge as ie
from interp_emerge.core.decoder import Block, Norm, only_running
from interp_emerge.core.model import HookedModel
from tests.models.small_models import EVERY_ARCHITECTURE, build, random_pairs, small_model

TOKENS = random_pairs(3, length=9).clean


def run_by_parts(model: HookedModel, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits at every position, and the stream before each block and after all of them."""
    streams = [model.decoder.embed(tokens)]
    for block in model.decoder.blocks:
        q, k, v = block.project(block.attention_norm(streams[-1]))
        attended = streams[-1] + block.attention_writes(block.attention.mix(q, k, v))
        streams.append(attended + block.mlp_writes(streams[-1] if block.parallel else attended))
    return model.decoder.logits(streams[-1]), streams


def projected(model: HookedModel, layer: int = 1) -> tuple[Block, list[Tensor]]:
    """A block with its queries, keys and values on the tokens of these tests."""
    block, stream = model.decoder.blocks[layer], run_by_parts(model, TOKENS)[1][layer]
    return block, [*block.project(block.attention_norm(stream))]


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # Largest differences 1e-6, 2e-6 and 0.07: modules of transformers compute some steps in float32.
    [(torch.float64, 1e-5), (torch.float32, 3e-5), (torch.bfloat16, 0.2)],
    ids=str,
)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_the_parts_put_together_give_the_models_logits_at_every_position(
    architecture: str, dtype: torch.dtype, tolerance: float
):
    if architecture == "qwen3_moe" and dtype == torch.float64:
        pytest.skip("experts of transformers do not run in float64")
    model = ie.hook(build(architecture).to(dtype))
    expected = model.hf(input_ids=TOKENS).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(run_by_parts(model, TOKENS)[0], expected, atol=tolerance, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_streams_between_blocks_are_the_models_hidden_states(architecture: str):
    model = small_model(architecture)
    hidden = model.hf(input_ids=TOKENS, output_hidden_states=True).hidden_states
    streams = run_by_parts(model, TOKENS)[1]
    for ours, theirs in zip(streams[:-1], hidden[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=0)
    torch.testing.assert_close(model.decoder.final_norm(streams[-1]), hidden[-1], atol=3e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_patterns_are_those_of_transformers_plain_attention(architecture: str):
    hf = build(architecture, attn_implementation="eager")
    model, expected = ie.hook(hf), hf(input_ids=TOKENS, output_attentions=True).attentions
    for layer in range(3):
        block, (q, k, _) = projected(model, layer)
        torch.testing.assert_close(block.attention.pattern(q, k), expected[layer], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_what_heads_make_is_their_pattern_times_their_values(architecture: str):
    block, (q, k, v) = projected(small_model(architecture))
    z = block.attention.mix(q, k, v)
    assert z.shape == q.shape
    torch.testing.assert_close(z, block.attention.weigh(block.attention.pattern(q, k), v), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
@pytest.mark.parametrize("last", [1, 4])
def test_the_last_queries_alone_give_the_last_rows(architecture: str, last: int):
    block, (q, k, v) = projected(small_model(architecture))
    attention = block.attention
    torch.testing.assert_close(attention.mix(q[:, -last:], k, v), attention.mix(q, k, v)[:, -last:], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        attention.pattern(q[:, -last:], k), attention.pattern(q, k)[:, :, -last:], atol=1e-6, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_what_heads_write_sums_to_what_attention_writes_but_for_a_constant(architecture: str):
    block, (q, k, v) = projected(small_model(architecture))
    z = block.attention.mix(q, k, v)
    rest = block.attention_writes(z) - block.head_writes(z).sum(2)
    bias = block.attention_out.bias()
    torch.testing.assert_close(
        rest, torch.zeros_like(rest) if bias is None else bias.expand_as(rest), atol=1e-5, rtol=0
    )
    assert block.head_writes(z).abs().amax((0, 1, 3)).min() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("part", [0, 1], ids=["query", "key"])
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_turning_a_query_or_key_round_changes_the_heads_that_the_graph_says_it_reaches(architecture: str, part: int):
    model = small_model(architecture)
    graph, (block, sides) = model.graph, projected(model)
    before = block.attention.pattern(*sides[:2])
    # Scaled as well: a norm over all heads does not see a sign.
    at = min(1, sides[part].shape[2] - 1)
    sides[part] = sides[part].index_copy(2, torch.tensor([at]), -3 * sides[part][:, :, at : at + 1])
    # With the last bit of every product changed at random, heads that it does not reach move by 5e-7, others by 0.13.
    changed = ((block.attention.pattern(*sides[:2]) - before).abs() > 1e-3).any(-1).any(-1).any(0)
    name = "a1.h1.q" if part == 0 else "a1.h1.k" if graph.n_kv_heads == graph.n_heads else f"a1.kv{at}.k"
    # A norm after attention comes later: patterns do not see it.
    reached = replace(graph, rescaled=False).reaches[graph.reader_names.index(name)].nonzero()[0]
    assert [f"a1.h{head}" for head in changed.nonzero()[:, 0].tolist()] == [graph.writer_names[at] for at in reached]


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["bloom", "mpt"])
def test_linear_biases_are_those_of_transformers_also_when_the_heads_are_no_power_of_two(architecture: str):
    model = ie.hook(build(architecture, num_attention_heads=6))
    torch.testing.assert_close(run_by_parts(model, TOKENS)[0], model.hf(input_ids=TOKENS).logits, atol=3e-5, rtol=0)


@torch.no_grad()
def test_embeddings_that_are_narrower_than_the_stream_are_widened_and_narrowed_again():
    model = ie.hook(build("opt", word_embed_proj_dim=16))
    assert model.decoder.embed(TOKENS).shape == (3, 9, 24)
    torch.testing.assert_close(run_by_parts(model, TOKENS)[0], model.hf(input_ids=TOKENS).logits, atol=3e-5, rtol=0)


def norms(architecture: str) -> dict[str, Norm]:
    """Every norm that a middle block and the end of the model have."""
    decoder = small_model(architecture).decoder
    names = ("attention_norm", "attention_post_norm", "mlp_norm", "mlp_post_norm")
    found = {name: getattr(decoder.blocks[1], name) for name in names} | {"final_norm": decoder.final_norm}
    return {name: norm for name, norm in found.items() if norm.module is not None}


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
@pytest.mark.parametrize("size", [0.002, 1.0, 50.0])
def test_a_gradient_is_pulled_back_through_a_norm_as_autograd_does(architecture: str, size: float):
    for norm in norms(architecture).values():
        x, gradient = size * torch.randn(5, 3, 24), torch.randn(5, 3, 24)
        expected = torch.func.vjp(norm, x)[1](gradient)[0]
        torch.testing.assert_close(norm.pull_back(gradient, x), expected, atol=1e-5 / size, rtol=1e-4)


def test_pulled_back_gradients_broadcast_over_the_inputs():
    norm = small_model("gpt_neox").decoder.final_norm
    x, gradients = torch.randn(5, 24), torch.randn(7, 5, 24)
    each = torch.stack([norm.pull_back(gradient, x) for gradient in gradients])
    torch.testing.assert_close(norm.pull_back(gradients, x), each)


@torch.no_grad()
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_parts_of_a_norms_input_sum_to_its_output_less_its_bias(architecture: str):
    for norm in norms(architecture).values():
        parts = torch.randn(6, 5, 24)
        total = parts.sum(0)
        bias = getattr(norm.module, "bias", None)
        expected = norm(total) - (0 if bias is None else bias)
        torch.testing.assert_close(norm.linear(parts, norm.scale(total)).sum(0), expected, atol=1e-5, rtol=0)


def test_no_norm_changes_nothing():
    none, x = Norm(module=None), torch.randn(3, 24)
    assert none(x) is x and none.linear(x, x[:, :1]) is x and none.pull_back(x, x) is x


def test_a_gradient_in_half_precision_is_pulled_back_with_the_precision_of_float32():
    module = nn.LayerNorm(24)
    nn.init.normal_(module.weight)
    x, gradient = torch.randn(3, 24).bfloat16(), torch.randn(3, 24).bfloat16()
    full = Norm(module=module, centred=True, eps=1e-5).pull_back(gradient.float(), x.float())
    half = Norm(module=module.bfloat16(), centred=True, eps=1e-5).pull_back(gradient, x)
    assert half.dtype == torch.bfloat16
    # Weights are rounded to one part in 256, and so is the result.
    torch.testing.assert_close(half.float(), full, rtol=0, atol=0.02 * float(full.abs().max()))


def state(hf: Any) -> list[tuple[bool, ...]]:
    return [(*(part.training for part in hf.modules()), *(weight.requires_grad for weight in hf.parameters()))]


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_flags_are_off_while_only_running_and_then_as_they_were(error: type[BaseException] | None):
    hf = build("gpt2").train()
    hf.transformer.h[1].eval()
    hf.transformer.wpe.requires_grad_(False)
    before = state(hf)

    def run() -> None:
        with only_running(hf):
            assert not any(flag for flags in state(hf) for flag in flags)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert state(hf) == before


def test_gradients_flow_through_the_parts_to_their_inputs():
    model = small_model("gemma2")
    with model.running():
        stream = model.decoder.embed(TOKENS).detach().requires_grad_()
        block = model.decoder.blocks[0]
        q, k, v = block.project(block.attention_norm(stream))
        (gradient,) = torch.autograd.grad(block.attention_writes(block.attention.mix(q, k, v)).sum(), stream)
    assert gradient.abs().min() > 0
