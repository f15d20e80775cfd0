"""How long the training of a family on text will take and how much disk it needs, from a few timed steps."""

import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from transformers.utils.logging import disable_progress_bar

from interp_emerge.core.arguments import checked
from interp_emerge.core.record import Record
from interp_emerge.training._text_run import TextRun
from interp_emerge.training.growing import n_processes
from interp_emerge.training.text import TextRecipe, begin_text
from interp_emerge.training.text_card import n_parameters
from interp_emerge.training.text_tokens import TextFacts, read_tokens

TIMED_STEPS = 3
BUSY = 1.2
"""From this ratio of elapsed to processor time on, the machine counts as busy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingEstimate(Record):
    """What a training is expected to cost. `str` gives the lines that `--dry-run` prints.

    `sizes` has the columns `size`, `n_parameters`, `learning_rate`, `n_seeds`, `seconds_per_step` and `cpu_minutes` (of
    one model, in processor time) and `mb` (of all its checkpoints and seeds). `busy` is the time that the timed steps
    took, divided by their processor time: 1 on an idle machine.
    """

    recipe: TextRecipe
    facts: TextFacts
    sizes: pd.DataFrame
    workers: int
    busy: float

    @property
    def minutes(self) -> float:
        """Minutes until the last model is trained, if every process has an idle processor of its own."""
        free = [0.0] * self.workers
        for minutes, n_seeds in self.sizes[["cpu_minutes", "n_seeds"]].to_numpy()[::-1]:
            for _ in range(int(n_seeds)):
                heapq.heappush(free, heapq.heappop(free) + float(minutes))
        return max(free)

    @property
    def mb(self) -> float:
        """Disk of all checkpoints, MB."""
        return float(self.sizes["mb"].sum())

    def __str__(self) -> str:
        recipe, facts = self.recipe, self.facts
        seen = recipe.n_steps * recipe.tokens_per_step / facts.n_training_tokens
        n_models = int(self.sizes["n_seeds"].sum())
        slower = f", {self.minutes * self.busy:.0f} if it stays as busy as it is now" if self.busy > BUSY else ""
        lines = [
            f"text: {facts.n_files:,} files, {facts.n_bytes / 1e6:.1f} MB, {facts.n_training_tokens:,} tokens to train "
            f"on, {facts.n_held_out_tokens:,} held out ({len(facts.held_out)} of its {facts.unit}s)",
            f"training: {recipe.n_steps:,} steps of {recipe.tokens_per_step:,} tokens, {seen:.1f} times the text",
            f"checkpoints: {', '.join(map(str, recipe.checkpoints))}",
            "",
            self.sizes.round({"seconds_per_step": 4, "cpu_minutes": 1, "mb": 1}).to_string(index=False),
            "",
            f"time: {n_models} models, {self.workers} at once, about {self.minutes:.0f} minutes on an idle machine"
            + slower,
            f"disk: {self.mb:.0f} MB",
        ]
        return "\n".join(lines)


@checked
def estimate_training(recipe: TextRecipe, *, workers: int = 0, device: str = "cpu") -> TrainingEstimate:
    r"""The time and disk of a training, from `TIMED_STEPS` steps and one checkpoint of each size.

    The tokenizer is trained, so that a text that is too little is refused here. Nothing is kept.

    Example:
        >>> Path("mine.txt").write_text("the cat sat on the mat, and the dog lay by the door.\n" * 400)
        >>> small = {"sizes": ("1x16",), "steps": 4, "vocabulary": 270, "context": 32, "batch": 2}
        >>> recipe = ie.training.text_recipe("mine.txt", **small)
        >>> ie.training.estimate_training(recipe, workers=1)

    Args:
        recipe: what would be grown.
        workers: number of models trained at the same time; 0 means one for each processor.
        device: where it would be trained.

    Raises:
        InputError: the text is too little for the recipe, or has changed since the recipe was made.
    """
    disable_progress_bar()
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        with TemporaryDirectory() as place:
            begin_text(recipe, Path(place))
            facts = TextFacts.read(Path(place))
            rows = [_measure(recipe, size.name, Path(place), device) for size in recipe.sizes]
    finally:
        torch.set_num_threads(threads)
    n_models = sum(size.n_seeds for size in recipe.sizes)
    sizes = pd.DataFrame(rows)
    busy = float(sizes.pop("busy").median())
    return TrainingEstimate(recipe=recipe, facts=facts, sizes=sizes, workers=n_processes(workers, n_models), busy=busy)


def _measure(recipe: TextRecipe, name: str, place: Path, device: str) -> dict[str, float | int | str]:
    size, shape = recipe.size(name), (recipe.batch, recipe.context)
    streams = {part: read_tokens(place, part) for part in ("training", "held_out")}
    run = TextRun(recipe, size, 0, place / name, device, streams=streams, shape=shape, vocabulary=recipe.vocabulary)
    run.take_step()  # the first step also allocates
    with _clock() as steps:
        for _ in range(TIMED_STEPS):
            run.take_step()
    with _clock() as checkpoint:
        run.keep_checkpoint()
    # On a GPU the processor waits, so its time says nothing.
    step, keeping = (clock.cpu if device == "cpu" else clock.elapsed for clock in (steps, checkpoint))
    n_bytes = sum(path.stat().st_size for path in (place / name).rglob("*") if path.is_file())
    return {
        "size": name,
        "n_parameters": n_parameters(size),
        "learning_rate": size.learning_rate,
        "n_seeds": size.n_seeds,
        "seconds_per_step": step / TIMED_STEPS,
        "cpu_minutes": (recipe.n_steps * step / TIMED_STEPS + len(recipe.checkpoints) * keeping) / 60,
        "mb": n_bytes * len(recipe.checkpoints) * size.n_seeds / 1e6,
        "busy": max(1.0, steps.elapsed / step),
    }


@dataclass
class _Clock:
    """Seconds of processor time and of the clock on the wall."""

    cpu: float = 0.0
    elapsed: float = 0.0


@contextmanager
def _clock() -> Iterator[_Clock]:
    clock, cpu, started = _Clock(), time.process_time(), time.monotonic()
    yield clock
    clock.cpu, clock.elapsed = time.process_time() - cpu, time.monotonic() - started
