"""The rounds of a study, in order. The stages of one round look at the same models, or pairs of models.

So each model is loaded once for all stages of a round, and they share its recorded activations. The later rounds look
at the models in which the second round found a circuit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

from interp_emerge.study.grid import Checkpoint, Grid

Key = TypeVar("Key")


class Followed(NamedTuple):
    """One step of a training run; a circuit was found at the end of the run."""

    last: Checkpoint
    step: int

    @property
    def checkpoint(self) -> Checkpoint:
        """The model at that step."""
        return self.last.at_step(self.step)


@dataclass(frozen=True, kw_only=True, eq=False)
class Round(Generic[Key]):
    """A round: its keys (what its stages look at), given the grid and the models that have a circuit."""

    name: str
    keys: Callable[[Grid, Sequence[Checkpoint]], list[Key]]
    follows_circuits: bool = True
    """Whether the keys depend on which models have a circuit."""


MEASURE = Round[Checkpoint](name="measure", keys=lambda grid, _: grid.models, follows_circuits=False)
"""Every size, step and seed."""
LOCATE = Round[Checkpoint](name="locate", keys=lambda grid, _: grid.last, follows_circuits=False)
"""The last step of each size's first seed."""
FOLLOW = Round[Followed](
    name="follow",
    keys=lambda grid, circuits: [Followed(at, step) for at in circuits for step in grid.steps(at.size, at.seed)],
)
"""Every step of each training run that ends with a circuit."""
DEPEND = Round[Checkpoint](name="depend", keys=lambda _, circuits: [*circuits])
"""Each training run that ends with a circuit, all steps together."""
COMPARE = Round[tuple[Checkpoint, Checkpoint]](name="compare", keys=lambda _, circuits: [*pairwise(circuits)])
"""Neighbouring sizes that both have a circuit."""
ROUNDS: tuple[Round[Any], ...] = (MEASURE, LOCATE, FOLLOW, DEPEND, COMPARE)
