"""Split a Hugging Face model into parts that can be run on their own.

1. `layout_of` chooses a layout by the names of the model's modules, not by the name of the model.
2. `reading_of` tries the possible readings of each block, and uses the first that adds what the block itself adds.
3. `find_decoder` makes a decoder of the parts, and proves that it computes the model's own logits.

A model that has another structure, or that fails the proof, is refused with the reason.
"""

from collections.abc import Callable, Iterator
from functools import cache
from inspect import signature
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.decoder import Block, Decoder, Norm
from interp_emerge.core.errors import ModelError
from interp_emerge.core.weights import require_one_device
from interp_emerge.families._split.attention import arrangements, read_attention, uses, variants
from interp_emerge.families._split.handed import HandedParts
from interp_emerge.families._split.layouts import LAYOUTS, Layout, find, fits
from interp_emerge.families._split.linear import linear_map, require_linear_once_scaled
from interp_emerge.families._split.proof import (
    TOLERANCE,
    Reading,
    differences,
    observed,
    require_agreement,
    require_equal_logits,
    require_gradients,
    require_pointwise,
    require_same_shape,
)
from interp_emerge.families._split.reasons import known_reason, not_split
from interp_emerge.families._split.shape import graph_of_config

BROKEN = (RuntimeError, TypeError, AttributeError, ValueError, IndexError, AssertionError)
"""What modules raise if they are read in a wrong way."""


def find_decoder(hf: Any) -> Decoder:
    """The parts of a Hugging Face causal language model, proven to compute its logits.

    Raises:
        ModelError: no layout fits, or the parts do not add up to the model.
    """
    require_one_device(hf)
    _require_plain_stream(hf)
    try:
        reading = reading_of(hf, layout_of(hf))
        handed = HandedParts(hf, reading.blocks)
        decoder = Decoder(
            embed=lambda tokens: _input_of(hf, reading.blocks[0], tokens),
            blocks=tuple(reading.read(index, block, handed) for index, block in enumerate(reading.blocks)),
            final_norm=_norm(find(hf, layout_of(hf).final_norm)),
            unembed=_unembedding(hf),
            prove=lambda tokens, last: require_agreement(reading, decoder, tokens, last),
            prove_gradients=cache(lambda: require_gradients(reading, decoder)),
            lengths=lambda: handed.lengths,
        )
        require_same_shape(hf, decoder)
        require_pointwise(reading, decoder)
        require_equal_logits(reading, decoder)
    except BROKEN as error:
        raise not_split(hf, f"its parts cannot be run on their own ({' '.join(str(error).split())})") from error
    return decoder


def layout_of(hf: Any) -> Layout:
    """The layout that fits a model's modules.

    Raises:
        ModelError: no known layout fits.
    """
    layout = next((layout for layout in LAYOUTS.values() if fits(hf, layout)), None)
    if layout is None and (reason := known_reason(hf)):
        raise not_split(hf, reason)
    if layout is None:
        raise not_split(hf, "its blocks have none of the known forms (docs/architectures.md lists those that do)")
    return layout


def reading_of(hf: Any, layout: Layout) -> Reading:
    """The reading of a model's blocks by a layout: for each block, the first reading that adds what the block adds.

    If no reading does, the first one is used, and the proof reports its difference.
    """
    blocks = [*find(hf, layout.blocks).children()]
    if len(blocks) != (n_layers := graph_of_config(hf.config).n_layers):
        raise not_split(hf, f"the number of layers is {n_layers} in the configuration but {len(blocks)} in the modules")
    chosen = [0] * len(blocks)

    def read(index: int, block: nn.Module, handed: HandedParts) -> Block:
        return next(islice(_ways(hf, layout, index, block, handed), chosen[index], None))

    for index, seen in enumerate(observed(hf, blocks)):
        with seen:
            ways = _ways(hf, layout, index, blocks[index], seen.handed)
            right = (number for number, off in enumerate(differences(seen, ways, BROKEN)) if off < TOLERANCE)
            chosen[index] = next(right, 0)
    return Reading(hf=hf, blocks=blocks, read=read)


