"""Roles beyond the four that a study measures, and the table of all of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

import interp_emerge as ie
from interp_emerge.caching.recording import pattern_name, record, streams, writer_outputs, z_name
from interp_emerge.circuits.known import ground_truth
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._writing import random_tokens, written_for
from interp_emerge.circuits.roles.base import RoleTask
from interp_emerge.circuits.roles.repeated import SEGMENT, repeated_segments
from interp_emerge.circuits.roles.successor import ORDERS, built_in_orders
from interp_emerge.circuits.roles.table import ROLES, family_wise, measure, role_baselines, role_table
from interp_emerge.core.decoder import Norm
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from tests.circuits.roles.movers import names_in_prompts
from tests.models.small_models import (
    ARCHITECTURES,
    DENSE_FORMS,
    HEADS,
    LAYERS,
    VOCABULARY,
    build,
    random_pairs,
    small_model,
    telling_pairs,
)
from tests.patching.scored import score_edges

SAME = 1
"""The head of the models by hand that writes its own token; the others write the next token, and minus the token."""
EVERY_THIRD = torch.arange(1, VOCABULARY, 3)


def passing_on(layers: int) -> HookedModel:
    """A model by hand: tokens are one-hot; a layer's three heads write the next token, the token, and minus it."""
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "n_positions": 48,
        "n_embd": 3 * VOCABULARY,
        "n_layer": layers,
        "n_head": 3,
    }
    hf: Any = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=0))
    identity = torch.eye(VOCABULARY)
    with torch.no_grad():
        for parameter in (hf.transformer.wte.weight, hf.transformer.wpe.weight, *hf.transformer.h.parameters()):
            parameter.zero_()
        hf.transformer.wte.weight[:, :VOCABULARY] = identity
        for block in hf.transformer.h:
            block.ln_1 = nn.Identity()
            for head, written in enumerate((identity.roll(1, 1), identity, -identity)):
                features = slice(head * VOCABULARY, (head + 1) * VOCABULARY)
                block.attn.c_attn.weight[:VOCABULARY, 2 * 3 * VOCABULARY :][:, features] = identity
                block.attn.c_proj.weight[features, :VOCABULARY] = written
    return ie.hook(hf)


@pytest.fixture(scope="module")
def writing() -> HookedModel:
    return passing_on(1)


def scores_of(role: str, model: HookedModel, **given: Any) -> np.ndarray:
    """Scores of every head in a role, shape [sample, head]."""
    return measure(RoleTask(model=model, **given), {role: shelf[role]})[role]


def inhibition_of(model: HookedModel, pairs: ie.PromptPairs, mover: str) -> np.ndarray:
    return scores_of("s_inhibition", model, pairs=pairs, heads={"name_mover": [mover]})


def mean_of(scores: np.ndarray) -> list[float]:
    return scores.mean(0).tolist()


def test_a_head_that_writes_its_token_is_a_name_mover_and_its_opposite_a_negative_one(
    writing: HookedModel,
):
    task = RoleTask(model=writing, tokens=EVERY_THIRD)
    scores = measure(task, {name: shelf[name] for name in ("name_mover", "negative_name_mover")})
    assert scores["name_mover"].shape == (len(EVERY_THIRD), 3)
    assert mean_of(scores["name_mover"]) == [0, 1, 0]
    assert mean_of(scores["negative_name_mover"]) == [0, 0, 1]


def test_a_head_that_writes_the_next_token_is_a_successor_head_on_ascending_lists_only(writing: HookedModel):
    assert mean_of(scores_of("successor", writing, orders=[[5, 6, 7, 8], [20, 21, 22]])) == [1, 0, 0]
    assert scores_of("successor", writing, orders=[[5, 6, 7, 8], [20, 21, 22]]).shape == (5, 3)
    assert mean_of(scores_of("successor", writing, orders=[[8, 7, 6, 5]])) == [0, 0, 0]


def test_eigenvalues_of_copying_by_hand_for_a_copy_its_opposite_and_a_permutation(
    writing: HookedModel,
):
    forward, same, against = scores_of("copying_eigenvalues", writing)[0]
    assert (same, against) == pytest.approx((1, -1), abs=1e-5)
    # Eigenvalues of a cyclic permutation are roots of unity and sum to zero, except for the one that centring moves.
    assert forward == pytest.approx(0, abs=0.05)


def folded(norm: Norm) -> Tensor:
    """The norm as a matrix on column vectors, without its scale."""
    width = 24
    return norm.linear(torch.eye(width), torch.ones(())).T


