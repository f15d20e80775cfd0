"""Folds of the pairs for which nothing leaks from training to held-out prompts.

Pairs with the same clean prompt, with the same template or with the same entity are kept in one fold. What has to be
kept together is `held_out`: `prompts`, `templates`, or the name of a variable, whose values are then entities.
"""

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.probing.engines.variables import Labels, Target, target_of

PROMPTS, TEMPLATES = "prompts", "templates"


def groups_of(pairs: PromptPairs, target: Target, held_out: str, *, labels: Labels | None = None) -> tuple[str, Tensor]:
    """What is held out, and the group of each pair, shape [pair]; pairs of one group are never in two folds.

    With `held_out` empty, prompts are held out. If the variable is constant within each template, then the wording
    alone gives it away, and whole templates are held out.

    Raises:
        InputError: the variable is constant within templates and a value occurs in one template only, so that a probe
            may read the wording; there are fewer than two groups; or the pairs have no templates to hold out.
    """
    templates = np.unique(pairs.templates, return_inverse=True)[1] if pairs.templates else np.zeros(len(pairs), int)
    constant = target.n_classes and templates.max() > 0 and _constant_within(templates, target.labels.numpy())
    if constant:
        per_class = [len({*templates[target.labels.numpy() == one]}) for one in range(target.n_classes)]
        if min(per_class) < 2 or held_out == PROMPTS:
            raise InputError(
                f"variable {target.variable!r} has one value within each template, so a probe may read the wording "
                "instead; give pairs in which a template has several values, or each value several templates and "
                "held_out='templates'"
            )
        held_out = held_out or TEMPLATES
    held_out = held_out or PROMPTS
    if held_out == TEMPLATES:
        groups = templates
    elif held_out == PROMPTS:
        groups = _prompts(pairs)
    else:
        entity = target_of(pairs, held_out, place=pairs.lengths - 1, labels=labels)
        groups = np.unique(entity.labels.numpy(), return_inverse=True)[1]
    in_one = [len({*groups[target.labels.numpy() == one]}) == 1 for one in range(target.n_classes)]
    if held_out != PROMPTS and in_one and all(in_one):
        raise InputError(f"held_out={held_out!r}: each value of {target.variable!r} is in one group only, so a "
                         "held-out value is never in training; hold out something else")  # fmt: skip
    if groups.max() < 1:
        raise InputError(f"held_out={held_out!r} gives one group of pairs, so none can be held out; hold out prompts")
    return held_out, torch.from_numpy(groups.astype(np.int64))


def _constant_within(templates: np.ndarray, labels: np.ndarray) -> bool:
    return all(len({*labels[templates == one]}) == 1 for one in np.unique(templates))


def _prompts(pairs: PromptPairs) -> np.ndarray:
    """A number for each clean prompt, equal for equal prompts."""
    groups, n = np.empty(len(pairs), dtype=np.int64), 0
    for rows, group in pairs.by_length():
        found = np.unique(group.clean.numpy(), axis=0, return_inverse=True)[1].reshape(-1)
        groups[rows.numpy()] = found + n
        n += int(found.max()) + 1
    return groups


def folds_of(groups: Tensor, labels: Tensor, n_folds: int, seed: int) -> Tensor:
    """The fold of each pair, shape [pair]. Groups are spread so that folds have like sizes and shares of each class.

    If every group has one class, there are at most as many folds as the rarest class has groups, so that every class
    is in training and in test: otherwise a held-out class is rarer in training, and the probe's bias is against it.

    Raises:
        InputError: there are fewer than two groups.
    """
    of_group, values = groups.numpy(), labels.numpy()
    first = np.unique(of_group, return_index=True)[1]
    n_groups, class_of = len(first), values[first]
    if labels.dtype == torch.int64 and n_groups < len(values) and (values == class_of[of_group]).all():
        n_folds = min(n_folds, int(np.unique(class_of, return_counts=True)[1].min()))
    n_folds = min(n_folds, n_groups)
    if n_folds < 2:
        raise InputError(f"{n_groups} groups of pairs cannot be divided into folds that have every class; give more "
                         "pairs, or hold out prompts")  # fmt: skip
    rng = np.random.default_rng([seed, 1])
    order = np.lexsort((rng.permutation(n_groups), class_of))
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    sizes, counts = np.zeros(n_folds), np.bincount(of_group, minlength=n_groups)
    for rank, group in enumerate(order):
        nearest = (np.arange(n_folds) + rank) % n_folds
        fold = nearest[sizes[nearest].argmin()]
        fold_of_group[group] = fold
        sizes[fold] += counts[group]
    return torch.from_numpy(fold_of_group[of_group])


def inner_folds(folds: Tensor, seed: int) -> Tensor:
    """For each fold the pairs on which its strength is chosen, bool, shape [fold, pair].

    They are those of the next fold. With two folds only they are a quarter of the pairs of the other fold.
    """
    n_folds = int(folds.max()) + 1
    following = (torch.arange(n_folds) + 1) % n_folds
    found = folds == following[:, None]
    if n_folds > 2:
        return found
    drawn = torch.rand(len(folds), generator=torch.Generator().manual_seed(seed + 4))
    return found & (drawn < 0.25)
