"""The contract of a family: models that differ only in size, training step and seed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.core.tokens.lexicon import FirstTokens

PASSAGE = """
A river that leaves the hills carries sand with it. Where the ground turns flat the water slows down, and the sand sinks
to the bed. Year after year the bed rises, until one spring the river finds a shorter way to the sea. People who build
near its mouth learn to move their houses. They keep boats under the roof and grain on the upper floor. When the old
channel falls dry they plant trees in it, because the roots hold the soil and the leaves give shade in August. A map of
such a place is out of date on the day it is drawn. Still, every village owns one, and every child learns to read it
before learning to write. Ask them which way is north and they point to the mountains, not to the compass.
""".strip().replace("\n", " ")
"""Text on which the loss is measured if a family has no text of its own."""


@dataclass(frozen=True, kw_only=True)
class Fault(Record):
    """Checkpoints of one training run that are known to be wrong."""

    size: str
    """Name of the size; empty means every size."""
    seed: int | None = None
    """Seed of the run; None means every seed."""
    steps: tuple[int, ...] = ()
    """The faulty steps; empty means every step."""
    what: str
    """What is wrong with them."""
    source: str
    """Address of the report."""

    def concerns(self, size: str, step: int, seed: int) -> bool:
        """Whether a checkpoint is one of them."""
        return self.size in ("", size) and self.seed in (None, seed) and (not self.steps or step in self.steps)

    def __str__(self) -> str:
        return f"{self.what} ({self.source})"


class Family(Record, ABC):
    """Models across size, training step and seed.

    `sizes` are in ascending order of parameters. A step is the number of optimiser steps taken; `"last"` names the
    final one. `tokens_per_step` is the number of tokens in a training batch, the same for every size; None if unknown.
    """

    name: str
    summary: str
    source: Source
    tokens_per_step: int | None = None
    license: str = ""
    """SPDX name of the licence of the weights; empty if unknown."""
    gated: bool = False
    """Whether the licence has to be accepted on the hub before a download."""
    downloads: bool = False
    """Whether loading a model may download it."""
    known_faults: tuple[Fault, ...] = ()
    """Checkpoints that are known to be wrong. They are loaded like others, and flagged wherever they are used."""
    prepend_bos: FirstTokens = None
    """What stood first in every training text, given as for `hook`. None means whatever the tokenizer puts first."""

    @property
    def address(self) -> str:
        """What `load_family` takes to give this family: its name, or the path that it was read from."""
        return self.name

    @property
    @abstractmethod
    def sizes(self) -> list[str]:
        """Names of the sizes, in ascending order of non-embedding parameters."""

    @abstractmethod
    def _seeds(self, size: str) -> list[int]:
        """Seeds of an existing size, ascending."""

    @abstractmethod
    def _steps(self, size: str, seed: int) -> list[int]:
        """Steps of an existing size and seed, ascending."""

    @abstractmethod
    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        """The full specification of an existing checkpoint."""

    @abstractmethod
    def _load(self, spec: ModelSpec, device: Any) -> HookedModel:
        """The model of a specification, on a device or spread over several (see `load`)."""

    def seeds(self, size: str) -> list[int]:
        """Seeds of the training runs of a size, ascending.

        Raises:
            UnknownNameError: no such size.
        """
        if size not in self.sizes:
            raise UnknownNameError(f"size of {self.name}", size, self.sizes)
        return self._seeds(size)

    def steps(self, size: str, seed: int = 0) -> list[int]:
        """Training steps with a checkpoint, ascending.

        Raises:
            UnknownNameError: no such size or seed.
        """
        self._require_run(size, seed)
        return self._steps(size, seed)

    def _require_run(self, size: str, seed: int) -> None:
        if seed not in self.seeds(size):
            raise UnknownNameError(f"seed of {self.name}/{size}", seed, self.seeds(size))

    @property
    def counts_tokens(self) -> bool:
        """Whether the number of training tokens is known for at least one checkpoint."""
        return self.tokens_per_step is not None

    def tokens(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> int | None:
        """Number of tokens that a model was trained on, repeats included; None if unknown.

        Raises:
            UnknownNameError: no such size, seed or step; the message suggests the nearest one.
        """
        taken = self._existing_step(size, step, seed)
        return None if self.tokens_per_step is None else taken * self.tokens_per_step

    def faults(self, size: str, step: int, seed: int = 0) -> list[Fault]:
        """What is known to be wrong with a checkpoint; empty for nearly all."""
        return [fault for fault in self.known_faults if fault.concerns(size, step, seed)]

    def published_parameters(self, size: str) -> int | None:
        """Number of parameters of a size, embeddings included, as published; None if unknown."""
        return None

    def batch_tokens(self, size: str) -> int | None:
        """Number of tokens in a training batch of a size; None if unknown."""
        return self.tokens_per_step

    def published_tokens(self, size: str) -> int | None:
        """Number of training tokens at the end of training, as far as it is known without asking; None if unknown."""
        return None

    def facts(self) -> pd.DataFrame:
        """One row for each size: what is known about it without loading a model; what is not known is empty.

        Returns:
            Columns `size`, `seeds` (number of runs), `parameters` (embeddings included), `batch_tokens` (tokens in a
            training batch), `tokens` (of the whole training), `flops` (of the whole training, 6 · parameters · tokens),
            `license`, `gated`.
        """
        rows = []
        for size in self.sizes:
            parameters, tokens = self.published_parameters(size), self.published_tokens(size)
            rows.append(
                {
                    "size": size,
                    "seeds": len(self._seeds(size)),
                    "parameters": parameters,
                    "batch_tokens": self.batch_tokens(size),
                    "tokens": tokens,
                    "flops": None if None in (parameters, tokens) else 6.0 * (parameters or 0) * (tokens or 0),
                    "license": self.license,
                    "gated": self.gated,
                }
            )
        counts = dict.fromkeys(("parameters", "batch_tokens", "tokens"), "Int64")
        return pd.DataFrame(rows).astype({**counts, "flops": "Float64"})

    def files(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> Path | None:
        """Directory with the checkpoint's files, in Hugging Face format; None if it is not kept in files."""
        return None

    def is_here(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> bool:
        """Whether loading a checkpoint needs no download."""
        return True

    def bytes_to_download(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> int:
        """Bytes that loading a checkpoint would download."""
        return 0

    def fetch(
        self, size: str, step: int | Literal["last"] = "last", seed: int = 0, *, disk: Any = None, ahead: bool = False
    ) -> bool:
        """Download a checkpoint if it is not on this machine; False if it was left for later, since the disk is full.

        Args:
            size: name of a size.
            step: training step, or `"last"`.
            seed: seed of the training run.
            disk: a `DiskBudget`; without one everything is kept.
            ahead: whether the checkpoint is not needed yet.
        """
        return True

    def held_out_text(self) -> list[str]:
        """Passages on which the loss of this family is measured."""
        return [PASSAGE]

    def spec(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> ModelSpec:
        """The specification of the weights with these names; the weights are not loaded.

        Raises:
            UnknownNameError: no such size, seed or step; the message suggests the nearest one.
        """
        return self._spec(size, self._existing_step(size, step, seed), seed)

    def _existing_step(self, size: str, step: int | Literal["last"], seed: int) -> int:
        steps = self.steps(size, seed)
        if step == "last":
            step = steps[-1]
        if step not in steps:
            raise UnknownNameError(f"step of {self.name}/{size}", step, steps)
        return int(step)

    @checked
    def load(
        self,
        size: str = "",
        step: int | Literal["last"] = "last",
        seed: int = 0,
        *,
        device: str = "",
        dtype: str = "",
        prepend_bos: FirstTokens = None,
        device_map: str | Mapping[str, int | str] = "",
    ) -> HookedModel:
        """The model with these names, in evaluation mode.

        Args:
            size: name of a size; may be left out if there is only one.
            step: training step, or `"last"`.
            seed: seed of the training run.
            device: device that holds the model; empty means a GPU if there is one.
            dtype: `float32`, `bfloat16` or `float16`; empty means float32.
            prepend_bos: what stands first in every prompt, as for `hook`; by default what stood first in the
                family's training texts, if that is known.
            device_map: how to spread the model over several devices, as transformers takes it: `auto`, or the device
                of each module. Such a model can be measured, but is not split into heads and edges.

        Raises:
            UnknownNameError: no such size, step or seed.
            ModelError: the checkpoint is damaged or of an architecture that transformers does not know.
            InputError: no size where there are several, an unknown dtype, a device that this machine lacks, both a
                device and a map of devices, or a first token that the model lacks.
        """
        if device and device_map:
            raise InputError(f"device = {device!r} and device_map = {device_map!r} contradict each other; give one")
        if not size and len(self.sizes) > 1:
            raise InputError(f"{self.name} has several sizes; give one of {', '.join(self.sizes)}")
        spec = self.spec(size or self.sizes[0], step, seed)
        model = self._load(replace(spec, dtype=dtype or spec.dtype), device_map or device)
        if (first := self.prepend_bos if prepend_bos is None else prepend_bos) is not None:
            model.begin_with(first)
        return model

    def spaced_steps(self, size: str, seed: int = 0, *, at_most: int = 12) -> list[int]:
        """Up to `at_most` steps with a checkpoint, evenly spaced in log step; the first and the last are included.

        Raises:
            UnknownNameError: no such size or seed.
            InputError: `at_most` is below 2.
        """
        if at_most < 2:
            raise InputError(
                f"at_most = {at_most} cannot include both the first and the last checkpoint; allow 2 or more"
            )
        steps = np.array(self.steps(size, seed))
        if len(steps) <= at_most:
            return steps.tolist()
        wanted = np.geomspace(steps[-1], max(1, steps[1]), at_most - 1)
        nearest = np.abs(np.log(steps[1:, None]) - np.log(wanted)).argmin(0) + 1
        return [int(steps[0]), *(int(step) for step in np.unique(steps[nearest]))]

    def __repr__(self) -> str:
        return f"Family({self.name}: {', '.join(self.sizes)})"
