"""Models that read text in different ways, and files of prompt pairs in the miniature language."""

import json
from pathlib import Path
from typing import Any

import interp_emerge as ie
from interp_emerge.abilities._language import NAMES, PLACES
from interp_emerge.core.model import HookedModel
from tests.models.small_models import build
from tests.models.tokenizers import WORDS, PythonWords, adding, byte_level, sentencepiece, wrapped


def bytes_model(**changes: Any) -> HookedModel:
    """Byte-level: known words with a space in front are one token, everything else is single bytes."""
    tokenizer = wrapped(byte_level(), bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    return ie.hook(build("gpt_neox", vocab_size=600, **changes), tokenizer=tokenizer)


def llama_model() -> HookedModel:
    """Words, with a space that the tokenizer puts in front of every text; prompts begin with <s>."""
    tokenizer = wrapped(adding(sentencepiece("llama"), "<s> $A", s=1), bos_token="<s>", unk_token="<unk>")
    return ie.hook(build("gpt_neox", vocab_size=600), tokenizer=tokenizer)


def python_model() -> HookedModel:
    """A tokenizer in Python, which does not say where its tokens are."""
    vocabulary = {"<s>": 0, "<unk>": 1, **{word: 2 + place for place, word in enumerate(WORDS)}}
    return ie.hook(build("gpt_neox", vocab_size=600), tokenizer=PythonWords(vocabulary), prepend_bos=True)


def row(number: int, **changed: Any) -> dict[str, Any]:
    """A row of the file: two names of the miniature language, of which the second or the first gives."""
    first, second = NAMES[number % 20], NAMES[(number + 1 + number // 20) % 20]
    place = PLACES[number % 8]
    text = f" When {first} and {second} met at the {place}, {{}} gave the book to"
    given: dict[str, Any] = {
        "clean": text.format(second),
        "corrupt": text.format(first),
        "answer": f" {first}",
        "foil": f" {second}",
        "template": ("even", "odd")[number % 2],
        "position.giver": {"clean": [second, 2], "corrupt": [first, 2]},
        "position.last": -1,
        "variable.receiver": first,
        "variable.number": number,
    }
    return {key: value for key, value in {**given, **changed}.items() if value is not None}


def write(path: Path, rows: list[dict[str, Any]], header: dict[str, Any] | None = None) -> Path:
    lines = [json.dumps(one) for one in ([header] if header else []) + rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def own_file(folder: Path, n: int = 40, **header: Any) -> Path:
    return write(folder / "mine.jsonl", [row(number) for number in range(n)], {"chance": 0.5, **header})
