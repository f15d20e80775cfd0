"""Runs whose activations are kept or replaced, compared with TransformerLens's bridge of the same weights."""

from typing import Any

import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.activations import HOOKS, hook_name
from interp_emerge.core.errors import InputError, UnknownNameError
from tests.models.small_models import random_pairs, small_model

TOKENS = random_pairs(3, length=7).clean
ARCHITECTURES = ("gpt2", "gpt_neox", "llama")
"""Serial blocks, parallel blocks, and keys and values that heads share."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_activation_and_the_logits_are_those_of_the_bridge(architecture: str) -> None:
    model = small_model(architecture)
    logits, cache = model.run_with_cache(TOKENS)
    expected, theirs = model.bridge.run_with_cache(TOKENS)

    torch.testing.assert_close(logits, expected, atol=3e-5, rtol=0)
    parallel = model.graph.parallel
    assert len(cache) == model.graph.n_layers * (len(HOOKS) - parallel)
    assert ("blocks.0.hook_resid_mid" in cache) != parallel
    for name in cache:
        # Largest difference 2e-6.
        torch.testing.assert_close(cache[name], theirs[name], atol=3e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", [kind for kind in HOOKS if kind != "resid_mid"])
def test_an_activation_that_is_replaced_acts_as_in_the_bridge(architecture: str, kind: str) -> None:
    model = small_model(architecture)

    def halve(value: torch.Tensor, hook: Any) -> torch.Tensor:
        assert hook.layer() == 1
        return value / 2

    found = model.run_with_hooks(TOKENS, fwd_hooks=[(hook_name(kind, 1), halve)])
    expected = model.bridge.run_with_hooks(TOKENS, fwd_hooks=[(hook_name(kind, 1), halve)])
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=0)
    assert (found - model.run_with_cache(TOKENS)[0]).abs().max() > 1e-3


def test_a_name_a_kind_with_its_layer_and_a_recording_give_the_same_tensor() -> None:
    model = small_model("gpt2")
    _, cache = model.run_with_cache(TOKENS, names=["blocks.1.attn.hook_z", "blocks.0.attn.hook_pattern"])
    recorded = ie.record(model, TOKENS, patterns=True)

    assert [*cache] == ["blocks.1.attn.hook_z", "blocks.0.attn.hook_pattern"]
    assert cache["z", 1] is cache["blocks.1.attn.hook_z"]
    assert torch.equal(cache["z", 1], recorded["z", 1])
    assert torch.equal(cache["pattern", 0], recorded.patterns(model.graph.n_layers)[:, 0])
    assert torch.equal(cache[1:]["z", 1], cache["z", 1][1:])


def test_a_text_is_run_behind_the_tokens_that_prompts_begin_with() -> None:
    model = ie.load_family("miniature").load("3k", "last", 0)
    text = model.tokenizer.decode(model.ordinary_ids[5:9])
    ids = model.bos + model.encode(text)
    assert len(ids) > len(model.bos)

    assert torch.equal(model.run_with_cache(text)[0], model.run_with_cache(torch.tensor([ids]))[0])
    assert torch.equal(model.run_with_cache([text, text])[0], model.run_with_cache([ids, ids])[0])
    assert torch.equal(model.run_with_cache(ids, names=[])[0], model.run_with_cache(text)[0])


def test_hooks_are_chosen_by_a_function_of_their_names_and_run_in_the_order_given() -> None:
    model, met = small_model("gpt2"), []
    hooks: list[Any] = [
        (lambda name: name.endswith("hook_z"), lambda value, hook: met.append(hook.name)),
        ("blocks.1.attn.hook_z", lambda value, hook: met.append("then")),
    ]
    same = model.run_with_hooks(TOKENS, fwd_hooks=hooks)

    first, second, *others = (hook_name("z", layer) for layer in range(model.graph.n_layers))
    assert met == [first, second, "then", *others]
    assert torch.equal(same, model.run_with_cache(TOKENS, names=[])[0]), "hooks that return None change nothing"


def test_gradients_reach_what_a_hook_puts_in() -> None:
    model = small_model("gpt2")
    z = model.run_with_cache(TOKENS)[1]["z", 0].clone().requires_grad_()
    model.run_with_hooks(TOKENS, fwd_hooks=[("blocks.0.attn.hook_z", lambda value, hook: z)])[:, -1].sum().backward()

    assert z.grad is not None and z.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.hf.parameters())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (TOKENS.float(), r"cannot run a Tensor; give a text, a list of texts, or token ids of shape \[pos\]"),
        ([], "cannot run a list"),
        ([[1, 2], [3]], "prompts of one run need one length, and these have 1 to 2 tokens"),
        ([1.5, 2.0], "cannot run a list"),
        ([-1, 2], "token ids go from -1 to 2"),
        (3, "prompt cannot be 3; give text or a list or a tensor"),
        (None, "prompt cannot be None"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(prompt: Any, message: str) -> None:
    with pytest.raises(ie.InterpEmergeError, match=message):
        small_model("gpt2").run_with_cache(prompt)


def test_unknown_activations_and_hooks_that_return_another_shape_are_refused() -> None:
    model = small_model("gpt_neox")
    with pytest.raises(UnknownNameError, match=r"did you mean 'blocks\.0\.attn\.hook_z'"):
        model.run_with_cache(TOKENS, names="blocks.0.hook_z")
    with pytest.raises(UnknownNameError, match=r"others are reached through model\.bridge"):
        model.run_with_hooks(TOKENS, fwd_hooks=[("blocks.0.hook_resid_mid", lambda value, hook: value)])
    with pytest.raises(UnknownNameError, match=r"unknown recorded activation 'blocks\.0\.attn\.hook_z'"):
        _ = model.run_with_cache(TOKENS, names=[])[1]["z", 0]
    with pytest.raises(UnknownNameError, match="unknown kind of activation 'zz'"):
        _ = model.run_with_cache(TOKENS, names=[])[1]["zz", 0]
    for key in (0, ("z",), ("z", 1, 2)):
        with pytest.raises(UnknownNameError, match="unknown recorded activation"):
            _ = model.run_with_cache(TOKENS)[1][key]
    number: Any = lambda value, hook: 0.0  # noqa: E731
    with pytest.raises(InputError, match=r"the hook at blocks\.0\.attn\.hook_z returns 0.0; give a tensor of shape"):
        model.run_with_hooks(TOKENS, fwd_hooks=[("blocks.0.attn.hook_z", number)])
