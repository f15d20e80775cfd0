"""Train a whole family, every size and seed in parallel processes; then write losses, held-out text and card."""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar
from functools import singledispatch
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from interp_emerge.abilities import _language as language
from interp_emerge.core.errors import InputError
from interp_emerge.core.files import canonical_json, write_atomically
from interp_emerge.training.card import CARD, README, write_card
from interp_emerge.training.outcome import CLAIM, TIMES
from interp_emerge.training.recipe import Recipe
from interp_emerge.training.trainer import (
    LOSSES,
    STATE,
    grow_model,
    held_out_documents,
    is_grown,
    read_losses,
    run_directory,
)

HELD_OUT_LINES = 16
"""Number of documents of each kind in the family's held-out text."""
REPORT_EVERY = 25
"""Number of steps between two reports of a run to the progress bar."""
NOTE_EVERY = 5.0
"""Seconds between two records of the training time. A part that is killed loses at most this much of its time."""
Run = tuple[str, int]
"""Name of the size, and seed."""
LINE: ContextVar[tuple[Any, Any]] = ContextVar("LINE")
"""In a worker: the queue of messages for the progress bar, and the event that stops all training."""


def grow_family(recipe: Recipe, directory: Path, *, workers: int = 0, device: str = "") -> Path:
    """Train every size and seed of a recipe, write the family to `directory`, and return `directory`.

    A second call continues where the first stopped.

    Example:
        >>> recipe = ie.training.load_recipe("miniature")
        >>> ie.training.grow_family(recipe, family.root) == family.root  # all of it is there: nothing is trained
        True

    Args:
        recipe: what to grow.
        directory: checkpoints go to `SIZE/stepN/` in it, those of further seeds to `SIZE/seedK/stepN/`.
        workers: number of models trained at the same time; 0 means one for each processor.
        device: where to train; if empty, a GPU if there is one, else the CPU.

    Raises:
        InputError: the directory contains a family of another recipe, or a README.md that belongs to no family.
    """
    is_new = _claim(directory, recipe)
    runs = [(size.name, seed) for size in reversed(recipe.sizes) for seed in range(size.n_seeds)]
    waiting = [run for run in runs if not is_grown(recipe, run_directory(directory, *run))]
    if not waiting and all((directory / name).is_file() for name in (CARD, "tokenizer.json")):
        return directory
    try:
        begin_family(recipe, directory)
    except InputError:
        if is_new:  # another recipe may have the directory
            (directory / CLAIM).unlink(missing_ok=True)
        raise
    _grow_all(recipe, directory, waiting, len(runs), workers, device)
    _gather_losses(directory, runs)
    _clear_leftovers(directory)
    end_family(recipe, directory)
    return directory


@singledispatch
def begin_family(recipe: Recipe, directory: Path) -> None:  # noqa: ARG001 (its type selects the version)
    """Write the tokenizer, before training. A class of recipes can register its own version."""
    write_tokenizer(directory)


@singledispatch
def grow_run(
    recipe: Recipe, size: str, seed: int, directory: Path, device: str, report: Callable[[int, float], None]
) -> None:
    """Train one size from one seed. A class of recipes can register its own version."""
    grow_model(recipe, recipe.size(size), seed, directory, device=device, report=report)


@singledispatch
def end_family(recipe: Recipe, directory: Path) -> None:
    """Write the held-out text, then the card of a trained family. A class of recipes can register its own version."""
    _write_held_out(directory)
    write_card(directory, recipe)


