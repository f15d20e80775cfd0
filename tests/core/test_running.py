"""A hooked model is the one that is in memory now, whatever happened to it, and in whatever state the process is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

import interp_emerge as ie
from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import CHANGED, HookedModel
from tests.models.small_models import build, random_pairs

ARCHITECTURES = ("llama_grouped", "gemma2", "olmo2", "gpt_neox", "gpt2")
METHODS: dict[str, dict[str, Any]] = {
    "activation_patching": {},
    "attribution_patching": {},
    "eap": {},
    "eap_ig": {"steps": 2},
    "exact_edges": {},
    "path_patching": {"receivers": ["logits"]},
}


def trained_on(hf: Any) -> None:
    optimizer = torch.optim.SGD(hf.parameters(), lr=0.5)
    loss = hf(input_ids=random_pairs().clean).logits.log_softmax(-1)[..., 3].mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def past_autograd(hf: Any) -> None:
    for parameter in hf.parameters():
        parameter.data.mul_(1.1)


def rows_exchanged(hf: Any) -> None:
    weight = hf.get_output_embeddings().weight
    weight.data.copy_(weight.data.flip(0).clone())


def one_number(hf: Any) -> None:
    hf.get_output_embeddings().weight.data[int(random_pairs(4).answer[0]), 5] += 2


def next_checkpoint(hf: Any) -> None:
    source = build("llama_grouped", layers=2, seed=3)
    hf.load_state_dict(source.state_dict())


def new_parameters(hf: Any) -> None:
    for module in hf.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.detach() * 0.5)


def another_module(hf: Any) -> None:
    hf.model.layers[1].mlp = build("llama_grouped", layers=2, seed=9).model.layers[0].mlp


def a_steering_hook(hf: Any) -> None:
    hf.model.layers[0].self_attn.o_proj.register_forward_hook(lambda _module, _args, made: 2 * made)


def another_scale(hf: Any) -> None:
    for block in hf.model.layers:
        block.self_attn.scaling = 0.1


def a_patched_method(hf: Any) -> None:
    mlp = hf.model.layers[0].mlp
    whole = mlp.forward
    mlp.forward = lambda x: 2 * whole(x)


CHANGES: list[Callable[[Any], None]] = [
    next_checkpoint,
    trained_on,
    past_autograd,
    rows_exchanged,
    one_number,
    new_parameters,
    another_module,
    a_steering_hook,
    another_scale,
    a_patched_method,
]


def scores_of(model: HookedModel) -> dict[str, np.ndarray]:
    pairs = random_pairs(4)
    return {method: ie.score(model, pairs, method=method, **options).scores for method, options in METHODS.items()}


def assert_near(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for method, values in expected.items():
        # With the last bit of every product changed at random the largest difference is 1e-5 of the largest score.
        assert np.abs(found[method] - values).max() < 1e-4 * np.abs(values).max(), method


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_after_any_change_scores_and_their_origin_are_those_of_a_freshly_hooked_model(change: Callable[[Any], None]):
    hf = build("llama_grouped", layers=2)
    model = ie.hook(hf)
    before, spec = scores_of(model), model.spec
    change(hf)
    found = scores_of(model)
    assert_near(found, scores_of(ie.hook(hf)))
    assert np.abs(found["eap"] - before["eap"]).max() > 1e-3 * np.abs(before["eap"]).max()
    assert (model.spec.weights, model.spec.location) == (CHANGED, "")
    # These prompts do not begin with the token that the model's own would.
    named = model.spec.to_dict() | {"prepended": ""}
    assert ie.score(model, random_pairs(4), method="eap").origin["model"] == named
    assert model.spec != spec


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_follows_the_checkpoints_that_are_loaded_into_it(architecture: str):
    hf = build(architecture, layers=2)
    model = ie.hook(hf)
    for seed in (4, 5):
        source = build(architecture, layers=2, seed=seed)
        hf.load_state_dict(source.state_dict())
        assert_near(scores_of(model), scores_of(ie.hook(source)))
        assert model.spec.revision == ie.hook(source).spec.revision


def test_a_change_of_dtype_is_followed_and_recorded():
    model = ie.hook(build("llama_grouped", layers=2))
    ie.score(model, random_pairs(4), method="eap")
    model.hf.double()
    found = ie.score(model, random_pairs(4), method="eap")
    fresh = ie.score(ie.hook(build("llama_grouped", layers=2).double()), random_pairs(4), method="eap")
    np.testing.assert_allclose(found.scores, fresh.scores, rtol=1e-9)
    assert found.origin["model"]["dtype"] == "float64"


def test_weights_that_only_move_are_still_those_of_the_checkpoint():
    model = ie.hook(build("llama_grouped", layers=2))
    spec, decoder = model.spec, model.decoder
    for parameter in model.hf.parameters():
        parameter.data = parameter.data.clone()
    assert model.spec == spec
    assert model.decoder is not decoder


def test_weights_that_stay_are_read_once():
    model = ie.hook(build("llama_grouped", layers=2))
    decoder = model.decoder
    scores_of(model)
    assert model.decoder is decoder and model.spec.weights == "raw"


def test_weights_that_turned_into_something_not_finite_are_refused():
    model = ie.hook(build("llama_grouped", layers=2))
    model.hf.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"weights are not finite \(model.layers.1.mlp.up_proj.weight\)"):
        ie.score(model, random_pairs(4))


@contextmanager
def training(hf: Any) -> Iterator[None]:
    hf.train()
    yield
    assert all(module.training for module in hf.modules())


@contextmanager
def in_inference_mode(_hf: Any) -> Iterator[None]:
    with torch.inference_mode():
        yield


@contextmanager
def in_autocast(_hf: Any) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


@contextmanager
def with_tuples(hf: Any) -> Iterator[None]:
    hf.config.return_dict = False
    yield


@contextmanager
def with_checkpointing(hf: Any) -> Iterator[None]:
    hf.gradient_checkpointing_enable()
    hf.train()
    yield


@contextmanager
def with_frozen_weights(hf: Any) -> Iterator[None]:
    hf.requires_grad_(False)
    yield


@contextmanager
def without_gradients(_hf: Any) -> Iterator[None]:
    with torch.no_grad():
        yield


@contextmanager
def with_hidden_states(hf: Any) -> Iterator[None]:
    hf.config.output_hidden_states = True
    yield


STATES = (
    *(training, in_inference_mode, in_autocast, with_tuples, with_checkpointing, with_frozen_weights),
    *(without_gradients, with_hidden_states),
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("architecture", ["llama_grouped", "gpt2"])
def test_no_state_of_the_process_changes_a_number(architecture: str, state: Any):
    names = ["attention_dropout"] if architecture == "llama_grouped" else ["resid_pdrop", "attn_pdrop"]
    dropout: dict[str, Any] = dict.fromkeys(names, 0.3)
    hf, pairs = build(architecture, layers=2, **dropout), random_pairs(4)
    expected, logits = scores_of(ie.hook(hf)), ie.hook(hf).logits(pairs.clean).detach()
    model = ie.hook(hf)
    with state(hf):
        assert_near(scores_of(model), expected)
        circuit = ie.score(model, random_pairs(4), method="eap").top(20)
        evaluated = ie.evaluate(model, circuit, pairs)
        measured = model.logits(pairs.clean).detach().float()
    torch.testing.assert_close(measured, logits, atol=3e-5, rtol=0)
    np.testing.assert_allclose(evaluated.metric, ie.evaluate(ie.hook(hf.eval()), circuit, pairs).metric, atol=3e-5)


def test_pairs_and_models_made_in_inference_mode_are_taken_or_refused():
    with torch.inference_mode():
        pairs = random_pairs(4)
        made = build("llama_grouped", layers=2)
    assert_near(
        {"eap": ie.score(ie.hook(build("llama_grouped", layers=2)), pairs, method="eap").scores},
        {"eap": ie.score(ie.hook(build("llama_grouped", layers=2)), random_pairs(4), method="eap").scores},
    )
    with pytest.raises(ModelError, match=r"was made under torch\.inference_mode, which rules out gradients"):
        ie.hook(made)


def test_weights_that_are_not_in_memory_are_refused():
    config = build("llama_grouped", layers=2).config
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ModelError, match=r"model.embed_tokens.weight is not in memory \(it lies on 'meta'"):
        ie.hook(hf)
    model = ie.hook(build("llama_grouped", layers=2))
    model.hf.to("meta")
    with pytest.raises(ModelError, match="is not in memory"):
        ie.score(model, random_pairs(4))


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_every_kernel_of_attention_gives_the_same_scores(kernel: str):
    hf = build("mistral", layers=2)
    expected = scores_of(ie.hook(hf))
    hf.set_attn_implementation(kernel)
    assert_near(scores_of(ie.hook(hf)), expected)


def test_a_kernel_that_is_changed_after_hooking_is_followed():
    hf = build("mistral", layers=2, sliding_window=3)
    hf.set_attn_implementation("eager")
    model = ie.hook(hf)
    expected = scores_of(model)
    hf.set_attn_implementation("sdpa")
    assert_near(scores_of(model), expected)
