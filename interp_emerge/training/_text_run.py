"""Train one model on random windows of a text, and measure its loss by position on held-out windows.

A window is the token `END` and the tokens that follow any position of the training stream, so the first token of a
prompt is always the same. A window may go from one document to the next, with `END` between them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXForCausalLM

from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.text_tokens import END_ID, read_tokens
from interp_emerge.training.trainer import _Run, carry_out, fresh_model, is_grown, read_losses

MEASURED_WINDOWS = 256
"""Number of windows on which losses are measured, of the training text and of the held-out text each."""
TRAINING, HELD_OUT = "training text", "held-out text"


def windows(stream: np.ndarray, starts: np.ndarray, context: int) -> np.ndarray:
    """Windows of a stream of token ids, each behind `END`, shape [window, context]."""
    following = stream[starts[:, None] + np.arange(context - 1)]
    return np.concatenate([np.full((len(starts), 1), END_ID), following], axis=1).astype(np.int64)


def spread_windows(stream: np.ndarray, context: int, n: int = MEASURED_WINDOWS) -> np.ndarray:
    """At most `n` windows that do not overlap, spread evenly over a stream, shape [window, context]."""
    n = min(n, len(stream) // (context - 1))
    return windows(stream, np.linspace(0, len(stream) - context + 1, n).astype(int), context)


def read_again(rng: np.random.Generator, rows: np.ndarray, share: float) -> np.ndarray:
    """The windows with a share of them changed: the first passage is read again and again, to the end of the window.

    A passage has from an eighth to a half of the window, so that the distance to its repetition varies.
    """
    rows, context = rows.copy(), rows.shape[1]
    for row in rows[: round(share * len(rows))]:
        length = int(rng.integers(context // 8, context // 2 + 1))
        row[1:] = np.resize(row[1 : 1 + length], context - 1)
    return rows


def bands(context: int) -> dict[str, slice]:
    """Early and late predicted positions: from 5% to 15% of the context and its last 10%, with their names.

    The slices count predicted tokens from 0, the names from 1.
    """
    n = context - 1
    edges = (max(1, round(0.05 * n)), round(0.15 * n)), (round(0.9 * n), n)
    return {f"{HELD_OUT}, tokens {low} to {high}": slice(low - 1, high) for low, high in edges}


def grow_on_text(
    recipe: Recipe,
    size: SizeRecipe,
    seed: int,
    directory: Path,
    *,
    family: Path,
    vocabulary: int,
    context: int,
    batch: int,
    repeated: float = 0.0,
    initial: float = 0.8,
    device: str = "cpu",
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> pd.DataFrame:
    """Train one size from one seed and save checkpoints to `directory/stepN/`; a finished run is not repeated.

    Returns:
        Loss at every checkpoint, columns `step`, `document`, `loss` (nats per token). Documents are the training text,
        the held-out text, and its early and its late positions (`bands`).
    """
    if is_grown(recipe, directory):
        return read_losses(directory)
    streams = {name: read_tokens(family, name) for name in ("training", "held_out")}
    shape = (batch, context)
    run = TextRun(
        recipe, size, seed, directory, device, streams=streams, shape=shape, vocabulary=vocabulary, initial=initial
    )
    run.repeated = repeated
    return carry_out(run, report)


class TextRun(_Run):
    """A training run in progress. `_Run` takes the steps, and saves and loads its state."""

    def __init__(
        self,
        recipe: Recipe,
        size: SizeRecipe,
        seed: int,
        directory: Path,
        device: str,
        *,
        streams: dict[str, np.ndarray],
        shape: tuple[int, int],
        vocabulary: int,
        initial: float = 0.8,
    ) -> None:
        self.batch, self.context = shape
        self.vocabulary, self.repeated = vocabulary, 0.0
        self.deviation = initial / size.d_model**0.5
        self.stream = streams["training"]
        parts = {TRAINING: streams["training"], HELD_OUT: streams["held_out"]}
        self.measured = {name: torch.from_numpy(spread_windows(part, self.context)) for name, part in parts.items()}
        super().__init__(recipe, size, seed, directory, device)

    def untrained(self) -> GPTNeoXForCausalLM:
        about = {"n_tokens": self.vocabulary, "n_positions": self.context, "bos": END_ID, "parallel": False}
        return fresh_model(self.size, self.seed, deviation=self.deviation, **about)

    def next_batch(self) -> np.ndarray:
        starts = self.documents.integers(0, len(self.stream) - self.context + 2, self.batch)
        return read_again(self.documents, windows(self.stream, starts, self.context), self.repeated)

    def held_out(self) -> dict[str, float]:
        """Loss on training text and held-out text, and at early and late positions of the latter."""
        by_position = {name: self._losses(tokens) for name, tokens in self.measured.items()}
        found = {name: float(losses.mean()) for name, losses in by_position.items()}
        return found | {name: float(by_position[HELD_OUT][:, at].mean()) for name, at in bands(self.context).items()}

    @torch.no_grad()
    def _losses(self, tokens: torch.Tensor) -> torch.Tensor:
        """Loss of every predicted token, nats, shape [window, context - 1]."""
        parts = []
        for part in tokens.split(self.batch):
            part = part.to(self.device)
            logits = self.model(input_ids=part, use_cache=False).logits[:, :-1].float()
            parts.append(cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none").cpu())
        return torch.cat(parts).view(len(tokens), -1)