def write_tokenizer(directory: Path) -> None:
    """Write the language's tokenizer, one token for each word, in Hugging Face format."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(language.VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=language.UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=language.BOS, eos_token=language.BOS, unk_token=language.UNKNOWN
    )
    fast.save_pretrained(directory)


def _grow_all(recipe: Recipe, directory: Path, waiting: list[Run], n_runs: int, workers: int, device: str) -> None:
    """Train the runs in `waiting`, several at the same time."""
    if not waiting:
        return
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    workers = n_processes(workers, len(waiting))
    spawn = multiprocessing.get_context("spawn")
    messages, stop = spawn.Queue(), spawn.Event()
    with (
        _timed(directory, recipe, device),
        _progress(messages, recipe.n_steps, waiting, n_runs),
        ProcessPoolExecutor(workers, spawn, initializer=_join_in, initargs=(messages, stop)) as pool,
    ):
        futures = [pool.submit(_grow, recipe, *run, directory, device) for run in waiting]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _join_in(messages: Any, stop: Any) -> None:
    """Set up a worker process. It exits as soon as the process that started it has ended for any reason."""
    LINE.set((messages, stop))
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def _grow(recipe: Recipe, size: str, seed: int, directory: Path, device: str) -> None:
    """Train one run in a worker, until it is done or another run has failed."""
    messages, stop = LINE.get()

    def report(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0 or step == recipe.n_steps - 1:
            if stop.is_set():
                raise InterruptedError(f"the training of {size}, seed {seed}, was stopped after step {step}")
            messages.put(((size, seed), step + 1, loss))

    grow_run(recipe, size, seed, run_directory(directory, size, seed), device, report)


def n_processes(workers: int, n_models: int) -> int:
    """Number of models that are trained at the same time; 0 `workers` mean one for each processor that may be used."""
    return min(workers or _processors(), n_models)


def _processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(messages: Any, n_steps: int, waiting: list[Run], n_runs: int) -> Iterator[None]:
    """While open, show one progress bar over the steps of all runs; the queue delivers messages (run, step, loss)."""
    done = n_runs - len(waiting)
    with tqdm(total=n_runs * n_steps, initial=done * n_steps, unit="step", smoothing=0.05) as bar:

        def draw() -> None:
            reached = dict.fromkeys(waiting, 0)
            while (message := messages.get()) is not None:
                (size, seed), step, loss = message
                bar.update(step - reached[size, seed])
                reached[size, seed] = step
                whole = done + sum(step == n_steps for step in reached.values())
                bar.set_postfix_str(f"{whole} of {n_runs} models, {size} seed {seed}: {loss:.3f} nats")

        thread = Thread(target=draw, daemon=True)
        thread.start()
        try:
            yield
        finally:
            messages.put(None)
            thread.join()


@contextmanager
def _timed(directory: Path, recipe: Recipe, device: str) -> Iterator[None]:
    """While open, record the elapsed time as a part of the training, and its sum with the parts of earlier calls."""
    path = directory / TIMES
    before = json.loads(path.read_text()) if path.is_file() else {}
    used = {"device": device, "torch": torch.__version__}
    used = {name: _both(before.get(name, ""), value) for name, value in used.items()}
    parts_known = "parts" in before or not before
    started, finished = time.monotonic(), Event()

    def note() -> None:
        part = round(time.monotonic() - started, 1)
        noted = {"seconds": round(before.get("seconds", 0.0) + part, 1), "threads": recipe.threads, **used}
        parts = {"parts": [*before.get("parts", []), part]} if parts_known else {}
        write_atomically(path, canonical_json({**noted, **parts}))

    def note_now_and_then() -> None:
        while not finished.wait(NOTE_EVERY):
            note()

    note()
    thread = Thread(target=note_now_and_then, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
        note()


def _both(before: str, now: str) -> str:
    """The values of earlier calls and of this one, separated by commas, each value once."""
    return ", ".join(dict.fromkeys([*before.split(", "), now] if before else [now]))


def _claim(directory: Path, recipe: Recipe) -> bool:
    """Write which recipe has the directory; returns whether it had none before."""
    claim = directory / CLAIM
    is_new = not claim.is_file()
    content = canonical_json({"hash": recipe.hash, **recipe.to_dict()})
    if not is_new and claim.read_bytes() != content:
        raise InputError(f"{directory} contains a family of another recipe; choose an empty directory")
    if is_new and (directory / README).exists():
        raise InputError(f"{directory} is no family and has a {README}, which a family's card would replace; choose an "
                         "empty directory")  # fmt: skip
    write_atomically(claim, content)
    return is_new


def _gather_losses(directory: Path, runs: list[Run]) -> None:
    parts = [read_losses(run_directory(directory, size, seed)).assign(size=size, seed=seed) for size, seed in runs]
    frame = pd.concat(parts)[["size", "seed", "step", "document", "loss"]].sort_values(["seed", "step"], kind="stable")
    write_atomically(directory / LOSSES, frame.to_csv(index=False).encode())


def _write_held_out(directory: Path) -> None:
    lines = [
        " ".join(language.VOCABULARY[token] for token in document[1:])
        for documents in held_out_documents().values()
        for document in documents.tokens[:HELD_OUT_LINES]
    ]
    write_atomically(directory / "held_out.txt", "\n".join([*lines, ""]).encode())


def _clear_leftovers(directory: Path) -> None:
    """Remove what interrupted runs left: training states, and checkpoints and files that were only partly written."""
    for path in [*directory.rglob(STATE), *directory.rglob(".step*.partial")]:
        shutil.rmtree(path)
    for path in directory.rglob(".*.tmp"):
        path.unlink()
