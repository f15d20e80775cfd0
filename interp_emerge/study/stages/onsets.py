"""Where each quantity first appears, over sizes and over training; which comes first, and by how much."""

from collections.abc import Callable, Sequence

import pandas as pd

from interp_emerge.emergence.forming.onsets import ability_onsets, component_onsets, lag_table, order_table
from interp_emerge.emergence.forming.tables import LAGS, ONSETS, ORDER
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES
from interp_emerge.study.stages.base import Results, Stage, stacked
from interp_emerge.study.stages.formation import FORMING, formations
from interp_emerge.study.stages.roles import ROLES


class Onsets(Stage):
    """Finds the onsets, their order and their lags in what was measured; no model is run."""

    name = "onsets"
    needs = (ABILITIES, ROLES, FORMING)
    tables = (ONSETS, ORDER, LAGS)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Rows for every ability, and for every part of a circuit that was followed over several steps."""
        work, measured = results.work, results.of(ABILITIES)
        accuracies = {
            (at.size, at.step, at.seed, one.name): measured[at].accuracy(one.name)
            for at in measured
            for one in work.abilities
        }
        rows = [row for ability in work.abilities for row in ability_onsets(accuracies, ability, work.grid.sizes)]
        for at, parts in _followed(results).items():
            rows += component_onsets(parts, results.of(ROLES)[at], work.ability.name, at.size)
        return [pd.DataFrame(rows), _against_ability(results, order_table), _against_ability(results, lag_table)]


shelf.add(Onsets())


def _followed(results: Results) -> dict[Checkpoint, dict[int, pd.DataFrame]]:
    """The parts of every circuit by step, for training runs with several steps."""
    several = {at: by_step for at, by_step in formations(results).items() if len(by_step) > 1}
    return {at: {step: one.parts for step, one in by_step.items()} for at, by_step in several.items()}


def _against_ability(results: Results, table: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """A table of each run's parts and its ability over steps, one run after the other."""
    ability, measured, made = results.work.ability, results.of(ABILITIES), []
    for at, parts in _followed(results).items():
        accuracy = {step: measured[at.at_step(step)].accuracy(ability.name) for step in parts}
        found = table(parts, results.of(ROLES)[at], accuracy, ability)
        made.append(found.assign(size=at.size, seed=at.seed, ability=ability.name))
    return stacked(made)
