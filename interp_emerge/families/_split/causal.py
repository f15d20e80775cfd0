"""Find the causal language model inside a wrapper, and refuse a model that is not causal, by running it."""

from typing import Any

import torch
from torch import nn

from interp_emerge.core.decoder import only_running
from interp_emerge.core.errors import ModelError
from interp_emerge.core.whole import run_whole
from interp_emerge.families._split.handed import random_prompts
from interp_emerge.families._split.shape import short_length, vocabulary_size

WRAPPERS = ("_orig_mod", "module")
"""Where compiled and distributed modules keep the model that they wrap."""
CHANGE = 1e-3
"""Largest change of earlier logits by a later token, as a fraction of their spread. In causal models of every
architecture it is 0 to 2e-6, or up to 0.03 in half precision. In encoders it is 0.05 or more."""
HALF_PRECISION = 0.04
LENGTH = 6


def unwrapped(model: Any) -> Any:
    """The Hugging Face model inside wrappers for compilation, distributed training or adapters.

    Raises:
        ModelError: `model` is not a Hugging Face causal language model, or the wrapper puts prompts in front of texts.
    """
    inner = model
    while not hasattr(inner, "get_output_embeddings") or hasattr(inner, "_orig_mod"):
        found = next(
            (getattr(inner, name) for name in WRAPPERS if isinstance(getattr(inner, name, None), nn.Module)), None
        )
        if found is None:
            break
        inner = found
    if callable(getattr(inner, "get_base_model", None)):
        if getattr(getattr(inner, "active_peft_config", None), "is_prompt_learning", False):
            raise ModelError("this adapter puts learned prompts in front of every text, which the model alone does not "
                             "have; analyse the base model, or an adapter that changes weights")  # fmt: skip
        inner = inner.get_base_model()
    config = getattr(inner, "config", None)
    if config is None or getattr(inner, "get_output_embeddings", lambda: None)() is None:
        raise ModelError(f"{type(model).__name__} is not a Hugging Face causal language model with output embeddings; "
                         "load one with transformers.AutoModelForCausalLM.from_pretrained(...)")  # fmt: skip
    if isinstance(inner.get_output_embeddings(), nn.ModuleList):
        raise ModelError(
            f"{type(model).__name__} has several output embeddings; this package needs one that gives next-token logits"
        )
    return inner


@torch.no_grad()
def require_causal(hf: Any, name: object) -> None:
    """Raise a `ModelError` unless the model gives next-token logits that do not depend on later tokens."""
    if getattr(hf.config, "is_encoder_decoder", False):
        raise ModelError(f"{name} ({hf.config.model_type}) is an encoder with a decoder; this package analyses models "
                         "that read one text from left to right, such as GPT-2 or Llama")  # fmt: skip
    # Two other last tokens: one alone may change little by chance.
    tokens = random_prompts(hf, 1, min(LENGTH, short_length(hf))).repeat(3, 1)
    elsewhere = tokens[0][tokens[0] != tokens[0, -1]]
    tokens[1:, -1] = (tokens[0, -1] + 1) % vocabulary_size(hf)
    if len(elsewhere):
        tokens[2, -1] = elsewhere[0]
    try:
        with only_running(hf):
            logits = run_whole(hf, tokens).float()
    except Exception as error:  # every architecture has errors of its own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} ({hf.config.model_type}) does not run on token ids alone: {reason}") from error
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape:
        raise ModelError(f"{name} ({hf.config.model_type}) gives logits of shape {list(logits.shape)} for prompts of "
                         f"shape {list(tokens.shape)}; expected next-token logits after each token")  # fmt: skip
    change = (logits[1:, :-1] - logits[0, :-1]).abs().max() / logits[0, :-1].std().clamp_min(1e-30)
    limit = CHANGE if next(hf.parameters()).dtype in (torch.float32, torch.float64) else HALF_PRECISION
    if not change < limit:
        raise ModelError(f"{name} ({hf.config.model_type}) is not causal: its last token changes earlier logits "
                         f"(by {float(change):.1g} standard deviations); this package analyses models that read from "
                         "left to right (some architectures do so with is_decoder=True in the configuration)"
                         )  # fmt: skip
