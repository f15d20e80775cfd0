"""Long prompts and large values: a model may behave differently beyond some length or size. This is read from the
model itself; if it cannot be read, the model is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

import interp_emerge as ie
from interp_emerge.caching.recording import final_logits, record
from interp_emerge.core.errors import ModelError
from tests.models.small_models import SHAPE, build, draw_parameters, random_pairs

WINDOW, LONG = 6, 20
STRAY: dict[str, tuple[str, dict[str, Any]]] = {
    "a window that Llama's code ignores": ("llama", {"sliding_window": WINDOW}),
    "a window that OLMo's code ignores": ("olmo", {"sliding_window": WINDOW}),
    "a window that Gemma's code ignores": ("gemma", {"sliding_window": WINDOW, "head_dim": 8}),
    "a window of zero": ("llama", {"sliding_window": 0}),
    "a window that is switched off": ("qwen2", {"sliding_window": WINDOW, "use_sliding_window": False}),
    "a window that is used": ("mistral", {"sliding_window": WINDOW}),
    "windows in some layers": (
        "qwen2",
        {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1},
    ),
    "clipping that Llama's code ignores": ("llama", {"clip_qkv": 0.1}),
    "a cap of logits that Llama's code ignores": ("llama", {"final_logit_softcapping": 0.5}),
    "multipliers that Llama's code ignores": ("llama", {"residual_multiplier": 0.1, "logits_scaling": 3.0}),
}


def made(kind: str, **more: Any) -> Any:
    config = AutoConfig.for_model(kind, **SHAPE | {"num_hidden_layers": 2, "num_key_value_heads": 2} | more)
    return draw_parameters(AutoModelForCausalLM.from_config(config), 0).eval()


def off(hf: Any, length: int) -> float:
    """How far the logits of the recorded parts are from the model's own, as a share of their spread."""
    model, tokens = ie.hook(hf), random_pairs(3, length=length).clean
    with torch.no_grad():
        own = hf(input_ids=tokens).logits[:, -1]
        return float((final_logits(model, record(model, tokens)) - own).abs().max() / own.std())


@pytest.mark.parametrize("length", [5, WINDOW, WINDOW + 1, LONG])
@pytest.mark.parametrize("what", STRAY)
def test_a_field_of_the_configuration_counts_only_if_the_code_uses_it(what: str, length: int):
    kind, more = STRAY[what]
    assert off(made(kind, **more), length) < 1e-5


def scaled_by_position() -> Any:
    hf = build("llama", layers=2)
    block = hf.model.layers[1].self_attn
    whole = block.forward

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        factors = 1 + (torch.arange(hidden_states.shape[1]) >= 12).float()
        out, weights = whole(hidden_states, *args, **kwargs)
        return out * factors[:, None].to(out.dtype), weights

    block.forward = forward
    return hf


class OwnWindow(nn.Module):
    """Attention that ignores early positions, whatever mask it is given."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, getattr(base, name))
        self.head_dim, self.scaling = base.head_dim, base.scaling

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        n = hidden_states.shape[1]
        back = torch.arange(n)[:, None] - torch.arange(n)
        own = hidden_states.new_zeros(n, n).masked_fill((back < 0) | (back >= 10), torch.finfo(hidden_states.dtype).min)
        return self.base(hidden_states=hidden_states, attention_mask=own[None, None], **kwargs)


def with_a_window_of_its_own() -> Any:
    hf = build("llama", layers=2)
    hf.set_attn_implementation("eager")
    hf.model.layers[0].self_attn = OwnWindow(hf.model.layers[0].self_attn)
    return hf


def with_positions_added_late() -> Any:
    """A model that adds something to the stream of far positions, between its layers."""
    hf = build("llama", layers=2)
    far = (torch.arange(64) >= 12).float()[:, None]
    hf.model.layers[1].register_forward_pre_hook(
        lambda _module, args, kwargs: ((args[0] + far[: args[0].shape[1]].to(args[0].dtype),), kwargs), with_kwargs=True
    )
    return hf


def with_a_rotation_of_its_own() -> Any:
    """A model whose attention itself changes the rotation from some position on."""
    hf = build("llama", layers=2)
    whole = hf.model.layers[0].self_attn.forward

    def forward(hidden_states: Tensor, position_embeddings: Any, **kwargs: Any) -> Any:
        cos, sin = position_embeddings
        later = (torch.arange(cos.shape[1]) >= 12)[:, None]
        return whole(hidden_states, position_embeddings=(torch.where(later, -cos, cos), sin), **kwargs)

    hf.model.layers[0].self_attn.forward = forward
    return hf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "make", [scaled_by_position, with_a_window_of_its_own, with_positions_added_late, with_a_rotation_of_its_own]
)
def test_a_change_beyond_a_length_is_refused_on_longer_prompts_only(make: Any, dtype: torch.dtype):
    model = ie.hook(make().to(dtype))
    assert np.isfinite(ie.score(model, random_pairs(4, length=9), method="eap").scores).all()
    for method in ("eap", "eap_ig", "activation_patching", "exact_edges", "attribution_patching", "atp_star"):
        with pytest.raises(
            ModelError,
            match=rf"on prompts of {LONG} tokens .*(not give the model's logits|not add what|between layers 0 and 1)",
        ):
            ie.score(model, random_pairs(4, length=LONG), method=method)


def test_every_analysis_that_runs_the_parts_refuses_the_length():
    model, pairs = ie.hook(scaled_by_position()), random_pairs(4, length=LONG)
    everything = ie.score(model, random_pairs(4, length=9), method="random").top(40)
    for run in (
        lambda: ie.evaluate(model, everything, pairs),
        lambda: ie.ablate(model, ["a0.h0"], pairs),
        lambda: record(model, pairs.clean),
        lambda: ie.role_table(model),
    ):
        with pytest.raises(ModelError, match="is not split"):
            run()


LIMIT = 6.0


def clamped(block: Any) -> None:
    """Make a block's attention clamp its output."""
    whole = block.self_attn.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        out, weights = whole(*args, **kwargs)
        return out.clamp(-LIMIT, LIMIT), weights

    block.self_attn.forward = forward


def loud_tokens(hf: Any, tokens: list[int]) -> None:
    """Make some tokens' embeddings large along one direction that nothing else uses, so that few prompts are loud."""
    for block in hf.model.layers:
        block.input_layernorm = nn.Identity()
    hf.get_input_embeddings().weight.data[tokens] *= 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_values_beyond_a_clamp_are_refused_on_the_prompts_that_reach_it(dtype: torch.dtype):
    hf = build("llama", layers=2)
    loud_tokens(hf, [39])
    clamped(hf.model.layers[0])
    model, pairs = ie.hook(hf.to(dtype)), random_pairs(8)
    quiet = ie.PromptPairs(
        clean=pairs.clean.clamp_max(30),
        corrupt=pairs.corrupt.clamp_max(30),
        answer=pairs.answer % 30,
        foil=(pairs.answer + 1) % 30,
    )
    assert np.isfinite(ie.score(model, quiet, method="eap").scores).all()
    clean = quiet.clean.clone()
    clean[5, 2] = 39
    loud = ie.PromptPairs(clean=clean, corrupt=quiet.corrupt, answer=quiet.answer, foil=quiet.foil)
    for method in ("eap", "activation_patching"):
        with pytest.raises(ModelError, match=r"(do not give the model's logits|do not add what the layer adds)"):
            ie.score(model, loud, method=method)
