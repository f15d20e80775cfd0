"""Proof that the parts of a model are read as the model reads them: both have to compute the same numbers."""

from typing import Any

import torch

from interp_emerge.core.decoder import Decoder, Norm, only_running
from interp_emerge.core.errors import ModelError
from interp_emerge.core.graph import Graph

TOLERANCE, HALF_PRECISION = 1e-3, 0.07
"""Root of the mean squared difference of the logits, as a fraction of their spread, in full and in half precision. On
random models of 3 to 24 layers, right readings of every architecture differ by up to 8e-7 and, in bfloat16, 0.034.
Wrong ones: no linear biases by distance 0.13, no norm of queries 0.2, attention without its scale 0.2, no rotation
0.3, no softcap 0.3, a window wider by one 0.35; only a scale off by a tenth, 0.023, would pass in half precision."""
NORM_TOLERANCE, NORM_HALF_PRECISION = 1e-4, 0.02
"""Largest difference of a norm's output, as a fraction of its size, over large inputs and over small ones, where the
added constant counts. Right readings differ by up to 3e-7 and, in bfloat16, 0.008; a constant ten times too large or
too small by 0.05, centring where there is none by 0.1."""
FULL = (torch.float32, torch.float64)
COUNTS = ("the number of layers", "the number of heads", "the number of keys", "the number of values")
FORMS = (
    "whether attention and MLP read the same stream",
    "whether one norm runs over all heads",
    "whether a norm follows attention",
)


def not_split(hf: Any, reason: str) -> ModelError:
    """The error for an architecture that the analyses of heads and edges cannot take."""
    return ModelError(f"{hf.config.model_type!r} is not split into heads and edges: {reason}; abilities are measured "
                      "all the same, and `.bridge` is there where TransformerLens knows the architecture")  # fmt: skip


def require_same_shape(hf: Any, decoder: Decoder) -> None:
    """Raise a `ModelError` unless all blocks have one form, and as many heads as the configuration says."""
    graph = Graph.from_config(hf.config)
    expected = (graph.n_layers, graph.n_heads, graph.n_kv_heads, graph.n_kv_heads)
    for layer, block in enumerate(decoder.blocks):
        found = (len(decoder.blocks), *(side.n_heads for side in (block.q, block.k, block.v)))
        for what, there, wanted in zip(COUNTS, found, expected, strict=True):
            if there != wanted:
                reason = f"{what} is {wanted} by the configuration and {there} by the modules of layer {layer}"
                raise not_split(hf, reason)
        for what, here, first in zip(FORMS, block.form, decoder.blocks[0].form, strict=True):
            if here != first:
                raise not_split(hf, f"{what} is not the same in layer {layer} as in the first")


@torch.no_grad()
def require_equal_logits(hf: Any, decoder: Decoder) -> None:
    """Raise a `ModelError` unless the decoder computes the model's own logits on a short random prompt."""
    generator = torch.Generator().manual_seed(0)
    length = min(8, getattr(hf.config, "max_position_embeddings", None) or 8)
    tokens = torch.randint(hf.get_output_embeddings().weight.shape[0], (2, length), generator=generator).to(hf.device)
    with only_running(hf):
        expected = hf(input_ids=tokens, use_cache=False).logits.double()
        stream = decoder.embed(tokens)
        for block in decoder.blocks:
            q, k, v = block.project(block.attention_norm(stream))
            attended = stream + block.attention_writes(block.attention.mix(q, k, v))
            stream = attended + block.mlp_writes(stream if block.parallel else attended)
        found = decoder.logits(stream).double()
        # Some metrics read a few logits: they have to be those of the whole vocabulary.
        few = torch.arange(min(4, expected.shape[-1]), device=tokens.device).expand(*tokens.shape, -1)
        found[..., : few.shape[-1]] = decoder.logits(stream, few).double()
    spread = expected.std(-1).clamp_min(torch.finfo(expected.dtype).tiny)
    difference = float(((found - expected).square().mean(-1).sqrt() / spread).max())
    if not difference < (TOLERANCE if hf.dtype in FULL else HALF_PRECISION):
        raise not_split(hf, "its parts, put together as this package reads them, give logits that are off by "
                            f"{difference:.1g} of their spread")  # fmt: skip


@torch.no_grad()
def require_linear_once_scaled(norm: Norm) -> None:
    """Raise a `ModelError` unless the norm of a vector is linear once its scale is known, and a bias."""
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
        raise ModelError(f"a {type(module).__name__} is no layer norm or root-mean-square norm as this package knows "
                         f"them: outputs differ by {difference:.1g}")  # fmt: skip
