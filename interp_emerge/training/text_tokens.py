"""Train a byte-level BPE tokenizer on the training documents of a text, and write the token ids of all documents.

Byte-level means that every text can be encoded and is decoded exactly, whatever characters it has (Radford et al.,
2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf). The
held-out documents are not seen by the tokenizer.

Token ids stand in two streams, training and held-out; each document begins with the token `END`.

What was prepared is recorded with the hash of each file in `text.json`. A later call makes what is missing or damaged
again, and refuses to go on if it does not come out as it was.
"""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import canonical_json, hash_bytes, write_together
from interp_emerge.training.reading import Split, Texts, split_documents
from interp_emerge.training.trainer import STATE

END = "<|endoftext|>"
"""The token between two documents, and the first token of every window."""
END_ID = 0
MIN_VOCABULARY = 257
FACTS, HELD_OUT_TEXT, TOKENS, TOKENIZER = "text.json", "held_out.txt", ".tokens", "tokenizer.json"
TRAINED_WITH = (TOKENIZER, f"{TOKENS}/training.npy", f"{TOKENS}/held_out.npy")
"""Files on which weights and losses depend."""
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
    files: dict[str, str] = field(default_factory=dict)
    """The hash of each file that was prepared with these facts; empty in a family of an earlier version."""

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

    If all that an earlier call wrote is there and unchanged, it is kept. Otherwise what is missing or damaged is made
    again.

    Raises:
        InputError: the text is not the one with the hash `wanted`, it is too little for vocabulary or context, or a
            file cannot be made again as it was.
    """
    if texts.hash != wanted:
        raise InputError("the text has changed since its recipe was made; make the recipe again")
    known = _recorded(directory, wanted)
    lost = [name for name, kept in known.files.items() if _hash_of_file(directory / name) != kept] if known else None
    if known and not lost:
        return known
    split = split_documents(texts, share=share, seed=split_seed)
    tokenizer = train_tokenizer(split.training, vocabulary)
    streams = {
        "training": encode_documents(tokenizer, split.training),
        "held_out": encode_documents(tokenizer, split.held_out),
    }
    _require_enough(len(streams["training"]), batch * context, "training text has", "one batch")
    _require_enough(len(streams["held_out"]), context, "held-out text has", "one window")
    passages = held_out_passages(tokenizer, streams["held_out"], context)
    made = {
        **tokenizer_files(tokenizer),
        HELD_OUT_TEXT: "\n".join([*passages, ""]).encode(),
        **{f"{TOKENS}/{name}.npy": _as_bytes(ids) for name, ids in streams.items()},
    }
    needed = made if lost is None else {name: made.get(name, b"") for name in lost}
    _require_same(needed, directory, known)
    if known:
        write_together({directory / name: content for name, content in needed.items()})
        return known
    facts = _facts(texts, split, streams, made)
    # Files are moved into place in this order, so the record is there only once all else is.
    write_together({**{directory / name: content for name, content in made.items()},
                    directory / FACTS: canonical_json(asdict(facts))})  # fmt: skip
    return facts


def _facts(texts: Texts, split: Split, streams: Mapping[str, np.ndarray], made: Mapping[str, bytes]) -> TextFacts:
    return TextFacts(
        hash=texts.hash,
        n_files=len(texts.names),
        n_copies=texts.n_copies,
        n_bytes=texts.n_bytes,
        n_training_tokens=len(streams["training"]),
        n_held_out_tokens=len(streams["held_out"]),
        unit=split.unit,
        held_out=split.held_out_names,
        files={name: hash_bytes(content) for name, content in made.items()},
    )


def _recorded(directory: Path, wanted: str) -> TextFacts | None:
    """What an earlier call prepared from the text of this hash, if it is on record with the hash of each file."""
    try:
        facts = TextFacts.read(directory)
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged
        return None
    return facts if facts.hash == wanted and {*TRAINED_WITH} <= {*facts.files} else None


def _require_same(made: Mapping[str, bytes], directory: Path, known: TextFacts | None) -> None:
    """Refuse what differs from what models were trained with: by the record, or without one by the files there."""
    if known:
        wanted = known.files
    elif any(directory.rglob(STATE)) or any(directory.rglob("step*")):
        wanted = {name: found for name in TRAINED_WITH if (found := _hash_of_file(directory / name))}
        if TOKENIZER not in wanted:
            raise InputError(
                f"{directory} has lost both {TOKENIZER} and the hash of it in {FACTS}, so nothing says which tokens "
                "its models were trained on; put one of the files back, or choose an empty directory"
            )
    else:
        return
    if other := [name for name, content in made.items() if name in wanted and hash_bytes(content) != wanted[name]]:
        raise InputError(
            f"{', '.join(other)} in {directory}: the text does not give this as it was when training began, perhaps "
            "because tokenizers or transformers has another version; put it back, or choose an empty directory"
        )


def _hash_of_file(path: Path) -> str:
    """The hash of a file's content; empty if there is no file."""
    return hash_bytes(path.read_bytes()) if path.is_file() else ""


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


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """The files of a tokenizer in Hugging Face format, by name."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, clean_up_tokenization_spaces=False
    )
    with TemporaryDirectory() as place:
        fast.save_pretrained(place)
        return {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}


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
