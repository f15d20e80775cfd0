"""Each model's size, its held-out loss, and each ability on prompts under every metric of the ladder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.measuring import held_out_loss, measure, summarise
from interp_emerge.abilities.tables import ABILITY
from interp_emerge.core.files import hash_of
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.scale.axes import FLOPS_PER_PARAMETER_AND_TOKEN
from interp_emerge.emergence.scale.first_tokens import warning_of_first_token
from interp_emerge.emergence.scale.onset import Criterion
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import MEASURE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.work import Work


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What was measured on one model."""

    n_parameters: int
    """Number of non-embedding parameters."""
    loss: float
    """Mean loss on the family's held-out text, nats per token."""
    abilities: Mapping[str, pd.DataFrame]
    """By name of the ability, the metrics of every prompt: `ability`, `metric`, `pair`, `value`."""
    prepended: str | None = None
    """The first token of its prompts."""
    warning: str = ""
    """A warning if another first token gives a lower loss; checked for the last model of each size only."""

    def accuracy(self, ability: str) -> np.ndarray:
        """Whether each prompt was answered correctly, shape [prompt]."""
        cell = self.abilities[ability]
        return cell[cell["metric"] == "accuracy"]["value"].to_numpy()


class Abilities(StageWithCells[Checkpoint, Measured]):
    """Measures every ability of one model."""

    name = "abilities"
    round = MEASURE
    tables = (ABILITY,)

    def each(self, work: Work) -> str:
        """The prompts of every ability, in words."""
        return f"{work.settings.n_measured} prompts each of {', '.join(ability.name for ability in work.abilities)}"

    def passes(self, work: Work, load: Load) -> float:
        """The prompts of every ability, under every metric; and the losses on held-out text."""
        return 2.5 * len(work.abilities) * work.settings.n_measured / work.settings.n_pairs + 3000 / load.n_tokens

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "prompts, drawn once for each tokenizer"

    def cell(self, work: Work, at: Checkpoint) -> Measured:
        """The model's size and loss, and every ability."""
        described = {str(name): value for name, value in _described(work, at).items()}
        return Measured(
            **described, abilities={ability.name: measured(work, at, ability) for ability in work.abilities}
        )

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Means over prompts, with the tokens and FLOPs of training."""
        parts = []
        for at, one in results.of(self).items():
            seen = results.work.family.tokens(*at)
            tokens = np.nan if seen is None else float(seen)
            training = {"tokens": tokens, "flops": FLOPS_PER_PARAMETER_AND_TOKEN * one.n_parameters * tokens}
            for ability in results.work.abilities:
                levels = {"control": ability.control, "chance": ability.chance, "ceiling": ability.ceiling}
                summary = summarise(one.abilities[ability.name])
                parts.append(summary.assign(**about(at, one), **training, **levels))
        return [stacked(parts)]

    def warnings(self, results: Results) -> list[str]:
        """The warning about the first token, from the first model that has one."""
        return [one.warning for one in results.of(self).values() if one.warning][:1]


ABILITIES = shelf.add(Abilities())


def measured(work: Work, at: Checkpoint, ability: Ability) -> pd.DataFrame:
    """Metrics of every prompt of one ability: `ability`, `metric`, `pair`, `value`."""
    n, seed, sample = work.settings.n_measured, work.settings.seed, work.prompts.sample
    return work.frame(
        "measure", at, lambda model: measure(model, [ability], n=n, seed=seed, sample=sample), ability=ability.key, n=n
    )


def why_unable(work: Work, at: Checkpoint) -> str:
    """Why no circuit is sought in a model: it lacks the ability; empty if its accuracy is above the threshold."""
    cell = measured(work, at, work.ability)
    accuracy = float(cell[cell["metric"] == "accuracy"]["value"].mean())
    if accuracy > Criterion(work.ability.chance, work.ability.ceiling).threshold:
        return ""
    return f"the model lacks the ability (accuracy {accuracy:.2f})"


def about(at: Checkpoint, one: Measured) -> dict[str, Any]:
    """Size, step, seed, parameters and loss of a model, as columns."""
    return {**at._asdict(), "n_parameters": one.n_parameters, "loss": one.loss}


def n_parameters(work: Work, at: Checkpoint) -> int:
    """Number of non-embedding parameters of a model."""
    return int(_described(work, at)["n_parameters"])


def first_token(work: Work) -> tuple[str, str]:
    """What stands first in the prompts of the study's first finished model, and a warning if another is better.

    Nothing is written if the work is read-only.
    """
    at = work.grid.last[0]
    if work.read_only:
        model = work.models.get(*at)
        return model.spec.prepended or "", warning_of_first_token(model, work.family.held_out_text())
    found = _described(work, at)
    return str(found["prepended"] or ""), str(found["warning"])


def _described(work: Work, at: Checkpoint) -> dict[Any, Any]:
    """Parameters, loss and first token of a model, with a warning if another first token would be better."""
    text = work.family.held_out_text()

    def compute(model: HookedModel) -> pd.DataFrame:
        warning = warning_of_first_token(model, text) if at in work.grid.last else ""
        first = {"prepended": model.spec.prepended, "warning": warning}
        return pd.DataFrame([{"n_parameters": model.n_parameters, "loss": held_out_loss(model, text), **first}])

    (row,) = work.frame("describe", at, compute, text=hash_of(text)).to_dict("records")
    return row
