"""A reading of a model that has one mistake is refused; a right reading is accepted."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import interp_emerge as ie
from interp_emerge.core.decoder import Attention, Block, Decoder, Norm
from interp_emerge.core.errors import ModelError
from interp_emerge.families._split.anatomy import layout_of, reading_of
from interp_emerge.families._split.linear import require_linear_once_scaled
from interp_emerge.families._split.proof import Reading, require_equal_logits
from tests.models.small_models import EVERY_ARCHITECTURE, build

HALF = (torch.bfloat16, torch.float16)


def beyond(window: int, length: int) -> torch.Tensor:
    """The keys that a query does not see: later ones, and those beyond a window."""
    back = torch.arange(length)[:, None] - torch.arange(length)
    return (back < 0) | (back >= window)


WRONG: dict[str, tuple[str, Callable[[Attention], dict[str, Any]]]] = {
    "a scale of one": ("opt", lambda a: {"scale": 1.0}),
    "the wrong scale of Gemma": ("gemma2", lambda a: {"scale": 8**-0.5}),
    "no rotation": ("phi", lambda a: {"rotary": None}),
    "a window that is one wider": ("mistral", lambda a: {"unseen": partial(beyond, 4)}),
    "a window that is one narrower": ("gpt_neo", lambda a: {"unseen": partial(beyond, 2)}),
    "no window": ("gemma3", lambda a: {"unseen": None}),
    "the wrong pairs of features turned": ("llama", lambda a: {"neighbours": True}),
    "no softcap": ("gemma2", lambda a: {"softcap": None}),
    "no linear biases": ("bloom", lambda a: {"slopes": None}),
    "no linear biases of MPT": ("mpt", lambda a: {"slopes": None}),
    "no clipping": ("olmo", lambda a: {"clip": None}),
    "no clipping of MPT": ("mpt", lambda a: {"clip": None}),
    "the usual scale instead of Granite's": ("granite", lambda a: {"scale": 6**-0.5}),
    "features of GPT-J turned with those half of them further on": ("gptj", lambda a: {"neighbours": False}),
    "features of Cohere turned with those half of them further on": ("cohere", lambda a: {"neighbours": False}),
    "no norm of Cohere's keys": ("cohere", lambda a: {"key_norm": None}),
    "no norm of queries": ("qwen3", lambda a: {"query_norm": None}),
    "no norm over all heads": ("olmo2", lambda a: {"key_norm": None}),
}


def changed(model: ie.HookedModel, change: Callable[[Block], Block]) -> tuple[Reading, Decoder]:
    """A model's reading and decoder, with the same mistake in every block."""
    right = reading_of(model.hf, layout_of(model.hf))
    reading = replace(right, read=lambda *block: change(right.read(*block)))
    return reading, replace(model.decoder, blocks=tuple(map(change, model.decoder.blocks)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_every_architecture_is_read_right_in_every_precision(architecture: str, dtype: torch.dtype):
    if architecture == "qwen3_moe" and dtype == torch.float64:
        pytest.skip("experts of transformers do not run in float64")
    for seed in range(2):
        assert ie.hook(build(architecture, seed=seed).to(dtype)).decoder.blocks


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_deep_model_is_not_mistaken_for_a_wrong_reading(dtype: torch.dtype):
    assert ie.hook(build("gemma2", layers=24).to(dtype)).decoder.blocks


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_reading_of_attention_is_refused(mistake: str, dtype: torch.dtype):
    architecture, change = WRONG[mistake]
    model = ie.hook(build(architecture).to(dtype))
    wrong = changed(model, lambda block: replace(block, attention=replace(block.attention, **change(block.attention))))
    logits = r"its parts do not give the model's logits \(difference: \S+ standard deviations\)"
    layers = r"the parts of layer \d+ do not add what the layer adds \(relative difference: \S+\)"
    with pytest.raises(ModelError, match=f"is not split .* ({logits}|{layers})"):
        require_equal_logits(*wrong)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("gpt_neox", {"parallel": False}),
        ("falcon_grouped", {"parallel": False}),
        ("llama", {"parallel": True}),
        ("gemma2", {"mlp_post_norm": Norm(module=None)}),
    ],
)
def test_a_wrong_reading_of_the_order_in_a_block_is_refused(architecture: str, changes: dict):
    model = ie.hook(build(architecture))
    with pytest.raises(ModelError, match="its parts do not give the model's logits"):
        require_equal_logits(*changed(model, lambda block: replace(block, **changes)))


def test_heads_read_in_the_wrong_order_are_refused():
    def in_the_order_of_gpt2(block: Block) -> Block:
        sides = {side: replace(getattr(block, side), shape=(3, 4, 6), place=(at,)) for at, side in enumerate("qkv")}
        return replace(block, **sides)

    with pytest.raises(ModelError, match="its parts do not give the model's logits"):
        require_equal_logits(*changed(ie.hook(build("gpt_neox")), in_the_order_of_gpt2))


def test_proving_a_model_leaves_its_flags_and_the_random_numbers_as_they_were():
    hf = build("llama").train()
    state = torch.get_rng_state()
    model = ie.hook(hf)
    hf.train()
    assert model.decoder.blocks
    assert all(part.training for part in hf.modules()) and all(p.requires_grad for p in hf.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part._forward_pre_hooks for part in hf.modules())


def norm_of(module: nn.Module, **changes: Any) -> Norm:
    return Norm(module=module, **{"centred": isinstance(module, nn.LayerNorm), "eps": module.eps} | changes)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm])
def test_a_norm_is_refused_with_another_constant_or_centring(kind: Any, dtype: torch.dtype):
    module = kind(24, eps=1e-5)
    nn.init.normal_(module.weight, 1.0, 0.3)
    require_linear_once_scaled(norm_of(module.to(dtype)))
    for wrong in ({"eps": 1e-6}, {"eps": 1e-4}, {"centred": kind is nn.RMSNorm}):
        with pytest.raises(
            ModelError,
            match=f"a {kind.__name__} is not a layer norm or root-mean-square norm as this package computes them",
        ):
            require_linear_once_scaled(norm_of(module, **wrong))


def test_a_norm_without_weights_is_proven_too():
    model = ie.hook(build("olmo"))
    norm = model.decoder.final_norm
    require_linear_once_scaled(norm)
    with pytest.raises(ModelError, match="a OlmoLayerNorm is not a layer norm"):
        require_linear_once_scaled(replace(norm, eps=1e-3))
