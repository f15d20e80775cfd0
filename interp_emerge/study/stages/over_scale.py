"""Each ability over scale, at the last step of every run: curves, jumps, forms, correlations, seeds."""

from collections.abc import Callable, Sequence

import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.emergence.scale.jump_table import jump_table, ladder_table
from interp_emerge.emergence.scale.seeds import success_by_size
from interp_emerge.emergence.scale.tables import CORRELATIONS, JUMP, LADDER, SEEDS, TRENDS
from interp_emerge.emergence.scale.trends import correlation_table, trend_table
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, about
from interp_emerge.study.stages.base import Results, Stage, stacked


class OverScale(Stage):
    """Makes tables over the study's axis of scale; no model is run."""

    name = "over_scale"
    needs = (ABILITIES,)
    tables = (LADDER, JUMP, TRENDS, CORRELATIONS, SEEDS)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Each table for all abilities, one ability after the other."""
        made = [_over(results, table) for table in (ladder_table, jump_table, trend_table, correlation_table)]
        seeds = (
            success_by_size(_prompts(results, ability), ability).assign(ability=ability.name)
            for ability in results.work.abilities
        )
        return [*made, stacked(seeds)]


shelf.add(OverScale())


def _over(results: Results, table: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """A table on the study's axis.

    Over parameters, a run that ended early counts at the last step of its size, as it does in the onsets.
    """
    work, parts = results.work, []
    for ability in work.abilities:
        prompts = _prompts(results, ability)
        if work.settings.axis == "parameters":
            prompts["step"] = prompts.groupby("size")["step"].transform("max")
        parts.append(table(prompts, ability, axis=work.settings.axis, family=work.family))
    return stacked(parts)


def _prompts(results: Results, ability: Ability) -> pd.DataFrame:
    """Every metric of every prompt at the last step of each run, with size, step, seed, parameters and loss."""
    measured = results.of(ABILITIES)
    last: dict[tuple[str, int], Checkpoint] = {}
    for at in measured:
        run = (at.size, at.seed)
        last[run] = max(at, last.get(run, at), key=lambda one: one.step)
    return stacked(measured[at].abilities[ability.name].assign(**about(at, measured[at])) for at in last.values())
