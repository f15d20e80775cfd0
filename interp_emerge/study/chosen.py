"""The abilities that a study's settings name, and what follows for the settings if one of them is a file."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from interp_emerge.abilities import load_ability
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.own.file_ability import FileAbility
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION
from interp_emerge.core.errors import InputError
from interp_emerge.study.settings import StudySettings

log = logging.getLogger(__name__)


def chosen_abilities(settings: StudySettings) -> list[Ability]:
    """The ability in question and those to measure beside it.

    Raises:
        UnknownNameError: no ability has a name.
        InputError: a file cannot be read, two abilities have one name, or the chance level is given twice or not at
            all.
    """
    found = [load_ability(name) for name in dict.fromkeys((settings.ability, *settings.beside))]
    if settings.chance is not None:
        found[0] = _with_chance(found[0], settings.chance)
    for ability in found:
        if isnan(ability.chance):
            advice = "give chance=... (--chance), or a first line" if ability is found[0] else "give it a first line"
            raise InputError(f"{address(ability)} gives no chance level, the accuracy of the best guess without the "
                             f"ability, and a study compares accuracy with it; {advice} such as "
                             '{"chance": 0.5} in JSON lines')  # fmt: skip
    names = [ability.name for ability in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two abilities of the study have the name {twice[0]!r}; give one of them another name")
    return found


def fitted_to_rows(settings: StudySettings, abilities: Sequence[Ability]) -> StudySettings:
    """The settings, with numbers of prompts that were not set lowered to the rows of the ability's file.

    Raises:
        InputError: the file has too few rows.
    """
    ability = abilities[0]
    if not isinstance(ability, FileAbility):
        return settings
    rows = {"n_measured": [0], "n_pairs": [DISCOVERY, EVALUATION]}
    most = {name: min(ability.n_rows(settings.seed + start) for start in of) for name, of in rows.items()}
    changed: dict[str, Any] = {
        name: n for name, n in most.items() if name not in settings.model_fields_set and n < getattr(settings, name)
    }
    if small := [name for name, n in changed.items() if n < 2]:
        raise InputError(f"{ability.path} has too few rows for a study ({small[0]} would be {changed[small[0]]}); give "
                         "at least 4 pairs with different prompts")  # fmt: skip
    if changed:
        numbers = " and ".join(f"{name} is {n}" for name, n in changed.items())
        log.warning("%s has %d rows, so %s", ability.path, len(ability.content.rows), numbers)
    return settings.model_copy(update=changed)


def with_usual_beside(settings: StudySettings) -> StudySettings:
    """The settings, with what is usually measured beside the ability in question unless they say what is."""
    if "beside" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"beside": settings.usually_beside})


def address(ability: Ability) -> str:
    """What `load_ability` finds the ability by: its name, or the full path of its file."""
    return str(ability.path.resolve()) if isinstance(ability, FileAbility) else ability.name


def _with_chance(ability: Ability, chance: float) -> Ability:
    if not isnan(ability.chance) and ability.chance != chance:
        raise InputError(f"{ability.name!r} has the chance level {ability.chance:g}, so leave out chance = {chance:g}")
    if not chance < ability.ceiling:
        raise InputError(f"chance = {chance:g} is not below the ceiling of {ability.name!r}, {ability.ceiling:g}")
    return replace(ability, chance=chance)
