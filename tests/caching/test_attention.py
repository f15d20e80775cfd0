"""What heads attend to is what a recording holds, weighted by what is really written, and averaged pair by pair."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.attention import FIRST, LAST, OTHERS, attention_shape, attention_weights
from interp_emerge.caching.recording import EMBED, pattern_name, record, writer_outputs, z_name
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import FORMS, HEADS, LAYERS, random_pairs, small_model

PROMPT = [3, 9, 4, 1, 7, 9, 4]
PLACES = {"early": [1, 2, 1, 3, 2, 1], "end": -2}


def placed_pairs(n: int = 6) -> PromptPairs:
    pairs = random_pairs(n)
    places = {name: [place] * n if isinstance(place, int) else place[:n] for name, place in PLACES.items()}
    fields = {name: getattr(pairs, name) for name in ("clean", "corrupt", "answer", "foil")}
    return PromptPairs(**fields, positions=places)


def patterns_of(model: HookedModel, tokens: torch.Tensor) -> np.ndarray:
    """Shape [pair, head, query, key], heads in the graph's order."""
    return record(model, tokens, patterns=True).patterns(LAYERS).flatten(1, 2).float().numpy()


@pytest.mark.parametrize("architecture", FORMS)
def test_patterns_are_those_of_a_recording_and_rows_sum_to_one(architecture: str):
    model = small_model(architecture)
    found = attention_weights(model, PROMPT)
    assert found.heads == tuple(f"a{layer}.h{head}" for layer in range(LAYERS) for head in range(HEADS))
    np.testing.assert_array_equal(found.weights, patterns_of(model, torch.tensor([PROMPT]))[0])
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert found.uniform is not None
    np.testing.assert_allclose(found.uniform.sum(-1), 1, atol=1e-6)
    assert ((found.weights > 0) <= (found.uniform > 0)).all()


def test_a_head_with_a_window_sees_fewer_tokens_than_one_without():
    uniform = attention_weights(small_model("gemma2"), PROMPT, heads=["a0.h0", "a1.h0"]).uniform
    assert uniform is not None
    assert sorted(uniform[:, 6].max(-1).tolist()) == pytest.approx([1 / 7, 1 / 3])


@pytest.mark.parametrize("architecture", FORMS)
def test_the_first_token_is_weighted_by_all_that_its_heads_write(architecture: str):
    """It sees itself only, so that each head writes exactly this one vector there."""
    model = small_model(architecture)
    tokens = torch.tensor([PROMPT])
    written = writer_outputs(model, record(model, tokens))[0, 0].norm(dim=-1)
    heads = [place for place, node in enumerate(model.graph.writers) if node.kind == "head"]
    found = attention_weights(model, PROMPT, mode="value_weighted")
    np.testing.assert_allclose(found.weights[:, 0, 0], written[heads].detach().numpy(), rtol=2e-4)


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped", "olmo"])
def test_other_tokens_are_weighted_by_what_a_run_writes_that_attends_to_them_only(architecture: str):
    model = small_model(architecture)
    found = attention_weights(model, PROMPT, mode="value_weighted")
    pattern = attention_weights(model, PROMPT)
    for layer, block in enumerate(model.decoder.blocks):
        kept = []
        model.run_with_hooks(
            PROMPT,
            [
                (pattern_name(layer), lambda value, hook: torch.eye(value.shape[-1]).expand_as(value)),
                (z_name(layer), lambda value, hook, kept=kept: kept.append(value.detach())),
            ],
        )
        lengths = block.head_writes(kept[0])[0].norm(dim=-1).detach().numpy()  # [key, head]
        heads = slice(layer * HEADS, (layer + 1) * HEADS)
        np.testing.assert_allclose(found.weights[heads], pattern.weights[heads] * lengths.T[:, None], atol=1e-5)


def test_a_difference_is_clean_minus_corrupt_and_names_both_tokens():
    model, pair = small_model("llama"), random_pairs(1)
    found = attention_weights(model, pair, mode="difference")
    expected = patterns_of(model, pair.clean)[0] - patterns_of(model, pair.corrupt)[0]
    np.testing.assert_array_equal(found.weights, expected)
    assert np.abs(expected).max() > 0.01
    assert found.tokens[0] == str(int(pair.clean[0, 0]))
    assert found.tokens[1] == f"{int(pair.clean[0, 1])} / {int(pair.corrupt[0, 1])}"
    assert found.uniform is None


@pytest.mark.parametrize("mode", ["pattern", "difference"])
def test_pairs_are_averaged_at_their_named_positions(mode):
    model, pairs = small_model("llama_grouped"), placed_pairs()
    found = attention_weights(model, pairs, heads=["a1.h2"], mode=mode)
    assert found.tokens == (FIRST, "early", "end", LAST, OTHERS)
    head = HEADS + 2
    sides = [patterns_of(model, pairs.clean)[:, head]]
    sides += [patterns_of(model, pairs.corrupt)[:, head]] if mode == "difference" else []
    slow = np.zeros((4, 5))
    for sign, side in zip((1, -1), sides, strict=False):
        for pair, full in enumerate(side):
            at = [0, int(pairs.positions["early"][pair]), int(pairs.positions["end"][pair]), 6]
            for row, query in enumerate(at):
                slow[row, :4] += [sign * full[query, key] / 6 for key in at]
                slow[row, 4] += sign * sum(full[query, key] for key in range(7) if key not in at) / 6
    np.testing.assert_allclose(found.weights[0], slow, atol=1e-6)
    assert found.n_pairs == 6
    assert found.low is not None and found.high is not None
    spread = found.low[0, 3, 1] < found.weights[0, 3, 1] < found.high[0, 3, 1]
    assert spread
    if mode == "pattern":
        np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
        assert found.uniform is not None
        np.testing.assert_allclose(found.uniform[0, 3, :4], 1 / 7, atol=1e-6)


