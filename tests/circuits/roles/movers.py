"""A model by hand whose heads move or suppress one of two names, and prompts with two names."""

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import interp_emerge as ie
from interp_emerge.core.model import HookedModel

VOCABULARY, PLACES = 40, 48
ANSWER, SUBJECT = 1, 4
"""Positions of the answer, and of the second occurrence of the name that is repeated."""
HEADS = {
    "a0.h0": (ANSWER, 1.0),
    "a0.h1": (ANSWER, -0.5),
    "a0.h2": (SUBJECT, -1.0),
    "a0.h3": (SUBJECT, 0.5),
}
"""The position that each head attends to, and how strongly it writes the token that stands there, or minus that token.
Those that work against the answer are weaker, so that the model prefers the answer."""


def names_in_prompts(n: int) -> ie.PromptPairs:
    """Pairs after the pattern of indirect objects: two names, one of them again; the answer is the other one."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(np.arange(10, VOCABULARY), 3, replace=False).tolist() for _ in range(n)]
    return ie.PromptPairs(
        clean=[[1, answer, subject, filler, subject, 2] for answer, subject, filler in drawn],
        corrupt=[[1, subject, answer, filler, answer, 2] for answer, subject, filler in drawn],
        answer=[answer for answer, *_ in drawn],
        foil=[subject for _, subject, _ in drawn],
    )


@torch.no_grad()
def movers() -> HookedModel:
    """A model of one layer with the heads of `HEADS`. Tokens and positions are one-hot."""
    width = len(HEADS) * PLACES
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=PLACES, n_embd=width, n_layer=1, n_head=len(HEADS),
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    hf: Any = GPT2LMHeadModel(config)
    (block,) = hf.transformer.h
    for parameter in (hf.transformer.wte.weight, hf.transformer.wpe.weight, *block.parameters()):
        parameter.zero_()
    block.ln_1 = nn.Identity()
    tokens, places = torch.eye(VOCABULARY), torch.eye(PLACES)
    written = torch.diag(1 + torch.arange(VOCABULARY) / VOCABULARY)  # so that effects differ from pair to pair
    hf.transformer.wte.weight[:, :VOCABULARY] = tokens
    hf.transformer.wpe.weight[:, VOCABULARY : VOCABULARY + PLACES] = places
    for head, (place, sign) in enumerate(HEADS.values()):
        start = head * PLACES
        block.attn.c_attn.bias[start + place] = 300.0
        block.attn.c_attn.weight[VOCABULARY : VOCABULARY + PLACES, width + start : width + start + PLACES] = places
        block.attn.c_attn.weight[:VOCABULARY, 2 * width + start : 2 * width + start + VOCABULARY] = tokens
        block.attn.c_proj.weight[start : start + VOCABULARY, :VOCABULARY] = sign * written
    return ie.hook(hf)
