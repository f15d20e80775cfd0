"""Check on a model's own modules what the analyses assume of linear modules and norms.

1. `linear_map`: the module maps x to x Wᵀ + b. W is the module's own weight if that explains its outputs. If not
   (adapters, quantised layers, hooks), W and b are measured on the unit vectors. Any other map is refused.
2. `require_linear_once_scaled`: a norm is linear once its scale is known.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from interp_emerge.core.decoder import LinearMap, Norm, only_running, output_by_input
from interp_emerge.core.errors import ModelError
from interp_emerge.families._split.reasons import not_split

NORM_TOLERANCE, NORM_HALF_PRECISION = 1e-4, 0.02
"""Largest difference of a norm's output, as a fraction of its size. Inputs are large and small; for small ones the
added constant matters. Right readings differ by up to 3e-7, in bfloat16 by up to 0.008. A constant ten times too large
or too small differs by 0.05, and centring in a norm that does not centre by 0.1."""
LINEAR_TOLERANCE, LINEAR_HALF_PRECISION = 1e-4, 0.05
"""Largest difference of a linear module's output, as a fraction of its spread. Right readings differ by up to 3e-6, in
bfloat16 by up to 0.01. Layers that quantise their inputs differ by 0.01 to 0.03 in float32."""
FULL = (torch.float32, torch.float64)


@torch.no_grad()
def linear_map(hf: Any, module: nn.Module, *, factor: float = 1.0) -> LinearMap:
    """The module as x Wᵀ + b, with its own weight if that explains its outputs, else with W and b as measured.

    Raises:
        ModelError: its outputs are not x Wᵀ + b.
    """
    with only_running(hf):
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(weight, nn.Parameter) and weight.ndim == 2 and weight.is_floating_point():
            difference = _nonlinearity(module, output_by_input(module), bias)
            if difference < _linear_tolerance(weight):
                return LinearMap(module=module, factor=factor)
        weight, bias = _measured(hf, module)
        difference = _nonlinearity(module, weight, bias)
    if not difference < _linear_tolerance(weight):
        raise not_split(hf, f"{_name_of(hf, module)} ({type(module).__name__}) does not map x to x Wᵀ + b (difference: "
                            f"{difference:.1g} standard deviations); merge adapters, replace quantised layers by "
                            "layers with full weights, and remove hooks that depend on the prompt")  # fmt: skip
    return LinearMap(module=module, measured=(weight, bias), factor=factor)


def _measured(hf: Any, module: Any) -> tuple[Tensor, Tensor | None]:
    """W and b measured as a module's outputs for the unit vectors and for zero, shapes [output, input] and [output]."""
    n = int(getattr(module, "in_features", None) or getattr(module, "nx", None) or hf.config.hidden_size)
    floats = (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point())
    like = next(floats, next(hf.parameters())).new_zeros(1, 1, n)
    bias = module(like)[0, 0]
    weight = (module(torch.eye(n, dtype=like.dtype, device=like.device)[None])[0] - bias).T.contiguous()
    return weight, bias if bias.any() else None


def _nonlinearity(module: nn.Module, weight: Tensor, bias: Tensor | None) -> float:
    """Largest difference between a module's outputs and x Wᵀ + b, as a fraction of the outputs' spread."""
    sizes = torch.tensor([3.0, 0.1])[:, None, None]
    x = torch.randn(2, 5, weight.shape[1], generator=torch.Generator().manual_seed(0)) * sizes
    x = x.to(weight)
    expected = module(x).float()
    found = linear(x, weight, None if bias is None else bias.to(weight)).float()
    return float(((found - expected).abs().amax((1, 2)) / expected.std((1, 2)).clamp_min(1e-30)).max())


def _linear_tolerance(weight: Tensor) -> float:
    return LINEAR_TOLERANCE if weight.dtype in FULL else LINEAR_HALF_PRECISION


def _name_of(hf: nn.Module, module: nn.Module) -> str:
    return next((name for name, part in hf.named_modules() if part is module), "a module")


@torch.no_grad()
def require_linear_once_scaled(norm: Norm) -> None:
    """Raise a `ModelError` unless the norm is linear once its scale is known, up to a bias."""
    module, weight = norm.module, getattr(norm.module, "weight", None)
    width = getattr(module, "normalized_shape", ()) if weight is None else weight.shape
    if module is None or len(width) != 1:
        return
    sizes = torch.tensor([3.0, 3.0, 0.003, 0.003])[:, None]
    x = torch.randn(4, *width, generator=torch.Generator().manual_seed(0)) * sizes
    x = x if weight is None else x.to(weight)
    found, bias, expected = norm.linear(x, norm.scale(x)), getattr(module, "bias", None), module(x)
    size = expected.abs().amax(-1, keepdim=True).clamp_min(1e-9)
    difference = float(((found + (0 if bias is None else bias) - expected).abs() / size).max())
    if not difference < (NORM_TOLERANCE if x.dtype in FULL else NORM_HALF_PRECISION):
        raise ModelError(f"a {type(module).__name__} is not a layer norm or root-mean-square norm as this package "
                         f"computes them (relative difference of outputs: {difference:.1g})")  # fmt: skip