def test_pairs_of_several_lengths_are_averaged_where_positions_are_named():
    model, pairs = small_model("gpt2"), placed_pairs()
    short = random_pairs(2, length=5, seed=1)
    both = PromptPairs(
        clean=[*pairs.clean.tolist(), *short.clean.tolist()],
        corrupt=[*pairs.corrupt.tolist(), *short.corrupt.tolist()],
        answer=[*pairs.answer.tolist(), *short.answer.tolist()],
        foil=[*pairs.foil.tolist(), *short.foil.tolist()],
        positions={"early": [*PLACES["early"], 1, 2], "end": [-2] * 8},
    )
    found = attention_weights(model, both)
    parts = [attention_weights(model, both[rows]).weights for rows in (slice(6), slice(6, 8))]
    np.testing.assert_allclose(found.weights, (6 * parts[0] + 2 * parts[1]) / 8, atol=1e-6)


def test_pairs_without_names_are_averaged_position_by_position():
    model, pairs = small_model("gpt_neox"), random_pairs(5)
    found = attention_weights(model, pairs, heads=["a0.h0"])
    np.testing.assert_allclose(found.weights[0], patterns_of(model, pairs.clean)[:, 0].mean(0), atol=1e-6)
    assert found.tokens == tuple(str(place) for place in range(7))


def test_too_few_pairs_have_means_without_intervals():
    found = attention_weights(small_model("gpt_neox"), placed_pairs(3), heads=["a0.h0"])
    assert found.low is not None
    assert np.isnan(found.low[0, 2, 1])


def test_a_shape_is_known_without_running():
    model = small_model("gpt_neox")
    for prompt in (PROMPT, random_pairs(1), random_pairs(3), placed_pairs()):
        found = attention_weights(model, prompt, heads=["a0.h1"])
        assert attention_shape(model, prompt, heads=["a0.h1"]) == (1, len(found.tokens))


def test_the_model_is_left_without_gradients():
    found = record(small_model("gpt_neox"), torch.tensor([PROMPT]), patterns=True)
    attention_weights(small_model("gpt_neox"), PROMPT, mode="value_weighted")
    assert not found.activations[EMBED].requires_grad
    assert all(parameter.grad is None for parameter in small_model("gpt_neox").hf.parameters())


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ([[1, 2], [3, 4]], {}, "cannot show 2 prompts at once"),
        ([1, 2], {"mode": "difference"}, "give ie.PromptPairs"),
        ([1, 2], {"heads": []}, "name at least one head"),
        ([1, 99], {}, "token ids"),
        ("text", {}, "no tokenizer"),
        ({"a": 1}, {}, "prompt cannot be a dict"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(prompt, options: dict, message: str):
    with pytest.raises(InputError, match=message) as refused:
        attention_weights(small_model("gpt_neox"), prompt, **options)
    assert "\n" not in str(refused.value)


def test_an_unknown_head_or_mode_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown head of .* 'a1.h9'; did you mean"):
        attention_weights(small_model("gpt_neox"), PROMPT, heads=["a1.h9"])
    with pytest.raises(UnknownNameError, match="did you mean 'pattern'"):
        attention_weights(small_model("gpt_neox"), PROMPT, mode="patern")  # pyright: ignore[reportArgumentType]


def test_pairs_of_several_lengths_without_names_are_refused():
    pairs = random_pairs(2)
    clean = [pairs.clean[0].tolist(), pairs.clean[1, :5].tolist()]
    corrupt = [pairs.corrupt[0].tolist(), pairs.corrupt[1, :5].tolist()]
    uneven = PromptPairs(clean=clean, corrupt=corrupt, answer=pairs.answer, foil=pairs.foil)
    with pytest.raises(InputError, match="without named positions"):
        attention_weights(small_model("gpt_neox"), uneven)


def test_a_result_that_is_too_large_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("interp_emerge.caching.attention.MOST_BYTES", 1000)
    with pytest.raises(InputError, match="name fewer heads"):
        attention_weights(small_model("gpt_neox"), PROMPT)


def test_weights_that_do_not_fit_heads_and_tokens_are_refused():
    found = attention_weights(small_model("gpt_neox"), PROMPT)
    for wrong in (
        {"weights": found.weights[:, :, :3]},
        {"weights": found.weights[0]},
        {"tokens": found.tokens[:-1]},
        {"heads": found.heads[:-1]},
        {"heads": (found.heads[0],) * len(found.heads)},
        {"weights": np.full_like(found.weights, np.inf)},
        {"uniform": found.weights[:2]},
        {"low": found.weights},
    ):
        with pytest.raises(InputError) as refused:
            replace(found, **wrong)
        assert "\n" not in str(refused.value)
    assert np.isnan(replace(found, weights=np.full_like(found.weights, np.nan)).weights).all()
