"""Stages of a study, one file each: what it needs, what it computes for a model, and the tables that it fills."""

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.study.rounds import Round
    from interp_emerge.study.stages.base import Stage, StageWithCells

shelf: "Shelf[Stage]" = Shelf("stage", __name__)


def in_order() -> "list[Stage]":
    """All stages, each after those that it needs."""
    needs = {stage.name: [needed.name for needed in stage.needs] for stage in shelf}
    return [shelf[name] for name in TopologicalSorter(needs).static_order()]


def of_round(chosen: "Round[Any]") -> "list[StageWithCells[Any, Any]]":
    """The stages that compute something in this round, each after those that it needs."""
    from interp_emerge.study.stages.base import StageWithCells

    return [stage for stage in in_order() if isinstance(stage, StageWithCells) and stage.round is chosen]