@torch.no_grad()
@pytest.mark.parametrize("architecture", DENSE_FORMS)
def test_eigenvalues_are_those_of_the_map_from_tokens_to_tokens(architecture: str):
    model = small_model(architecture)
    embedding, unembedding = (
        side.weight.double() for side in (model.hf.get_input_embeddings(), model.hf.get_output_embeddings())
    )
    found, group = scores_of("copying_eigenvalues", model)[0], HEADS // model.graph.n_kv_heads
    for layer, block in enumerate(model.decoder.blocks):
        outputs = block.attention_out.weight().chunk(HEADS, 1)
        for head, output in enumerate(outputs):
            value = folded(block.attention_post_norm) @ output @ block.v.weight()[head // group]
            through = (folded(model.decoder.final_norm) @ value @ folded(block.attention_norm)).double()
            eigenvalues = torch.linalg.eigvals(unembedding @ through @ embedding.T)
            expected = float(eigenvalues.real.sum() / eigenvalues.abs().sum())
            assert found[layer * HEADS + head] == pytest.approx(expected, abs=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("architecture", DENSE_FORMS)
def test_what_a_head_writes_for_a_token_is_its_output_on_that_token_alone(architecture: str):
    model, tokens = ie.hook(build(architecture, layers=2), prepend_bos=False), torch.tensor([3, 9, 17])
    found = written_for(model, tokens)
    outputs = writer_outputs(model, record(model, tokens[:, None]))[:, 0]
    heads = outputs[:, [node.kind == "head" for node in model.graph.writers]]
    # With a norm after attention, the scale, which is common to all heads of a layer, is left out.
    factor = (heads * found).sum(2) / found.square().sum(2)
    torch.testing.assert_close(found * factor[..., None], heads, atol=1e-4, rtol=1e-3)
    if model.decoder.blocks[0].attention_post_norm.module is None:
        torch.testing.assert_close(factor, torch.ones_like(factor), atol=1e-4, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2", "olmo"])
def test_copy_suppression_is_how_much_a_heads_terms_lower_the_logits_of_their_sources(
    architecture: str,
):
    model = small_model(architecture)
    (tokens,), head, layer, step = repeated_segments(model, 1), 2, 1, 0.03
    found = scores_of("copy_suppression", model)
    assert found.shape == (32, LAYERS * HEADS)
    recording, block = record(model, tokens[None], patterns=True), model.decoder.blocks[layer]
    before, final = streams(model, recording)[layer], streams(model, recording)[-1][0]
    v = block.project_one(block.v, block.attention_norm(before))
    attention = recording.activations[pattern_name(layer)]
    joint = block.attention_out(recording.activations[z_name(layer)].flatten(2))
    totals = []
    for query in range(SEGMENT + 1, 2 * SEGMENT):
        total = 0.0
        for source in range(1, query):
            alone = torch.zeros_like(attention)
            alone[0, head, query, source] = attention[0, head, query, source]
            term = block.attention.weigh(alone, v)[:, query].flatten(1)
            term = term @ block.attention_out.weight().T
            if block.attention_post_norm.module is not None:
                term = block.attention_post_norm.linear(term, block.attention_post_norm.scale(joint[:, query]))
            up, down = (model.decoder.logits(final[None, query] + sign * step * term)[0] for sign in (1, -1))
            rise = (up - down) / (2 * step)
            total -= float(rise[tokens[source]] - rise.mean())
        totals.append(total)
    assert found[0, layer * HEADS + head] == pytest.approx(np.mean(totals), rel=0.01, abs=2e-4)


def test_an_induction_head_with_its_sign_changed_suppresses_what_it_attends_to():
    truth = ground_truth("induction")
    (raising,) = scores_of("copy_suppression", truth.model).mean(0)[[1]]
    assert raising < -5
    with torch.no_grad():
        truth.model.decoder.blocks[1].attention_out.weight().neg_()
    assert scores_of("copy_suppression", truth.model).mean(0)[1] > 5


def test_s_inhibition_is_the_effect_of_a_head_on_the_name_movers_queries():
    model = small_model("gpt_neox")
    pairs = telling_pairs(model)
    found = inhibition_of(model, pairs, "a2.h3")
    assert found.shape == (len(pairs), LAYERS * HEADS)
    assert np.isnan(found[:, 2 * HEADS :]).all() and np.isfinite(found[:, : 2 * HEADS]).all()
    # In parallel blocks no MLP lies between layer 1 and the queries of layer 2, so the path is a single edge.
    edges = (
        score_edges(model, pairs, "exact_edges", direction="denoising")
        .to_frame()
        .set_index(["writer", "reader"])["score"]
    )
    for head in range(HEADS):
        assert found[:, HEADS + head].mean() == pytest.approx(edges[f"a1.h{head}", "a2.h3.q"], abs=1e-5)


def test_unknown_name_movers_and_those_of_the_first_layer_are_refused():
    model, pairs = small_model("gpt2"), random_pairs()
    with pytest.raises(UnknownNameError, match=r"unknown head 'a2\.h9'"):
        inhibition_of(model, pairs, "a2.h9")
    with pytest.raises(InputError, match=r"no head runs before a0\.h1"):
        inhibition_of(model, pairs, "a0.h1")


@torch.no_grad()
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_function_vector_is_the_mean_clean_output_put_into_the_corrupted_run(
    architecture: str,
):
    model = small_model(architecture)
    pairs = telling_pairs(model)
    found, corrupt = scores_of("function_vector", model, pairs=pairs), model.logits(pairs.corrupt).softmax(-1)
    assert found.shape == (len(pairs), LAYERS * HEADS)
    _, clean = model.bridge.run_with_cache(pairs.clean)
    rows = torch.arange(len(pairs))
    for layer, head in ((0, 1), (1, 3), (2, 0)):

        def put(z: Tensor, hook: Any, head: int = head) -> Tensor:
            z = z.clone()
            z[:, -1, head] = clean[hook.name][:, -1, head].mean(0)
            return z

        patched = model.bridge.run_with_hooks(pairs.corrupt, fwd_hooks=[(z_name(layer), put)])[:, -1].softmax(-1)
        expected = (patched - corrupt)[rows, pairs.answer]
        np.testing.assert_allclose(found[:, layer * HEADS + head], expected, atol=1e-5)
    assert np.abs(found).max() > 1e-3


def test_the_built_in_lists_are_those_of_single_tokens():
    model = ie.load_family("miniature").load(size="7k")
    (numbers,) = built_in_orders(model)
    assert model.words(numbers) == [*ORDERS["number words"][:11]]
    assert built_in_orders(small_model("gpt2")) == []


def test_lists_that_are_not_an_order_and_tokens_outside_the_vocabulary_are_refused(writing: HookedModel):
    with pytest.raises(InputError, match=r"the ordered list \[3\] needs at least 2 tokens, each once"):
        role_table(writing, roles=["successor"], orders=[[3]])
    with pytest.raises(InputError, match=r"the ordered list \[3, 4, 3\] needs"):
        role_table(writing, roles=["successor"], orders=[[3, 4, 3]])
    with pytest.raises(InputError, match=r"token ids go from 0 to 99, but .* has 40 tokens"):
        role_table(writing, roles=["name_mover"], tokens=[99])


def test_tokens_to_copy_are_different_ordinary_tokens():
    drawn = random_tokens(small_model("gpt2"), seed=0).tolist()
    assert sorted(drawn) == [*range(1, VOCABULARY)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    model = small_model("gpt2")
    return role_table(model, pairs=telling_pairs(model), orders=[[5, 6, 7, 8]], name_movers=["a2.h1"])


def test_the_table_has_interval_and_baseline_of_every_head_in_every_role(table: pd.DataFrame):
    assert [*table["role"].unique()] == shelf.names()
    assert len(table) == len(shelf.names()) * LAYERS * HEADS
    scored = table[table["score"].notna()]
    # Three items of a list are too few for an interval if a head gets them all right, or all wrong.
    defined = scored[scored["ci_low"].notna()]
    assert {*scored.loc[scored["ci_low"].isna(), "role"]} <= {"successor"}
    assert ((defined["ci_low"] <= defined["score"]) & (defined["score"] <= defined["ci_high"])).all()
    assert (defined["clears_baseline"] == (defined["ci_low"] > defined["baseline"])).all()
    assert (defined["note"] == "").all()
    assert ((defined["lacks"] == "") == defined["plays"].fillna(value=False)).all()


def test_heads_that_cannot_play_a_role_are_undefined_with_the_reason_and_never_zero(table: pd.DataFrame):
    undefined = table[table["score"].isna()]
    assert {*undefined["role"]} == {"s_inhibition"} and {*undefined["layer"]} == {2}
    assert undefined["clears_baseline"].isna().all()
    assert undefined["note"].str.startswith("undefined: the head does not run before any name mover").all()


def test_the_four_roles_of_a_study_have_the_baselines_of_a_study(table: pd.DataFrame):
    model = small_model("gpt2")
    baselines = role_baselines(model)
    assert {*baselines} >= {*ROLES}
    for role in ROLES:
        assert table.loc[table["role"] == role, "baseline"].unique() == pytest.approx([baselines[role]])


def test_roles_without_their_input_name_it_in_the_note():
    table = role_table(small_model("gpt2"), roles=["function_vector", "s_inhibition", "successor"])
    notes = table.groupby("role")["note"].unique()
    assert [*notes["function_vector"]] == [*notes["s_inhibition"]] == ["undefined: needs prompt pairs"]
    (note,) = notes["successor"]
    assert note.startswith("undefined: the tokenizer has no ordered list of single tokens")
    assert table[["score", "ci_low", "ci_high", "baseline"]].isna().all(axis=None)


def test_s_inhibition_is_undefined_without_name_movers_or_heads_before_them():
    model = small_model("gpt2", layers=1)
    pairs = telling_pairs(model)
    first = role_table(model, roles=["s_inhibition"], pairs=pairs, name_movers=["a0.h0"])
    assert (first["note"] == "undefined: no head runs before the name movers a0.h0").all()
    none = role_table(model, roles="s_inhibition", pairs=pairs, tokens=[1, 2, 3])
    assert none["note"].str.startswith("undefined: no head plays the role of name movers").all()


def test_a_mover_needs_pairs_with_the_answer_in_the_prompt():
    model = passing_on(1)
    rows = role_table(model, roles="name_mover").set_index("node")
    assert rows["clears_baseline"][f"a0.h{SAME}"] and rows["plays"].isna()[f"a0.h{SAME}"]
    assert rows["lacks"][f"a0.h{SAME}"].endswith("direct effect on the metric: needs prompt pairs")
    # The other heads do not write what they attend to, so they are no movers whatever they attend to.
    assert rows["plays"]["a0.h0"] is not pd.NA and not rows["plays"]["a0.h0"]
    elsewhere = ie.PromptPairs(clean=[[1, 2, 3]] * 3, corrupt=[[1, 4, 3]] * 3, answer=[5, 6, 2], foil=[7, 8, 4])
    lacks = role_table(model, roles="name_mover", pairs=elsewhere).set_index("node")["lacks"]
    assert "the answer does not stand in the prompt in 2 pairs" in lacks[f"a0.h{SAME}"]


def test_no_head_of_a_model_that_attends_evenly_moves_names():
    table = role_table(passing_on(2), roles=["name_mover", "s_inhibition"], pairs=names_in_prompts(24))
    movers = table[table["role"] == "name_mover"].set_index("node")
    assert movers["clears_baseline"][[f"a{layer}.h{SAME}" for layer in (0, 1)]].all()
    assert not movers["plays"].any()
    assert (table["note"][table["role"] == "s_inhibition"].str.startswith("undefined: no head plays the role")).all()


def test_a_vocabulary_too_small_for_repeated_segments_is_a_reason_and_not_an_error():
    config = GPT2Config(vocab_size=10, n_positions=48, n_embd=8, n_layer=10, n_head=4, bos_token_id=0, eos_token_id=0)
    table = role_table(ie.hook(GPT2LMHeadModel(config)), roles=["induction", "copy_suppression", "name_mover"])
    notes = table.set_index("role")["note"]
    for role in ("induction", "copy_suppression"):
        assert notes[role].str.startswith("undefined: this role needs 16 different ordinary tokens").all()
    assert (notes["name_mover"] == "").all()


def test_the_best_of_as_many_heads_rarely_exceeds_the_family_wise_baseline(rng: np.random.Generator):
    found = {8: 0, 270: 0}
    for n_heads in found:
        for _ in range(2000):
            heads = rng.normal(size=100)
            found[n_heads] += rng.normal(size=n_heads).max() > family_wise(heads, n_heads)
    assert max(found.values()) < 0.065 * 2000  # three standard errors above 5%
    assert min(found.values()) > 0.015 * 2000
    assert np.isnan(family_wise(np.array([np.nan, 1.0]), 8))


def test_eigenvalues_are_exact_so_their_score_is_its_own_interval(writing: HookedModel):
    rows = role_table(writing, roles=["copying_eigenvalues"]).set_index("node")
    assert (rows["ci_low"] == rows["score"]).all() and (rows["ci_high"] == rows["score"]).all()
    assert [*rows.index[rows["plays"]]] == [f"a0.h{SAME}"]


def test_a_single_pair_has_no_interval_and_clears_no_baseline():
    model = small_model("gpt2")
    table = role_table(model, roles=["function_vector"], pairs=telling_pairs(model)[:1])
    assert table["score"].notna().all()
    assert table[["ci_low", "clears_baseline"]].isna().all(axis=None)


def test_an_unknown_role_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown role 'inductoin'; did you mean 'induction'\?"):
        role_table(small_model("gpt2"), roles=["inductoin"])
