"""A small untrained model with the tokenizer of the miniature language, for which prompts are drawn."""

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

import interp_emerge as ie
from interp_emerge.abilities._language import BOS, UNKNOWN, VOCABULARY
from interp_emerge.core.model import HookedModel


@pytest.fixture(scope="session")
def speaker() -> HookedModel:
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token=BOS, unk_token=UNKNOWN)
    config = GPTNeoXConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    return ie.hook(GPTNeoXForCausalLM(config).eval(), tokenizer=tokenizer, prepend_bos=True)


@pytest.fixture(scope="session")
def bare(speaker: HookedModel) -> HookedModel:
    """The same model without its tokenizer."""
    return ie.hook(speaker.hf)


@pytest.fixture(scope="session")
def read(speaker: HookedModel) -> Callable[[Tensor], list[str]]:
    """Token ids as words, the beginning-of-text token left out."""

    def words(ids: Tensor) -> list[str]:
        return [word.strip() for word in speaker.words(ids.reshape(-1).tolist()) if word.strip() != BOS]

    return words
