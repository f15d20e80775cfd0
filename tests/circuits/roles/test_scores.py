import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

import interp_emerge as ie
from interp_emerge.caching.recording import record, streams, writer_outputs
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.repeated import SEGMENT, repeated_segments, shuffled_again
from interp_emerge.circuits.roles.table import (
    ROLES,
    all_measured,
    role_baselines,
    role_frame,
    role_scores,
    roles_named,
)
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import ARCHITECTURES, DENSE_FORMS, build, linear_model, small_model

SHIFTS = {"previous_token": 1, "duplicate_token": SEGMENT, "induction": SEGMENT - 1}
LENGTH = 2 * SEGMENT + 1


@pytest.fixture(scope="module")
def shifting() -> HookedModel:
    """A model by hand: positions are one-hot, and each of its three heads attends a fixed number of positions back."""
    width = 48
    config = GPT2Config(vocab_size=40, n_positions=width, n_embd=3 * width, n_layer=1, n_head=3, bos_token_id=0)
    hf: Any = GPT2LMHeadModel(config)
    attention = hf.transformer.h[0].attn.c_attn
    hf.transformer.h[0].ln_1 = nn.Identity()
    with torch.no_grad():
        for parameter in (hf.transformer.wte.weight, hf.transformer.wpe.weight, attention.weight, attention.bias):
            parameter.zero_()
        hf.transformer.wpe.weight[:, :width] = torch.eye(width)
        for head, shift in enumerate(SHIFTS.values()):
            queries, keys = head * width, (3 + head) * width
            attention.weight[:width, queries : queries + width] = 300 * torch.eye(width).roll(-shift, 1)
            attention.weight[:width, keys : keys + width] = torch.eye(width)
    return ie.hook(hf)


def test_a_head_made_to_attend_as_a_role_says_scores_one_in_that_role_only(shifting: HookedModel):
    scores = role_scores(shifting)
    for head, role in enumerate(SHIFTS):
        np.testing.assert_allclose(scores[role][:, head], 1, atol=1e-3)
        # At positions before its shift, a head has nothing to match and attends evenly.
        assert all(scores[other][:, head].mean() < 0.1 for other in SHIFTS if other != role)


