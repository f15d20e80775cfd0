"""From a Hugging Face model in memory to a `HookedModel`, and from there to a TransformerBridge."""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel, ModelSpec, require_finite
from interp_emerge.families._anatomy import find_decoder


def hook(hf_model: nn.Module, *, tokenizer: Any = None, spec: ModelSpec | None = None) -> HookedModel:
    """A `HookedModel` around a causal language model that is already in memory; the model is put into eval mode.

    Args:
        hf_model: any Hugging Face causal language model.
        tokenizer: its tokenizer; without one, prompts are token ids.
        spec: what the model is, if known; by default it is named after its class and known by a hash of its weights.

    Raises:
        ModelError: a weight is not finite, the model is no causal language model, or the tokenizer has more tokens.
    """
    config = getattr(hf_model, "config", None)
    if config is None or getattr(hf_model, "get_output_embeddings", lambda: None)() is None:
        raise ModelError(f"{type(hf_model).__name__} is no Hugging Face causal language model with output embeddings")
    name = str(spec or type(hf_model).__name__)
    require_finite(hf_model, name)
    _require_fitting_tokenizer(hf_model, tokenizer, name)
    hf_model.eval()
    if spec is None:
        dtype = str(next(hf_model.parameters()).dtype).removeprefix("torch.")
        spec = ModelSpec(family="memory", size=name, step=0, revision=_hash_weights(hf_model), dtype=dtype)
    return HookedModel(hf_model, tokenizer=tokenizer, spec=spec, find_decoder=find_decoder, build_bridge=_build_bridge)


def untrained(model: HookedModel, seed: int) -> HookedModel:
    """A model of the same configuration with freshly drawn weights: the null of what training made."""
    with torch.random.fork_rng(), torch.device(model.device):
        torch.manual_seed(seed)
        fresh = type(model.hf)(copy.deepcopy(model.hf.config)).to(model.dtype)
    spec = replace(model.spec, family=f"{model.spec.family}, untrained", step=0, seed=seed, revision=f"draw {seed}")
    return hook(fresh, tokenizer=model.tokenizer, spec=spec)


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
    """While open, the tokenizer lies where it says that it was loaded from.

    A bridge loads its tokenizer a second time from there, which may be nowhere, gone or on the hub.
    """
    if tokenizer is None:
        yield None
        return
    with TemporaryDirectory() as directory:
        tokenizer.save_pretrained(directory)
        tokenizer.init_kwargs["name_or_path"] = directory
        yield tokenizer


def _require_fitting_tokenizer(hf: nn.Module, tokenizer: Any, name: str) -> None:
    vocabulary = int(hf.get_output_embeddings().weight.shape[0])  # pyright: ignore[reportCallIssue]
    if tokenizer is not None and len(tokenizer) > vocabulary:
        raise ModelError(f"the tokenizer does not fit {name}: it has {len(tokenizer)} tokens, the model {vocabulary}; "
                         "give the tokenizer that the model was trained with")  # fmt: skip


def _hash_weights(hf: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, parameter in hf.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
