"""What a stage of a study is.

A stage fills tables from what it and the stages that it needs have computed. Most compute something themselves: a cell
of each model (or step, run, or pair of models) that their round looks at. A cell that was computed before is read from
disk, so a stage asks another one for its cell as if that were free.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd

from interp_emerge.study.rounds import Round
from interp_emerge.study.work import Work
from interp_emerge.tables.schema import Table

Key = TypeVar("Key")
Cell = TypeVar("Cell")


class Results:
    """What was computed, by stage and key; and of keys that were left out, why."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._cells: dict[str, dict[Any, Any]] = {}
        self._left_out: dict[str, dict[Any, str]] = {}

    def add(self, stage: "StageWithCells[Key, Cell]", key: Key, cell: Cell) -> None:
        """Keep what a stage computed of one key."""
        self._cells.setdefault(stage.name, {})[key] = cell

    def leave_out(self, stage: "StageWithCells[Key, Any]", key: Key, why: str) -> None:
        """Keep why a stage computed nothing of one key."""
        self._left_out.setdefault(stage.name, {})[key] = why

    def of(self, stage: "StageWithCells[Key, Cell]") -> dict[Key, Cell]:
        """What the stage computed, by key, in the order of its keys."""
        return self._cells.get(stage.name, {})

    def left_out(self, stage: "StageWithCells[Key, Any]") -> dict[Key, str]:
        """Keys of which the stage computed nothing, with the reason."""
        return self._left_out.get(stage.name, {})


class Stage(ABC):
    """Something that fills tables of a study."""

    name: ClassVar[str]
    """That of its file."""
    needs: ClassVar["tuple[Stage, ...]"] = ()
    """Stages whose cells it takes; they come before it."""
    tables: ClassVar[tuple[Table, ...]] = ()

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """The rows of each of its tables; columns that a table does not have are left out, missing ones are empty."""
        return ()

    def files(self, results: Results) -> dict[str, bytes]:
        """What it writes besides tables, by the path within the study's directory."""
        return {}

    def warnings(self, results: Results) -> list[str]:
        """What a reader should know as soon as the stage's round is over."""
        return []


class StageWithCells(Stage, Generic[Key, Cell]):
    """A stage that computes something of every key of its round."""

    round: ClassVar[Round[Any]]

    @abstractmethod
    def each(self, work: Work) -> str:
        """What is computed of one key, in words, for the plan."""

    @abstractmethod
    def reuses(self, work: Work) -> str:
        """What it takes from earlier stages and models instead of computing it, in words."""

    def why_not(self, work: Work, key: Key, /) -> str:
        """Why nothing can be computed of a key, as the end of a sentence; empty where it can.

        Raises:
            MissingCell: that is not known yet, and the work may only be read.
        """
        return ""

    @abstractmethod
    def cell(self, work: Work, key: Key, /) -> Cell:
        """What it computes of one key, read from disk where it is there.

        Raises:
            MissingCell: it is not there, and the work may only be read.
        """


def stacked(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Frames below each other, rows numbered from 0; without a column if there are none."""
    parts = [*frames]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
