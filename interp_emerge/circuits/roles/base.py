"""What a role of heads is: a score, the least score that its source asks for, and what else a head must show.

The higher the score, the more a head plays the role. A role scores every head of a model on each sample; depending on
the role, samples are prompts, tokens, list items or prompt pairs. Its `requirements` are measured in the same way:
where the head attends, what it writes there, and its direct effect, as far as the score itself does not say so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from torch import Tensor

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.core.source import Source

Needs = Literal["nothing", "tokens", "orders", "pairs"]
MOSTLY = 0.5
"""The least value of a fraction that has to be more than half: of a head's attention, or of the tokens it copies."""


class Aspect(StrEnum):
    """What a requirement is about; also the name of its column in a table of roles."""

    ATTENTION = "attention"
    WRITING = "writing"
    DIRECT_EFFECT = "direct_effect"


@dataclass(frozen=True, kw_only=True, eq=False)
class RoleTask:
    """A model whose heads are scored, with the inputs to score them on.

    If `tokens` or `orders` is None, roles use their default. `heads` maps a role to the names of heads that play it.
    `metric` is for roles whose score is an effect on `pairs`.
    """

    model: HookedModel
    seed: int = 0
    tokens: Tensor | None = None
    orders: Sequence[Sequence[int]] | None = None
    pairs: PromptPairs | None = None
    metric: str | MetricFunction = "logit_diff"
    heads: Mapping[str, Sequence[str]] = field(default_factory=dict)


def task_itself(task: RoleTask) -> RoleTask:
    """The default of `Measured.reads`: the task itself, for what shares no work with others."""
    return task


def no_requirement(task: RoleTask) -> None:
    """The default of `Measured.require`: every model will do."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number for every head on every sample, and what it is computed from."""

    score: Callable[[Any], np.ndarray]
    """Scores of every head from what `reads` returns, shape [sample, head], heads layer by layer; NaN for a head that
    cannot play the role."""
    reads: Callable[[RoleTask], Any] = task_itself
    """Computes what the score needs. Scores with the same `reads` share its work: it runs once for all of them."""
    at_least: float | None = None
    """What the score has to exceed beside the baseline of untrained models; None if the source names nothing."""
    bounds: tuple[float, float] | None = None
    """The least and the greatest possible value of a sample, if there are such."""
    needs: Needs = "nothing"
    """The input that the score needs; `tokens` and `orders` have a default."""
    require: Callable[[RoleTask], None] = no_requirement
    """Raises an `InputError` with the reason if the score is undefined for this model or these inputs."""

    def lacks_pairs(self, task: RoleTask) -> bool:
        """Whether the score needs prompt pairs and none were given."""
        return self.needs == "pairs" and task.pairs is None

    def why_not(self, task: RoleTask) -> str:
        """Why the score is undefined for this model or these inputs; empty if it is defined."""
        if self.lacks_pairs(task):
            return "needs prompt pairs"
        try:
            self.require(task)
        except InputError as error:
            return str(error)
        return ""

    def threshold(self, baseline: float) -> float:
        """What the score has to exceed: the baseline, or what the source asks for if that is more."""
        return baseline if self.at_least is None else max(baseline, self.at_least)


@dataclass(frozen=True, kw_only=True)
class Requirement(Measured):
    """Something that a head in a role has to show in addition to the role's score."""

    aspect: Aspect
    says: str
    """What is measured, as the subject of a sentence."""
    sign: Literal[1, -1] = 1
    """-1 if the measured value has to be low: then minus the value has to exceed the threshold."""


@dataclass(frozen=True, kw_only=True)
class Role(Record, Measured):
    """Something that heads are known to do, with a score of how much each head does it."""

    name: str
    summary: str
    source: Source
    unit: str
    requirements: tuple[Requirement, ...] = ()
    """What else a head must show, at most one of each aspect."""
    expected_sign: Literal[1, -1] | None = 1
    """Sign of the effect that a head in this role has on a metric of the answer: positive if it carries the answer,
    negative if it works against it, None if the source allows both."""
    aims_at: str = ""
    """Another role, whose heads must be known. If none are given, heads that play that role are used. The other role
    may not aim at a third."""
    no_score: str = ""
    """Why a single head may have no score although others have one."""

    @property
    def measured(self) -> Mapping[str, Measured]:
        """The score, by the role's name, and the requirements, by the role's name and their aspect."""
        return {self.name: self} | {f"{self.name}: {one.aspect}": one for one in self.requirements}
