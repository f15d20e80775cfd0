"""A model that does not read from left to right is refused when hooked; the model inside a wrapper is found."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

import interp_emerge as ie
from benchmarks.architectures import build as tiny
from interp_emerge.core.errors import ModelError
from tests.models.small_models import SHAPE, build, random_pairs

LAYERS = {"num_hidden_layers": 2}
SEQUENCES = {"d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4}


def encoder(kind: str, **more: Any) -> Any:
    config = AutoConfig.for_model(kind, **SHAPE | LAYERS | {"pad_token_id": 1} | more)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "roformer", "camembert"])
def test_an_encoder_is_refused_since_later_tokens_change_earlier_logits(kind: str):
    hf = encoder(kind)
    tokens = random_pairs().clean[:1]
    changed = tokens.clone()
    changed[:, -1] += 1
    with torch.no_grad():  # a positive control: the encoder does look ahead
        assert not torch.allclose(hf(tokens).logits[:, :-1], hf(changed).logits[:, :-1], atol=1e-4)
    with pytest.raises(
        ModelError, match=rf"\({kind}\) is not causal: its last token changes earlier logits \(by \S+ standard dev"
    ):
        ie.hook(hf)


# XLNet writes -1 for a context without a limit. ProphetNet looks ahead a little: one of 39 other last tokens changes
# earlier logits by 0.0005 standard deviations, the others by 0.0016 to 0.047.
@pytest.mark.parametrize("kind", ["xlnet", "prophetnet"])
def test_so_is_a_model_without_a_limit_of_positions_and_one_that_looks_ahead_only_a_little(kind: str):
    with pytest.raises(ModelError, match=rf"\({kind}\) is not causal: its last token changes earlier logits"):
        ie.hook(tiny(kind, ""))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_same_architecture_as_a_decoder_is_measured(kind: str):
    hf, tokens = encoder(kind, is_decoder=True), random_pairs().clean
    with torch.no_grad():
        torch.testing.assert_close(ie.hook(hf).logits(tokens), hf(tokens).logits[:, -1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("t5", {"d_model": 24, "d_kv": 6, "d_ff": 48, "num_layers": 2, "num_heads": 4}),
        ("bart", SEQUENCES | {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}),
    ],
)
def test_an_encoder_with_a_decoder_is_refused(kind: str, more: dict):
    config = AutoConfig.for_model(kind, vocab_size=40, pad_token_id=1, bos_token_id=0, eos_token_id=0, **more)
    with pytest.raises(
        ModelError, match=rf"\({kind}\) is an encoder with a decoder; this package analyses models that"
    ):
        ie.hook(AutoModelForSeq2SeqLM.from_config(config).eval())


def test_a_decoder_that_was_made_to_look_ahead_is_refused():
    hf = build("gpt2")
    embed = hf.transformer.wte
    embed.register_forward_hook(lambda _module, _args, made: made + made.mean(1, keepdim=True))
    with pytest.raises(ModelError, match="is not causal"):
        ie.hook(hf)


class Wrapper(nn.Module):
    """Holds a model as `DataParallel` does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, **inputs: Any) -> Any:
        return self.module(**inputs)


@pytest.mark.parametrize("wrap", [Wrapper, torch.compile], ids=["distributed", "compiled"])
def test_the_model_inside_a_wrapper_is_found(wrap: Any):
    hf = build("llama")
    assert ie.hook(wrap(hf)).hf is hf


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_rounding_is_not_mistaken_for_looking_ahead(dtype: torch.dtype):
    assert ie.hook(build("gemma2", layers=12).to(dtype)).dtype == dtype
