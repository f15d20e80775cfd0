"""Grow a whole family: every size and seed in parallel processes, then its tokenizer, held-out text and card."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from interp_emerge.abilities import _language as language
from interp_emerge.core.errors import InputError
from interp_emerge.core.files import canonical_json, write_atomically
from interp_emerge.training.recipe import Recipe
from interp_emerge.training.trainer import grow_model, held_out_documents


def grow_family(recipe: Recipe, directory: Path, *, workers: int = 0, device: str = "") -> Path:
    """Train every size and seed of a recipe into `directory`; a second call goes on where the first stopped.

    Args:
        recipe: what to grow.
        directory: where the family goes; `SIZE/stepN/`, further seeds under `SIZE/seedK/stepN/`.
        workers: models trained at the same time; 0 means one for each processor.
        device: where to train; empty means a GPU if there is one.

    Raises:
        InputError: the directory holds another recipe's family.
    """
    _claim(directory, recipe)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    runs = [(size.name, seed) for size in reversed(recipe.sizes) for seed in range(size.n_seeds)]
    workers = min(workers or len(os.sched_getaffinity(0)), len(runs))
    started = time.time()
    write_tokenizer(directory)
    with _progress(len(runs) * recipe.n_steps) as messages, ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        futures = {run: pool.submit(_grow, recipe, *run, directory, device, messages) for run in runs}
        losses = [future.result().assign(size=size, seed=seed) for (size, seed), future in futures.items()]
    frame = pd.concat(losses)[["size", "seed", "step", "document", "loss"]].sort_values(["seed", "step"], kind="stable")
    write_atomically(directory / "losses.csv", frame.to_csv(index=False).encode())
    _write_held_out(directory)
    return _note_time(directory, recipe, time.time() - started, device)


def run_directory(directory: Path, size: str, seed: int) -> Path:
    """Where the checkpoints of a size and seed lie."""
    return directory / size if seed == 0 else directory / size / f"seed{seed}"


def write_tokenizer(directory: Path) -> None:
    """The language's tokenizer, one token a word, in Hugging Face format."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(language.VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=language.UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=language.BOS, eos_token=language.BOS, unk_token=language.UNKNOWN
    )
    fast.save_pretrained(directory)


def _grow(recipe: Recipe, size: str, seed: int, directory: Path, device: str, messages: Any) -> pd.DataFrame:
    def report(step: int, loss: float) -> None:
        if step % 25 == 0 or step >= recipe.n_steps - 1:
            messages.put((f"{size}/seed{seed}", min(step + 1, recipe.n_steps), loss))

    return grow_model(
        recipe, recipe.size(size), seed, run_directory(directory, size, seed), device=device, report=report
    )


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A queue for (run, step, loss), drawn as one bar over the steps of all runs."""
    with multiprocessing.get_context("spawn").Manager() as manager, tqdm(total=total, unit="step") as bar:
        messages = manager.Queue()

        def draw() -> None:
            reached: dict[str, int] = {}
            while (message := messages.get()) is not None:
                run, step, loss = message
                bar.update(step - reached.get(run, 0))
                bar.set_postfix_str(f"{run} loss {loss:.3f}")
                reached[run] = step

        thread = Thread(target=draw, daemon=True)
        thread.start()
        try:
            yield messages
        finally:
            messages.put(None)
            thread.join()


def _claim(directory: Path, recipe: Recipe) -> None:
    claim = directory / "recipe.json"
    content = canonical_json({"hash": recipe.hash, **recipe.to_dict()})
    if claim.is_file() and claim.read_bytes() != content:
        raise InputError(f"{directory} holds a family of another recipe; choose an empty directory")
    write_atomically(claim, content)


def _write_held_out(directory: Path) -> None:
    lines = [
        " ".join(language.VOCABULARY[token] for token in document[1:])
        for documents in held_out_documents().values()
        for document in documents.tokens[:16]
    ]
    write_atomically(directory / "held_out.txt", "\n".join([*lines, ""]).encode())


def _note_time(directory: Path, recipe: Recipe, seconds: float, device: str) -> Path:
    note = {"seconds": round(seconds, 1), "device": device, "threads": recipe.threads, "torch": torch.__version__}
    path = directory / "training.json"
    if not path.is_file():
        write_atomically(path, canonical_json(note))
    return directory
