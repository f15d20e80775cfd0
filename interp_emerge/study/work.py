"""What the stages of a study share: its models, its prompts, and the cells that hold what was computed before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.abilities.prompts import Prompts, split_of
from interp_emerge.caching.store import ActivationStore
from interp_emerge.core.memory import format_bytes
from interp_emerge.core.model import HookedModel
from interp_emerge.families import DiskBudget, read_size
from interp_emerge.families.base import Family
from interp_emerge.study.cells import Cells, Models
from interp_emerge.study.fetching import Fetching
from interp_emerge.study.grid import Checkpoint, Grid
from interp_emerge.study.settings import StudySettings


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """What the stages of a study of one ability in one family work with.

    `abilities` are all abilities that are measured, including the one in question. If `read_only`, a cell that is not
    on disk raises `MissingCell`; otherwise the stage that needs it computes it.
    """

    family: Family
    settings: StudySettings
    directory: Path
    ability: Ability
    abilities: Sequence[Ability]
    device: str = ""
    threads: int = 0
    """CPU threads for models of ten million parameters or more; 0 means torch's own number."""
    read_only: bool = False

    @cached_property
    def grid(self) -> Grid:
        """The models that the study looks at."""
        return Grid(self.family, self.settings)

    @cached_property
    def models(self) -> Models:
        """Loads these models."""
        chosen = {"dtype": self.settings.dtype, "prepend_bos": self.settings.prepend_bos}
        return Models(self.family, device=self.device, threads=self.threads, fetching=self.fetching, **chosen)

    @cached_property
    def fetching(self) -> Fetching:
        """Downloads checkpoints, within the disk budget."""
        budget, evict_cached = self.settings.disk_budget, self.settings.evict_cached
        disk = DiskBudget.of_run(self.directory, read_size(budget), evict_cached=evict_cached) if budget else None
        return Fetching(self.family, disk)

    @cached_property
    def cells(self) -> Cells:
        """The results on disk."""
        return Cells(self.directory / "cells", self.read_only)

    @cached_property
    def store(self) -> ActivationStore:
        """The recorded activations on disk."""
        return ActivationStore(self.directory / "activations")

    @cached_property
    def prompts(self) -> Prompts:
        """Draws the prompt pairs, once for each tokenizer."""
        return Prompts()

    @property
    def recorded(self) -> str:
        """The number and size of recorded activations on disk, in words."""
        n = len([*self.store.root.glob("*.safetensors")])
        return f"{n} recordings, {format_bytes(self.store.bytes_on_disk())}" if n else "none recorded yet"

    def pairs(self, model: HookedModel, first_seed: int) -> PromptPairs:
        """The ability's pairs, to find circuits (`first_seed` = `DISCOVERY`) or to evaluate them (`EVALUATION`)."""
        n, split = self.settings.n_pairs, split_of(self.ability, first_seed)
        return self.prompts.sample(self.ability, model, n, first_seed + self.settings.seed, split)

    def frame(
        self, kind: str, at: Checkpoint, compute: Callable[[HookedModel], pd.DataFrame], **decides: Any
    ) -> pd.DataFrame:
        """The cell of this kind for one model, computed if missing; `decides` is what else changes its numbers."""
        return self.cells.get(kind, self.inputs(at, **decides), lambda: compute(self.models.get(*at)))

    def inputs(self, at: Checkpoint, **decides: Any) -> dict[str, Any]:
        """What, besides its kind, decides the name of a cell: the model, its first token, the seed, and `decides`."""
        model, first = self.models.spec(*at).to_dict(), self.models.prepend_bos
        return {"model": model, "first": first, "seed": self.settings.seed} | decides

    @property
    def scoring(self) -> dict[str, Any]:
        """The settings that decide every score: the ability, the number of pairs, and the metric."""
        return {"ability": self.ability.key, "pairs": self.settings.n_pairs, "metric": self.settings.metric}
