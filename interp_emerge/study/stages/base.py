"""The base class of a study's stages.

A stage fills tables from its own results and those of the stages that it needs. Most stages compute one cell for each
key of their round: a model, a step, a training run, or a pair of models. A cell that was computed before is read from
disk, so one stage can ask another for a cell at almost no cost.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd

from interp_emerge.study.rounds import Round
from interp_emerge.study.work import Work
from interp_emerge.tables.schema import Table

Key = TypeVar("Key")
Cell = TypeVar("Cell")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What decides how much work a stage has with one model."""

    n_nodes: int
    n_edges: int
    n_tokens: int
    """Tokens of one pass: those of the clean prompts of all pairs of the study."""
    n_parameters: int
    """Non-embedding parameters."""


class Results:
    """Everything that was computed, by stage and key; and the reason for each key that was left out."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._cells: dict[str, dict[Any, Any]] = {}
        self._left_out: dict[str, dict[Any, str]] = {}

    def add(self, stage: "StageWithCells[Key, Cell]", key: Key, cell: Cell) -> None:
        """Store what a stage computed for one key."""
        self._cells.setdefault(stage.name, {})[key] = cell

    def leave_out(self, stage: "StageWithCells[Key, Any]", key: Key, why: str) -> None:
        """Store why a stage computed nothing for one key."""
        self._left_out.setdefault(stage.name, {})[key] = why

    def of(self, stage: "StageWithCells[Key, Cell]") -> dict[Key, Cell]:
        """What the stage computed, by key, in the order of its keys."""
        return self._cells.get(stage.name, {})

    def left_out(self, stage: "StageWithCells[Key, Any]") -> dict[Key, str]:
        """Keys for which the stage computed nothing, with the reason."""
        return self._left_out.get(stage.name, {})


class Stage(ABC):
    """A stage: fills tables of a study."""

    name: ClassVar[str]
    """The name of its file."""
    needs: ClassVar["tuple[Stage, ...]"] = ()
    """Stages whose cells it uses; they run before it."""
    tables: ClassVar[tuple[Table, ...]] = ()

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """The rows of each of its tables; extra columns are dropped, missing columns stay empty."""
        return ()

    def files(self, results: Results) -> dict[str, bytes]:
        """Files that it writes besides tables, by their path within the study's directory."""
        return {}

    def warnings(self, results: Results) -> list[str]:
        """Warnings to log as soon as the stage's round has ended."""
        return []


class StageWithCells(Stage, Generic[Key, Cell]):
    """A stage that computes one cell for every key of its round."""

    round: ClassVar[Round[Any]]

    @abstractmethod
    def each(self, work: Work) -> str:
        """What is computed for one key, in words, for the plan."""

    def passes(self, work: Work, load: Load) -> float:
        """About how many forward passes over the study's pairs one key costs; 0 if no model is run."""
        return 0.0

    @abstractmethod
    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models that it uses instead of computing them, in words."""

    def why_not(self, work: Work, key: Key, /) -> str:
        """Why nothing can be computed for a key, as the end of a sentence; empty if it can be computed.

        Raises:
            MissingCell: this is not known yet, and the work is read-only.
        """
        return ""

    @abstractmethod
    def cell(self, work: Work, key: Key, /) -> Cell:
        """The result for one key, read from disk if it is there.

        Raises:
            MissingCell: it is not on disk, and the work is read-only.
        """


def stacked(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All rows of the frames, numbered from 0; an empty frame if there are none."""
    parts = [*frames]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