def test_a_head_that_attends_evenly_scores_one_over_the_number_of_tokens_before():
    scores = role_scores(linear_model("gpt2"))
    everywhere = np.mean([1 / (position + 1) for position in range(2, LENGTH)])
    second = np.mean([1 / (position + 1) for position in range(SEGMENT + 1, LENGTH - 1)])
    np.testing.assert_allclose(scores["previous_token"], everywhere, atol=1e-6)
    np.testing.assert_allclose(scores["duplicate_token"], second, atol=1e-6)
    np.testing.assert_allclose(scores["induction"], second, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_scores_are_means_of_the_patterns_of_transformer_lens(architecture: str):
    model = small_model(architecture)
    tokens = repeated_segments(model)
    _, cache = model.bridge.run_with_cache(tokens)
    scores = role_scores(model)
    for layer in range(3):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        heads = slice(4 * layer, 4 * layer + 4)
        for role, shift in SHIFTS.items():
            queries = range(2, LENGTH) if role == "previous_token" else range(SEGMENT + 1, LENGTH - 1)
            expected = torch.stack([pattern[:, :, query, query - shift] for query in queries]).mean(0)
            np.testing.assert_allclose(scores[role][:, heads], expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("architecture", DENSE_FORMS)
def test_copying_is_the_change_of_the_induced_tokens_logit_with_the_heads_output(architecture: str):
    model = ie.hook(build(architecture))
    tokens, found = repeated_segments(model), role_scores(model)["copying"]
    recording = record(model, tokens)
    queries = torch.arange(SEGMENT + 1, LENGTH - 1)
    final, written = (
        values[:, queries].double() for values in (streams(model, recording)[-1], writer_outputs(model, recording))
    )
    model.hf.double()

    def rise(change: Tensor) -> Tensor:
        logits = model.decoder.logits(final + change)
        return (logits.gather(2, tokens[:, queries + 1, None])[..., 0] - logits.mean(2)).mean(1)

    heads = [index for index, node in enumerate(model.graph.writers) if node.kind == "head"]
    step = 0.03  # long enough for norms that compute in float32 whatever the model's dtype
    for column, head in enumerate(heads):
        expected = (rise(step * written[:, :, head]) - rise(-step * written[:, :, head])) / (2 * step)
        np.testing.assert_allclose(found[:, column], expected, atol=3e-4, rtol=1e-3)
    assert np.abs(found).max() > 0.01


def test_the_prompts_are_a_segment_of_distinct_tokens_and_its_repetition():
    tokens = repeated_segments(small_model("gpt2"), n=5)
    assert tokens.shape == (5, LENGTH)
    assert (tokens[:, 0] == 0).all() and not (tokens[:, 1:] == 0).any()
    assert (tokens[:, 1 : 1 + SEGMENT] == tokens[:, 1 + SEGMENT :]).all()
    assert all(len(set(row)) == SEGMENT for row in tokens[:, 1 : 1 + SEGMENT].tolist())


def test_a_vocabulary_that_is_too_small_is_refused():
    small = GPT2Config(vocab_size=10, n_positions=48, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)
    with pytest.raises(InputError, match=r"needs 16 different ordinary tokens; .* has 9"):
        repeated_segments(ie.hook(GPT2LMHeadModel(small)))


def test_the_baseline_of_attention_is_slightly_above_even_attention():
    baselines = role_baselines(small_model("gpt_neox"))
    even = np.mean([1 / (position + 1) for position in range(2, LENGTH)])
    second = np.mean([1 / (position + 1) for position in range(SEGMENT + 1, LENGTH - 1)])
    assert even < baselines["previous_token"] < 1.1 * even
    assert second < baselines["duplicate_token"] < 1.1 * second
    assert second < baselines["induction"] < 1.1 * second
    assert 0 < baselines["copying"] < 0.1


def test_a_head_made_by_hand_clears_the_baseline_of_its_role_only(shifting: HookedModel):
    frame = role_frame(shifting, dict.fromkeys(all_measured(roles_named(ROLES)), 0.2))
    assert len(frame) == 3 * len(ROLES)
    clears = frame[frame["clears_baseline"] & (frame["role"] != "copying")]
    assert [*zip(clears["node"], clears["role"], strict=True)] == [
        (f"a0.h{head}", role) for head, role in enumerate(SHIFTS)
    ]
    assert ((frame["ci_low"] <= frame["score"]) & (frame["score"] <= frame["ci_high"])).all()


def test_a_head_that_attends_a_fixed_distance_back_is_no_duplicate_token_or_induction_head(shifting: HookedModel):
    frame = role_frame(shifting, role_baselines(shifting)).set_index(["node", "role"])
    assert [*frame.index[frame["plays"]]] == [("a0.h0", "previous_token")]
    for node, role in (("a0.h1", "duplicate_token"), ("a0.h2", "induction")):
        assert frame["score"][node, role] > 0.99
        assert frame["attention"][node, role] == pytest.approx(0, abs=1e-3)
        assert "attention there beyond that if the second pass is shuffled" in frame["lacks"][node, role]


def test_a_shuffled_second_pass_has_the_tokens_of_the_first_in_another_order():
    tokens = repeated_segments(small_model("gpt2"), n=5)
    shuffled = shuffled_again(tokens, seed=0)
    assert (shuffled[:, : 1 + SEGMENT] == tokens[:, : 1 + SEGMENT]).all()
    assert (shuffled[:, 1 + SEGMENT :].sort(1)[0] == tokens[:, 1 + SEGMENT :].sort(1)[0]).all()
    assert (shuffled[:, 1 + SEGMENT :] == tokens[:, 1 + SEGMENT :]).float().mean() < 0.3


PAGE = (Path(__file__).parents[3] / "docs" / "roles.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", shelf.names())
def test_the_page_has_definition_formula_unit_baseline_warning_and_source_of_every_role(name: str):
    section, role = SECTIONS[name], shelf[name]
    for part in ("Definition.", "Formula.", "Unit.", "Baseline.", "Plays it:", "Misleads", "Source."):
        assert f"**{part}**" in section, f"{name} lacks {part}"
    assert f"**Unit.** {role.unit}" in section
    assert f"{role.source.authors}, {role.source.year}, {role.source.url}" in " ".join(section.split())


def test_the_page_lists_all_roles_with_unit_and_sign():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.) \|$", PAGE, re.MULTILINE)
    signs = {1: "+", -1: "−", None: "±"}
    assert {(name, unit.replace("\\", ""), sign) for name, unit, _, sign in rows} == {
        (role.name, role.unit, signs[role.expected_sign]) for role in shelf
    }
    assert {name for name in SECTIONS if "**Formula.**" in SECTIONS[name]} == {*shelf.names()}