def _ways(hf: Any, layout: Layout, index: int, block: Any, handed: HandedParts) -> Iterator[Block]:
    """The possible readings of a block, the likeliest first."""
    attention, heads = find(block, layout.attention), hf.config.num_attention_heads
    out, post_norm = find(attention, layout.attention_out), _norm(find(block, layout.attention_post_norm))
    if post_norm.module is not None and getattr(out, "bias", None) is not None:
        raise not_split(hf, "a norm after attention scales an output bias, which belongs to no head")
    factor = float(getattr(block, "residual_multiplier", 1.0))
    usual = read_attention(hf, index, attention, heads, handed)
    parts: dict[str, Any] = {
        "attention_norm": _norm(find(block, layout.attention_norm)),
        "attention_out": linear_map(hf, out, factor=factor),
        "attention_post_norm": post_norm,
        "mlp_norm": _norm(find(block, layout.mlp_norm)),
        "mlp": _mlp(block, layout, factor),
        "mlp_post_norm": _norm(find(block, layout.mlp_post_norm)),
        "parallel": _is_parallel(hf, block, layout),
    }
    for q, k, v in arrangements(hf, attention, layout, heads):
        for one in variants(usual):
            yield Block(q=q, k=k, v=v, attention=one, **parts)


def _is_parallel(hf: Any, block: Any, layout: Layout) -> bool:
    """Whether attention and MLP read the same stream."""
    one_norm = layout.mlp_norm == layout.attention_norm != ""
    flag = getattr(block, "use_parallel_residual", False)
    return (
        one_norm
        or flag
        or layout.attention_norm == "ln_attn"
        or (uses(block, "parallel_attn") and hf.config.parallel_attn)
    )


def _require_plain_stream(hf: Any) -> None:
    """Raise a `ModelError` if blocks do more to the residual stream than add to it."""
    config = hf.config
    normed = getattr(config, "apply_residual_connection_post_layernorm", False)  # BLOOM
    normed = normed or not getattr(config, "do_layer_norm_before", True)  # OPT-350m
    if normed:
        raise not_split(hf, "its residual stream goes through a norm in every block")


def _unembedding(hf: Any) -> Callable[[Tensor, Tensor | None], Tensor]:
    head, narrow = hf.get_output_embeddings(), find(hf, "model.decoder.project_out")
    softcap = hf.config.final_logit_softcapping if uses(hf, "final_logit_softcapping") else None
    factor = 1 / hf.config.logits_scaling if uses(hf, "logits_scaling") else getattr(hf, "logit_scale", 1.0)
    by_weight = linear_map(hf, head).measured is None
    bias = getattr(head, "bias", None)

    def unembed(normed: Tensor, tokens: Tensor | None) -> Tensor:
        normed = normed if narrow is None else narrow(normed)
        if tokens is None:
            logits = head(normed)
        elif by_weight:
            logits = torch.einsum("...d,...kd->...k", normed, head.weight[tokens])
            logits = logits if bias is None else logits + bias[tokens]
        else:
            logits = head(normed)[..., tokens] if tokens.ndim == 1 else head(normed).gather(-1, tokens)
        logits = logits if factor == 1 else logits * factor
        return logits if softcap is None else (logits / softcap).tanh() * softcap

    return unembed


def _mlp(block: Any, layout: Layout, factor: float) -> Callable[[Tensor], Tensor]:
    if layout.mlp == "":
        return lambda normed: block.fc2(block.activation_fn(block.fc1(normed)))
    module = find(block, layout.mlp)
    if "residual" in signature(module.forward).parameters:
        return lambda normed: module(normed, torch.zeros_like(normed))

    def run(normed: Tensor) -> Tensor:
        made = module(normed)
        made = made if isinstance(made, Tensor) else made[0]
        return made if factor == 1 else made * factor

    return run


def _norm(module: Any) -> Norm:
    if module is None or isinstance(module, nn.Identity):
        return Norm(module=None)
    centred = type(module).__name__.endswith("LayerNorm")
    eps = getattr(module, "eps", getattr(module, "variance_epsilon", 1e-5))
    norm = Norm(module=module, centred=centred, eps=eps)
    require_linear_once_scaled(norm)
    return norm


def _input_of(hf: Any, block: nn.Module, tokens: Tensor) -> Tensor:
    """The input of the first block: the embeddings, after all that the model does to them."""
    seen: list[Tensor] = []

    def stop(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])
        raise _ReachedError

    handle = block.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        hf.base_model(input_ids=tokens.to(hf.device), use_cache=False)
    except _ReachedError:
        return seen[0]
    finally:
        handle.remove()
    raise ModelError(f"{hf.config.model_type!r} ran without calling its first block")


class _ReachedError(Exception):
    """Raised at the first block, since the rest of the model need not run."""
