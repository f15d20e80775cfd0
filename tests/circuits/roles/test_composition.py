import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.circuits.roles._head_weights import HeadWeights
from interp_emerge.circuits.roles.composition import composition_scores
from interp_emerge.core.decoder import Block, Norm
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import FORMS, HEADS, WIDTH, build, random_pairs, small_model
from tests.patching.scored import score_edges


def folded(norm: Norm) -> Tensor:
    """The norm as a matrix on column vectors, without its scale."""
    return norm.linear(torch.eye(WIDTH), torch.ones(())).T


def matrices(block: Block) -> tuple[list[Tensor], list[Tensor]]:
    """Each head's W_QK and W_OV, d_model × d_model."""
    group = block.q.n_heads // block.k.n_heads
    read, written = folded(block.attention_norm), folded(block.attention_post_norm)
    outputs = block.attention_out.weight().chunk(block.q.n_heads, 1)
    of_keys, of_values = [], []
    for head, out in enumerate(outputs):
        shared = head // group
        of_keys.append((block.q.weight()[head] @ read).T @ (block.k.weight()[shared] @ read))
        of_values.append(written @ out @ block.v.weight()[shared] @ read)
    return of_keys, of_values


def by_definition(reads: list[Tensor], writes: Tensor) -> float:
    """Composition by its definition, with a reader's matrices stacked."""
    read = torch.cat(reads)
    return float((read @ writes).norm() / (read.norm() * writes.norm()))


@torch.no_grad()
@pytest.mark.parametrize("architecture", FORMS)
def test_scores_equal_those_of_the_full_matrices(architecture: str):
    model = small_model(architecture)
    found = composition_scores(model).set_index(["writer", "reader"])["composition"]
    of_layer = [matrices(block) for block in model.decoder.blocks]
    group, checked = model.graph.n_heads // model.graph.n_kv_heads, 0
    for writer, reader in found.index:
        source, target = (next(n for n in nodes if model.graph.node_name(n) == name) for nodes, name in
                          ((model.graph.writers, writer), (model.graph.readers, reader)))  # fmt: skip
        of_keys, of_values = of_layer[target.layer]
        shared = slice(target.index * group, (target.index + 1) * group)
        reads = {"q": [of_keys[target.index % HEADS].T], "k": of_keys[shared], "v": of_values[shared]}[target.kind]
        expected = by_definition(reads, of_layer[source.layer][1][source.index])
        assert found[writer, reader] == pytest.approx(expected, rel=1e-4)
        checked += 1
    assert checked == 3 * HEADS * (HEADS + 2 * model.graph.n_kv_heads)
    assert np.ptp(found.to_numpy()) > 0.05


@pytest.fixture
def one_pair() -> HookedModel:
    """All attention weights are zero except for a0.h1, which writes feature 3, and the keys of a1.h2, which read it."""
    hf = build("llama", layers=2)
    with torch.no_grad():
        for layer in hf.model.layers:
            layer.input_layernorm.weight.fill_(1)
            for parameter in layer.self_attn.parameters():
                parameter.zero_()
        size = WIDTH // HEADS
        first, second = (layer.self_attn for layer in hf.model.layers)
        first.v_proj.weight[size, 0] = 2.0
        first.o_proj.weight[3, size] = 0.5
        second.q_proj.weight[2 * size, 7] = 1.5
        second.k_proj.weight[2 * size, 3] = 3.0
    return ie.hook(hf)


def test_heads_made_to_compose_through_keys_score_one_there_and_zero_through_queries(one_pair: HookedModel):
    frame = composition_scores(one_pair).set_index(["writer", "reader"])["composition"]
    assert frame["a0.h1", "a1.h2.k"] == pytest.approx(1, abs=1e-6)
    assert frame["a0.h1", "a1.h2.q"] == 0


def test_the_composition_of_a_head_of_zeros_is_undefined(one_pair: HookedModel):
    frame = composition_scores(one_pair).set_index(["writer", "reader"])["composition"]
    assert frame.notna().sum() == 2
    assert np.isnan(frame["a0.h0", "a1.h2.k"])
    assert np.isnan(frame["a0.h1", "a1.h2.v"])


def test_keys_that_read_a_second_feature_as_strongly_halve_the_squared_score(one_pair: HookedModel):
    with torch.no_grad():
        one_pair.hf.model.layers[1].self_attn.k_proj.weight[2 * WIDTH // HEADS, 4] = 3.0
    frame = composition_scores(one_pair).set_index(["writer", "reader"])["composition"]
    assert frame["a0.h1", "a1.h2.k"] == pytest.approx(0.5**0.5, abs=1e-6)


@torch.no_grad()
def test_the_baseline_is_the_root_mean_square_over_random_rotations_of_the_output():
    model = small_model("llama")
    of_keys, of_values = (
        matrices(block)[side] for side, block in ((0, model.decoder.blocks[1]), (1, model.decoder.blocks[0]))
    )
    generator, squares = torch.Generator().manual_seed(0), []
    for _ in range(2000):
        rotation, r = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))
        turned = rotation * r.diagonal().sign() @ of_values[0]
        squares.append(by_definition([of_keys[0]], turned) ** 2)
    assert np.mean(squares) ** 0.5 == pytest.approx(composition_scores(model)["baseline"][0], rel=0.01)


def test_rows_are_the_edges_from_heads_to_heads_and_merge_with_measured_ones():
    model = small_model("llama_grouped")
    merged = composition_scores(model).merge(
        score_edges(model, random_pairs(), "eap").to_frame(), on=["writer", "reader"]
    )
    assert len(merged) == len(composition_scores(model)) == 3 * HEADS * (HEADS + 2 * 2)
    assert {"composition", "baseline", "score"} <= set(merged.columns)
    assert merged["reader"][merged["kind"] == "K"].str.contains(r"kv\d\.k$").all()


def test_a_model_of_one_layer_has_no_composition():
    frame = composition_scores(small_model("gpt2", layers=1))
    assert frame.empty
    assert [*frame.columns] == ["writer", "reader", "kind", "composition", "baseline"]


def test_small_pieces_give_the_same_scores_and_a_budget_that_holds_no_writer_is_refused():
    model = small_model("gpt2")
    whole = composition_scores(model)["composition"]
    np.testing.assert_allclose(composition_scores(model, budget=4000)["composition"], whole, rtol=1e-6)
    with pytest.raises(InputError, match=r"one writer needs about .* are allowed; raise the budget"):
        composition_scores(model, budget=100)


def test_half_precision_is_scored_in_single_precision():
    weights = HeadWeights.of(ie.hook(build("gpt2").half()).decoder.blocks[0])
    assert {weights.q.dtype, weights.k.dtype, weights.v.dtype, weights.o.dtype} == {torch.float32}
