"""Make a `HookedModel` of a Hugging Face model in memory, and a TransformerBridge of a `HookedModel`."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from interp_emerge.core.arguments import checked
from interp_emerge.core.model import HookedModel
from interp_emerge.core.spec import ModelSpec
from interp_emerge.core.tokens.lexicon import FirstTokens
from interp_emerge.core.weights import hash_weights, require_finite, require_weights_at_hand
from interp_emerge.core.whole import fixed_answers
from interp_emerge.families._disk.tokenizers import as_tokenizer, require_fitting_tokenizer
from interp_emerge.families._split.anatomy import find_decoder
from interp_emerge.families._split.causal import require_causal, unwrapped
from interp_emerge.families._split.shape import shape_of, vocabulary_size


@checked
def hook(
    hf_model: nn.Module, *, tokenizer: Any = None, prepend_bos: FirstTokens = None, spec: ModelSpec | None = None
) -> HookedModel:
    """A `HookedModel` around a causal language model that is already in memory; the model is put into eval mode.

    Example:
        >>> mine = ie.hook(hf_model, tokenizer=tokenizer)
        >>> logits, cache = mine.run_with_cache("Mary met John")
        >>> logits.shape
        torch.Size([1, 3, 64])

    Args:
        hf_model: any Hugging Face causal language model.
        tokenizer: its tokenizer, of transformers or tokenizers, or the path of one; without one, prompts are token ids.
        prepend_bos: what stands first in every prompt that is made for the model: True for the tokenizer's
            beginning-of-text token, False for nothing, a token as text such as `"<|endoftext|>"` or as its id. By
            default whatever the tokenizer itself puts in front of a text, which may be nothing; without a tokenizer,
            the beginning-of-text token of the configuration. `first_token_losses` compares the choices.
        spec: what the model is, if known; by default its class gives the name and a hash of its weights the revision.

    Raises:
        ModelError: a weight is not finite or not in memory, the model is not a causal language model, or the tokenizer
            has tokens that the model lacks.
        InputError: `tokenizer` is not a tokenizer, or `prepend_bos` is not one of the model's tokens.
    """
    hf = unwrapped(hf_model)
    name = str(spec or type(hf).__name__)
    require_weights_at_hand(hf, name)
    require_finite(hf, name)
    tokenizer = as_tokenizer(tokenizer)
    require_fitting_tokenizer(tokenizer, vocabulary_size(hf), name)
    hf.eval()
    require_causal(hf, name)
    if spec is None:
        dtype = str(next(hf.parameters()).dtype).removeprefix("torch.")
        spec = ModelSpec(
            family="memory", size=name, step=0, revision=hash_weights(hf, fixed_answers(hf, shape_of(hf))), dtype=dtype
        )
    parts: dict[str, Any] = {"find_decoder": find_decoder, "build_bridge": _build_bridge, "read_shape": shape_of}
    return HookedModel(hf, tokenizer=tokenizer, prepend_bos=prepend_bos, spec=spec, **parts)


def untrained(model: HookedModel, seed: int) -> HookedModel:
    """A model of the same configuration with random initial weights: the null for what training changed.

    Example:
        >>> ie.evaluate(ie.families.untrained(model, seed=0), circuit, held_out).why_undefined
    """
    with torch.random.fork_rng(), torch.device(model.device):
        torch.manual_seed(seed)
        fresh = type(model.hf)(copy.deepcopy(model.hf.config)).to(model.dtype)
    spec = replace(model.spec, family=f"{model.spec.family}, untrained", step=0, seed=seed, revision=f"draw {seed}")
    return hook(fresh, tokenizer=model.tokenizer, prepend_bos=model.bos, spec=spec)


def configuration_of(model: HookedModel) -> dict[str, Any]:
    """Everything that an untrained model depends on except its seed and dtype, as plain values."""
    config = json.loads(model.hf.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)
    return config


def _build_bridge(model: HookedModel) -> Any:
    """A TransformerBridge over a second set of modules that share the model's parameters.

    Building a bridge replaces a model's modules in place. The copy keeps the analyses on unchanged Hugging Face
    modules and costs no memory for weights.
    """
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    shared = {id(tensor): tensor for tensor in chain(model.hf.parameters(), model.hf.buffers())}
    shell = copy.deepcopy(model.hf, memo=shared)
    with _on_disk(copy.deepcopy(model.tokenizer)) as tokenizer:
        bridge = build_bridge_from_module(
            shell,
            type(model.hf).__name__,
            hf_config=copy.deepcopy(model.hf.config),
            tokenizer=tokenizer,
            model_name=str(model.spec),
        )
    bridge.eval()
    return bridge


@contextmanager
def _on_disk(tokenizer: Any) -> Iterator[Any]:
    """While open, the directory that the tokenizer names as its origin exists and holds it.

    A bridge loads its tokenizer a second time from its origin. That may have been memory, a directory that is gone, or
    the hub.
    """
    if tokenizer is None:
        yield None
        return
    with TemporaryDirectory() as directory:
        tokenizer.save_pretrained(directory)
        tokenizer.init_kwargs["name_or_path"] = directory
        yield tokenizer
