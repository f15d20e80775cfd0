"""What a role of heads is, and what heads are scored with.

The higher a score, the more of the role. A role scores every head of a model at once, sample by sample: on prompts,
tokens, list items or prompt pairs, as the role has it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

Needs = Literal["nothing", "tokens", "orders", "pairs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RoleTask:
    """One model whose heads are scored, with what was given to score them on.

    `tokens` and `orders` are None where the roles are to take their own. `heads` names heads that hold a role, by the
    role; `metric` is that of roles which are effects on `pairs`.
    """

    model: HookedModel
    seed: int = 0
    tokens: Tensor | None = None
    orders: Sequence[Sequence[int]] | None = None
    pairs: PromptPairs | None = None
    metric: str | MetricFunction = "logit_diff"
    heads: Mapping[str, Sequence[str]] = field(default_factory=dict)


def task_itself(task: RoleTask) -> RoleTask:
    """What a role reads that shares no work with others."""
    return task


def no_requirement(task: RoleTask) -> None:
    """What a role requires that every model can be asked about."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """Something that heads are known to do, and how far each head of a model does it."""

    name: str
    summary: str
    source: Source
    unit: str
    score: Callable[[Any], np.ndarray]
    """Scores of every head from what `reads` returns, shape [sample, head], heads layer by layer; NaN for a head that
    cannot hold the role."""
    reads: Callable[[RoleTask], Any] = task_itself
    """What the score is computed from. Roles with the same `reads` share its work: it runs once for all of them."""
    expected_sign: Literal[1, -1] = 1
    """Sign of the effect that a head in this role has on a metric of the answer: positive if it carries the answer,
    negative if it works against it."""
    needs: Needs = "nothing"
    """What it is asked with: `tokens` and `orders` have a default."""
    aims_at: str = ""
    """Another role, whose heads it has to know. Where none are given, those that clear that role's baseline are taken.
    The other role may not aim at a third."""
    require: Callable[[RoleTask], None] = no_requirement
    """Raises an `InputError` that says why the role cannot be asked of this model with what was given."""
    no_score: str = ""
    """Why a single head may have no score where others have one."""

    def lacks_pairs(self, task: RoleTask) -> bool:
        """Whether it needs prompt pairs and none were given."""
        return self.needs == "pairs" and task.pairs is None

    def why_not(self, task: RoleTask) -> str:
        """Why it cannot be asked of this model with what was given; empty if it can."""
        if self.lacks_pairs(task):
            return "needs prompt pairs"
        try:
            self.require(task)
        except InputError as error:
            return str(error)
        return ""
