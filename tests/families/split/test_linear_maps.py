"""Modules that do not compute x Wᵀ + b from their own weight. If a plain layer computes the same outputs, scores are
those of the plain layer. If not, the model is refused and the error names the module."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

import interp_emerge as ie
from interp_emerge.core.errors import ModelError
from tests.models.small_models import build, random_pairs

METHODS: dict[str, dict[str, Any]] = {
    "activation_patching": {},
    "attribution_patching": {},
    "path_patching": {"receivers": ["logits"]},
    "eap": {},
    "exact_edges": {},
}
Change = Callable[[nn.Module, str], None]
"""Changes one projection of an attention module in place, given its name."""


class Adapted(nn.Module):
    """A frozen layer plus a low-rank term, like a projection with an unmerged adapter."""

    def __init__(self, base: nn.Linear, rank: int = 3) -> None:
        super().__init__()
        self.base = base
        generator = torch.Generator().manual_seed(base.out_features)
        self.down = nn.Parameter(0.3 * torch.randn(rank, base.in_features, generator=generator))
        self.up = nn.Parameter(0.3 * torch.randn(base.out_features, rank, generator=generator))
        self.dropout = nn.Dropout(0.5)

    @property
    def weight(self) -> Tensor:
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.dropout(x) @ self.down.T @ self.up.T


class Rescaled(nn.Module):
    """A layer whose outputs are multiplied with learned factors (Liu et al., 2022: IA³)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.factors = base, nn.Parameter(torch.linspace(0.5, 1.5, base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) * self.factors


class WholeNumbers(nn.Module):
    """A layer with weights of 8 bits and a scale for each output."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.in_features = base.in_features
        scales = base.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("weight", (base.weight.detach() / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.get_buffer("weight") * self.get_buffer("scales"))


class WithRoundedInputs(nn.Linear):
    """A layer that rounds its inputs to 8 bits, as ternary and dynamically quantised layers do."""

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-9) / 127
        return linear((x / scale).round() * scale, self.weight, self.bias)


def put(make: Callable[[Any], nn.Module]) -> Change:
    return lambda attention, name: setattr(attention, name, make(getattr(attention, name)))


def attach(hook: Callable[[nn.Module, tuple, Tensor], Tensor]) -> Change:
    return lambda attention, name: getattr(attention, name).register_forward_hook(hook) and None


def rounding(base: nn.Linear) -> nn.Module:
    module = WithRoundedInputs(base.in_features, base.out_features, bias=False)
    module.weight = base.weight
    return module


def add_to_the_last(_module: nn.Module, _args: tuple, made: Tensor) -> Tensor:
    return torch.cat([made[:, :-1], made[:, -1:] + 1], 1)


LINEAR: dict[str, Change] = {
    "an adapter that was not merged": put(Adapted),
    "learned factors of outputs": put(Rescaled),
    "weights of 8 bits": put(WholeNumbers),
    "pruned": lambda attention, name: prune.random_unstructured(getattr(attention, name), "weight", 0.5) and None,
    "normed weights": lambda attention, name: weight_norm(getattr(attention, name)) and None,
    "a spectral norm": lambda attention, name: spectral_norm(getattr(attention, name)).eval() and None,
    "orthogonal weights": lambda attention, name: orthogonal(getattr(attention, name)) and None,
    "a hook that scales": attach(lambda _module, _args, made: 1.5 * made),
    "a hook that adds a direction": attach(lambda _module, _args, made: made + 0.5),
    "a hook on what goes in": lambda attention, name: (
        getattr(attention, name).register_forward_pre_hook(lambda _module, args: (args[0].flip(-1),)) and None
    ),
}
OTHERS: dict[str, Change] = {
    "rounded inputs": put(rounding),
    "a clamp": attach(lambda _module, _args, made: made.clamp(-0.5, 0.5)),
    "a hook on one position": attach(add_to_the_last),
    "a square": attach(lambda _module, _args, made: made + 0.1 * made.square()),
}
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


def changed(change: Change, names: tuple[str, ...] = PROJECTIONS) -> Any:
    hf = build("llama_grouped", layers=2)
    for block in hf.model.layers:
        for name in names:
            change(block.self_attn, name)
    return hf.eval()


def plain_twin(hf: Any) -> Any:
    """A model of plain layers, each with the weight and bias that were measured one unit vector at a time."""
    twin = build("llama_grouped", layers=2)
    with torch.no_grad():
        for block, source in zip(twin.model.layers, hf.model.layers, strict=True):
            for name in PROJECTIONS:
                module, plain = getattr(source.self_attn, name), getattr(block.self_attn, name)
                n = plain.in_features
                bias = module(torch.zeros(1, 1, n))[0, 0]
                rows = [module(torch.eye(n)[i].view(1, 1, n))[0, 0] - bias for i in range(n)]
                plain.weight.copy_(torch.stack(rows, 1))
                plain.bias = nn.Parameter(bias.clone())
    return twin


@pytest.mark.parametrize("what", LINEAR)
def test_scores_use_the_map_that_a_module_applies(what: str):
    hf, pairs = changed(LINEAR[what]), random_pairs(4)
    model, twin = ie.hook(hf), ie.hook(plain_twin(hf))
    with torch.no_grad():
        torch.testing.assert_close(model.logits(pairs.clean), twin.logits(pairs.clean), atol=1e-4, rtol=0)
    for method, options in METHODS.items():
        found = ie.score(model, pairs, method=method, **options).scores
        expected = ie.score(twin, pairs, method=method, **options).scores
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max(), method


def test_a_modules_own_weight_alone_would_give_other_scores():
    """A positive control: the adapter changes scores by a large amount."""
    pairs, hf = random_pairs(4), changed(LINEAR["an adapter that was not merged"])
    bare = copy.deepcopy(hf)
    for block in bare.model.layers:
        for name in PROJECTIONS:
            setattr(block.self_attn, name, getattr(block.self_attn, name).base)
    found, without = (ie.score(ie.hook(one), pairs, method="eap").scores for one in (hf, bare))
    assert np.abs(found - without).max() > 0.3 * np.abs(without).max()


@pytest.mark.parametrize("name", ["q_proj", "v_proj", "o_proj"])
@pytest.mark.parametrize("what", OTHERS)
def test_a_module_that_is_not_linear_is_refused_by_its_name(what: str, name: str):
    model = ie.hook(changed(OTHERS[what], (name,)))
    module = rf"model\.layers\.0\.self_attn\.{name} \(\w+\)"
    refusal = module + r" does not map x to x Wᵀ \+ b \(difference: \S+ standard deviations\); merge"
    with pytest.raises(ModelError, match=refusal):
        ie.score(model, random_pairs(4), method="eap")


@pytest.mark.parametrize("what", ["an adapter that was not merged", "a hook that scales"])
def test_an_unembedding_that_applies_more_than_its_weight_is_read_right(what: str):
    hf = build("llama_grouped", layers=2)
    LINEAR[what](hf, "lm_head")
    model, pairs = ie.hook(hf), random_pairs(4)
    with torch.no_grad():
        logits = hf(input_ids=pairs.clean).logits[:, -1]
        rows = torch.arange(4)
        expected = logits[rows, pairs.answer] - logits[rows, pairs.foil]
    everything = ie.Circuit(
        graph=model.graph, kept=model.graph.exists, scores=np.zeros(model.graph.exists.shape), origin={}
    )
    found = ie.evaluate(model, everything, pairs).metric
    np.testing.assert_allclose(found, expected.double().numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_an_adapter_is_read_in_half_precision_too(dtype: torch.dtype):
    model = ie.hook(changed(LINEAR["an adapter that was not merged"]).to(dtype))
    assert all(block.q.linear.measured for block in model.decoder.blocks)


class Stepped(nn.Module):
    """An MLP that rounds its outputs: it changes with its inputs but has no true gradient."""

    def __init__(self, base: nn.Module, *, straight_through: bool) -> None:
        super().__init__()
        self.base, self.straight_through = base, straight_through

    def forward(self, x: Tensor) -> Tensor:
        made = self.base(x)
        rounded = (made / 0.5).round() * 0.5
        return made + (rounded - made).detach() if self.straight_through else rounded.detach()


@pytest.mark.parametrize("straight_through", [False, True])
def test_only_gradient_methods_refuse_an_mlp_without_a_true_gradient(straight_through: bool):
    hf, pairs = build("llama", layers=2), random_pairs(4)
    hf.model.layers[1].mlp = Stepped(hf.model.layers[1].mlp, straight_through=straight_through)
    model = ie.hook(hf)
    for method in ("eap", "eap_ig", "attribution_patching", "atp_star"):
        with pytest.raises(ModelError, match="the MLP of layer 1 has no gradient that predicts the effect of a change"):
            ie.score(model, pairs, method=method)
    assert np.abs(ie.score(model, pairs, method="activation_patching").scores).max() > 0.1
