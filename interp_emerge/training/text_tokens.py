"""Train a byte-level BPE tokenizer on the training documents of a text, and write the token ids of all documents.

Byte-level means that every text can be encoded and is decoded exactly, whatever characters it has (Radford et al.,
2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf). The
held-out documents are not seen by the tokenizer.

Token ids stand in two streams, training and held-out; each document begins with the token `END`.
"""

import io
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import canonical_json, write_atomically, write_together
from interp_emerge.training.reading import Texts, split_documents

END = "<|endoftext|>"
"""The token between two documents, and the first token of every window."""
END_ID = 0
MIN_VOCABULARY = 257
FACTS, HELD_OUT_TEXT, TOKENS = "text.json", "held_out.txt", ".tokens"
PASSAGES = 128
"""At most so many passages of held-out text are written for later measurements."""


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What a family was trained on: the hash of the text, its size and what was held out."""

    hash: str
    n_files: int
    n_copies: int
    n_bytes: int
    n_training_tokens: int
    n_held_out_tokens: int
    unit: str
    held_out: tuple[str, ...]

    @classmethod
    def read(cls, directory: Path) -> "TextFacts":
        found = json.loads((directory / FACTS).read_text())
        return cls(**{**found, "held_out": tuple(found["held_out"])})


def prepare_text(
    texts: Texts,
    directory: Path,
    *,
    wanted: str,
    vocabulary: int,
    context: int,
    batch: int,
    share: float,
    split_seed: int,
) -> TextFacts:
    """Write tokenizer, token ids, held-out passages and facts of a text to the directory of a family.

    If the directory has the token ids, they and the tokenizer are kept.

    Raises:
        InputError: the text is not the one with the hash `wanted`, or it is too little for vocabulary or context.
    """
    if texts.hash != wanted:
        raise InputError("the text has changed since its recipe was made; make the recipe again")
    if (directory / TOKENS / "held_out.npy").is_file():
        return TextFacts.read(directory)
    split = split_documents(texts, share=share, seed=split_seed)
    tokenizer = train_tokenizer(split.training, vocabulary)
    training, held_out = (encode_documents(tokenizer, part) for part in (split.training, split.held_out))
    _require_enough(len(training), batch * context, "training text has", "one batch")
    _require_enough(len(held_out), context, "held-out text has", "one window")
    facts = TextFacts(
        hash=texts.hash,
        n_files=len(texts.names),
        n_copies=texts.n_copies,
        n_bytes=texts.n_bytes,
        n_training_tokens=len(training),
        n_held_out_tokens=len(held_out),
        unit=split.unit,
        held_out=split.held_out_names,
    )
    save_tokenizer(tokenizer, directory)
    passages = held_out_passages(tokenizer, held_out, context)
    write_atomically(directory / HELD_OUT_TEXT, "\n".join([*passages, ""]).encode())
    write_atomically(directory / FACTS, canonical_json(asdict(facts)))
    write_together({directory / TOKENS / f"{name}.npy": _as_bytes(ids)
                    for name, ids in (("training", training), ("held_out", held_out))})  # fmt: skip
    return facts


def train_tokenizer(documents: tuple[str, ...], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer with exactly so many tokens; a merge occurs at least twice in the documents.

    Raises:
        InputError: the text is too little for so many tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    if (found := tokenizer.get_vocab_size()) < vocabulary:
        raise InputError(
            f"the text is too little for a vocabulary of {vocabulary} tokens; it gives {found}: ask for a vocabulary "
            f"of {found} or less, or give more text"
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write a tokenizer in Hugging Face format."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, clean_up_tokenization_spaces=False
    )
    fast.save_pretrained(directory)


def encode_documents(tokenizer: Tokenizer, documents: tuple[str, ...]) -> np.ndarray:
    """Token ids of all documents in one row, each behind `END`."""
    parts = []
    for document in documents:
        # A text may spell out END. It is encoded as ordinary characters, since it ends no document there.
        pieces = [tokenizer.encode(piece).ids for piece in document.split(END)]
        parts.append(np.array([END_ID, *(number for piece in pieces for number in piece)], dtype=np.int32))
    return np.concatenate(parts)


def held_out_passages(tokenizer: Tokenizer, stream: np.ndarray, context: int) -> list[str]:
    """At most `PASSAGES` passages of a line that have at least `context` tokens, spread over the held-out stream."""
    length = context + context // 4 + 8
    starts = np.arange(0, max(1, len(stream) - length + 1), length)
    passages = []
    for start in starts:
        text = tokenizer.decode(stream[start : start + length].tolist(), skip_special_tokens=True)
        line = " ".join(text.split()[1:])  # the first word may be half of one
        if "\ufffd" not in line and len(tokenizer.encode(line).ids) >= context:
            passages.append(line)
    every = np.linspace(0, len(passages) - 1, min(PASSAGES, len(passages))).round().astype(int)
    return [passages[at] for at in every]


def read_tokens(directory: Path, name: str) -> np.ndarray:
    """The token ids of the `training` or the `held_out` documents of a family in progress."""
    return np.load(directory / TOKENS / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def remove_tokens(directory: Path) -> None:
    """Remove the token ids of a family whose training is complete."""
    shutil.rmtree(directory / TOKENS, ignore_errors=True)


def _require_enough(n: int, needed: int, what: str, for_what: str) -> None:
    if n < needed:
        raise InputError(
            f"the {what} {n:,} tokens, and {for_what} needs {needed:,}; give more text, or a smaller context or batch"
        )


def _as_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
