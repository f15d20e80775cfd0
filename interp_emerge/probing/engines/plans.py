"""One variable at one position, with what is decided before a probe is fitted: labels, controls and folds."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.controls import control_task, shuffled
from interp_emerge.probing.engines.folds import folds_of, groups_of
from interp_emerge.probing.engines.sites import Places
from interp_emerge.probing.engines.trials import Design
from interp_emerge.probing.engines.variables import Labels, Target, target_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """One variable at one position."""

    position: str
    design: Design
    held_out: str
    control_back: int


def plan_of(
    pairs: PromptPairs,
    variable: str,
    position: str,
    places: Places,
    decoder: Decoder,
    *,
    labels: Labels | None,
    held_out: str,
    folds: int,
    seed: int,
) -> Plan:
    """The labels, controls and folds of a variable at a position.

    Raises:
        InputError: the labels do not fit the decoder or the pairs, or something leaks.
    """
    place = places.index[position]
    target = target_of(pairs, variable, place=place, labels=labels)
    if not target.n_classes and not decoder.real:
        raise InputError(f"variable {variable!r} has real values, and {decoder.name!r} decodes classes; use "
                         "method='ridge', or give classes")  # fmt: skip
    held_out, groups = groups_of(pairs, target, held_out, place=place, labels=labels)
    control, back = control_task(pairs, target, place, seed)
    arms = {"true": target.labels, "shuffled": shuffled(target, seed)}
    if control is not None:
        arms["control"] = control
    design = Design(
        target=target,
        arms=tuple(arms),
        labels=torch.stack([*arms.values()]),
        folds=folds_of(groups, target.labels, folds, seed),
        groups=groups,
        seed=seed,
    )
    return Plan(position=position, design=design, held_out=held_out, control_back=back)


def each_once(plans: Iterable[Plan]) -> list[Plan]:
    """The plans without variables that divide the pairs as an earlier one does at the same position, with a warning."""
    kept: dict[tuple[str, str, bytes], Plan] = {}
    for plan in plans:
        target = plan.design.target
        first = kept.setdefault((plan.position, plan.held_out, _partition(target)), plan).design.target.variable
        if first != target.variable:
            logger.warning(
                "variable %r divides the pairs at %s as %r does, and is left out there",
                target.variable, plan.position, first,
            )  # fmt: skip
    return [*kept.values()]


def warn_of_rare_classes(plans: Sequence[Plan]) -> None:
    """Warn if a class has fewer pairs than there are folds, so that some folds lack it."""
    for plan in plans:
        target, n_folds = plan.design.target, plan.design.n_folds
        rarest = int(torch.bincount(target.labels).min()) if target.n_classes else n_folds
        if rarest < n_folds:
            _warn_once(target.variable, target.n_classes, rarest, len(target), n_folds)


@lru_cache(maxsize=256)
def _warn_once(variable: str, n_classes: int, rarest: int, n_pairs: int, n_folds: int) -> None:
    """Warn once of equal numbers: a study probes the same pairs in many models."""
    logger.warning(
        "variable %r: the rarest of its %d classes has %d of %d pairs, fewer than the %d folds, so accuracy rests on "
        "few examples of a class; give more pairs, or fewer classes",
        variable, n_classes, rarest, n_pairs, n_folds,
    )  # fmt: skip


def _partition(target: Target) -> bytes:
    """Bytes that are equal for two variables if each value of one stands for a value of the other."""
    labels = target.labels.numpy()
    if not target.n_classes:
        return labels.tobytes()
    _, first, index = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index].tobytes()
