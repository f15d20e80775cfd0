"""Small tokenizers of the kinds that people bring, made on the spot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AddedToken, PreTrainedTokenizer, PreTrainedTokenizerFast

WORDS = ("When", "Mary", "and", "John", "met", "at", "the", "park", "gave", "book", "to", "a", ",", ".")


def wrapped(tokenizer: Tokenizer, **special: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def words(vocabulary: dict[str, int], *, unknown: str | None = "<unk>") -> Tokenizer:
    """One token a word, between spaces."""
    known = {} if unknown is None else {"unk_token": unknown}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, **known))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def numbered(*special: str, n: int = 40) -> dict[str, int]:
    """A vocabulary of special tokens first, then t5, t6, …."""
    return {special[token] if token < len(special) else f"t{token}": token for token in range(n)}


def sentencepiece(kind: str, *, extra: Sequence[str] = ()) -> Tokenizer:
    """Words with and without a space in front, read as Llama 2's tokenizer does, or by a way of Metaspace."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3}
    for text in (*(piece for word in WORDS for piece in (f"▁{word}", word)), *extra):
        vocabulary.setdefault(text, len(vocabulary))
    scored = [(text, 0.0 if len(text) < 2 else -1.0) for text in vocabulary]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=0))
    if kind == "llama":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        tokenizer.decoder = decoders.Sequence(parts)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=kind)
    return tokenizer


def byte_level(*, add_prefix_space: bool = False, special: Sequence[str] = ("<|endoftext|>",)) -> Tokenizer:
    """Bytes, and the words of a sentence with a space in front, merged as GPT-2's are."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*special], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(["", *WORDS]), " ".join(WORDS)] * 5, trainer)
    return tokenizer


def adding(tokenizer: Tokenizer, template: str, **ids: int) -> Tokenizer:
    """The same tokenizer, which puts special tokens around a text, as `<s> $A </s>` says."""
    special = [(text, ids[name]) for name, text in (("s", "<s>"), ("e", "</s>")) if name in ids]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return tokenizer


def added(tokenizer: PreTrainedTokenizerFast, *texts: str) -> PreTrainedTokenizerFast:
    """The same tokenizer with tokens of one's own behind the others."""
    for text in texts:
        tokenizer.add_tokens(AddedToken(text, special=False, normalized=False))
    return tokenizer


class PythonWords(PreTrainedTokenizer):
    """A tokenizer that is written in Python: one token a word."""

    def __init__(self, vocabulary: dict[str, int] | None = None, **options: Any) -> None:
        self.vocabulary = vocabulary or numbered("<s>", "<unk>", n=20)
        super().__init__(**{"bos_token": "<s>", "unk_token": "<unk>", **options})

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def get_vocab(self) -> dict[str, int]:
        return {**self.vocabulary, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int:
        return self.vocabulary.get(token, self.vocabulary["<unk>"])

    def _convert_id_to_token(self, index: int) -> str:
        return {number: word for word, number in self.vocabulary.items()}[index]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        path = Path(save_directory) / f"{filename_prefix or ''}words.json"
        path.write_text(json.dumps(self.vocabulary))
        return (str(path),)
