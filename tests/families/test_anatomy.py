"""Every architecture that is split into heads and edges is split exactly."""

import pytest
import torch

import interp_emerge as ie
from interp_emerge.caching.recording import record, writer_outputs
from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel, hooked
from interp_emerge.families._anatomy import LAYOUTS
from tests.families.tiny import SPLIT, WHOLE, some_tokens, tiny_model


def final_residual(model: HookedModel, tokens: torch.Tensor) -> torch.Tensor:
    seen = []
    with torch.no_grad(), hooked([(model.anatomy.final_norm, "input", seen.append)]):
        model.logits(tokens)
    return seen[0]


def attention_biases(model: HookedModel) -> torch.Tensor:
    biases = [getattr(block.attention_out, "bias", None) for block in model.anatomy.blocks]
    return sum((bias for bias in biases if bias is not None), torch.zeros(model.hf.config.hidden_size))


def test_every_layout_is_proven_below():
    assert {SPLIT[name]().model_type for name in SPLIT} == set(LAYOUTS)


@pytest.mark.parametrize("architecture", SPLIT)
def test_embedding_heads_mlps_and_biases_are_all_of_the_final_residual(architecture: str):
    model, tokens = ie.hook(tiny_model(architecture).double()), some_tokens()
    writers = writer_outputs(model, record(model, tokens))
    residual = final_residual(model, tokens)
    assert writers.shape[2] == len(model.graph.writers)
    assert writers.abs().amax((0, 1, 3)).min() > 1e-3  # every writer has something to say
    torch.testing.assert_close(writers.sum(2) + attention_biases(model), residual, rtol=0, atol=1e-12)


@pytest.mark.parametrize("architecture", SPLIT)
def test_queries_keys_and_values_have_as_many_heads_as_the_graph(architecture: str):
    model = ie.hook(tiny_model(architecture))
    for block in model.anatomy.blocks:
        heads = [projection.weight().shape[0] for projection in (block.q, block.k, block.v)]
        assert heads == [model.graph.n_heads, model.graph.n_kv_heads, model.graph.n_kv_heads]


@pytest.mark.parametrize("architecture", SPLIT)
@pytest.mark.parametrize("part", ["q", "k"])
def test_turning_a_heads_query_or_key_weights_round_changes_the_attention_of_that_head_alone(
    architecture: str, part: str
):
    model, tokens = ie.hook(tiny_model(architecture)), some_tokens()
    before = record(model, tokens, patterns=True).patterns(model.graph.n_layers)
    projection = getattr(model.anatomy.blocks[1], part)
    weight = projection.module.weight
    with torch.no_grad():
        (weight.T if type(projection.module).__name__ == "Conv1D" else weight)[projection.features[1]] *= -1
    after = record(model, tokens, patterns=True).patterns(model.graph.n_layers)
    changed = (before != after).flatten(3).any(3).any(0)
    shared_by = model.graph.n_heads // model.graph.n_kv_heads if part == "k" else 1
    assert changed.nonzero().tolist() == [[1, head] for head in range(shared_by, 2 * shared_by)]


@pytest.mark.parametrize(("architecture", "parallel"), [("gpt_neox", True), ("gpt_neox, one after the other", False)])
def test_the_graph_knows_whether_attention_and_mlp_read_the_same_residual(architecture: str, parallel: bool):
    model = ie.hook(tiny_model(architecture))
    assert model.graph.parallel is parallel
    head, mlp = model.graph.writer_names.index("a0.h0"), model.graph.reader_names.index("m0")
    assert bool(model.graph.exists[head, mlp]) is not parallel


@pytest.mark.parametrize("architecture", WHOLE)
def test_an_architecture_without_a_layout_is_refused_with_the_reason(architecture: str):
    model = ie.hook(tiny_model(architecture))
    with pytest.raises(ModelError, match=f"'{architecture}' is not split .* `.bridge` work") as refusal:
        _ = model.anatomy
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("architecture", WHOLE)
def test_what_the_refusal_says_still_works_does(architecture: str):
    model, tokens = ie.hook(tiny_model(architecture)), some_tokens()
    with torch.no_grad():
        logits = model.hf(input_ids=tokens).logits
        assert torch.equal(model.logits(tokens), logits[:, -1])
        assert torch.equal(model.bridge(tokens), logits)
