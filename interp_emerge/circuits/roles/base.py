"""What a role of heads is, and what its score is computed from.

The higher the score, the more a head plays the role. A role scores every head of a model on each sample; depending on
the role, samples are prompts, tokens, list items or prompt pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

Needs = Literal["nothing", "tokens", "orders", "pairs"]


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
    """The default of `Role.reads`: the task itself, for a role that shares no work with others."""
    return task


def no_requirement(task: RoleTask) -> None:
    """The default of `Role.require`: every model will do."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """Something that heads are known to do, with a score of how much each head does it."""

    name: str
    summary: str
    source: Source
    unit: str
    score: Callable[[Any], np.ndarray]
    """Scores of every head from what `reads` returns, shape [sample, head], heads layer by layer; NaN for a head that
    cannot play the role."""
    reads: Callable[[RoleTask], Any] = task_itself
    """Computes what the score needs. Roles with the same `reads` share its work: it runs once for all of them."""
    expected_sign: Literal[1, -1] = 1
    """Sign of the effect that a head in this role has on a metric of the answer: positive if it carries the answer,
    negative if it works against it."""
    needs: Needs = "nothing"
    """The input that the score needs; `tokens` and `orders` have a default."""
    aims_at: str = ""
    """Another role, whose heads must be known. If none are given, heads that clear that role's baseline are used. The
    other role may not aim at a third."""
    require: Callable[[RoleTask], None] = no_requirement
    """Raises an `InputError` with the reason if the role is undefined for this model or these inputs."""
    no_score: str = ""
    """Why a single head may have no score although others have one."""

    def lacks_pairs(self, task: RoleTask) -> bool:
        """Whether the role needs prompt pairs and none were given."""
        return self.needs == "pairs" and task.pairs is None

    def why_not(self, task: RoleTask) -> str:
        """Why the role is undefined for this model or these inputs; empty if it is defined."""
        if self.lacks_pairs(task):
            return "needs prompt pairs"
        try:
            self.require(task)
        except InputError as error:
            return str(error)
        return ""
