"""Folds of the pairs for which nothing leaks from training to held-out prompts.

Pairs whose clean prompts have the same tokens up to the probed position are kept in one fold: attention is causal, so
their activations there are equal. What else has to be kept together is `held_out`: `prompts`, which adds nothing,
`templates`, or the name of a variable, whose values are then entities. Pairs that are linked by a chain of equal tokens
and equal templates or entities are one group.
"""

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.probing.engines.variables import Labels, Target, target_of

PROMPTS, TEMPLATES = "prompts", "templates"


def groups_of(
    pairs: PromptPairs, target: Target, held_out: str, *, place: Tensor, labels: Labels | None = None
) -> tuple[str, Tensor]:
    """What is held out, and the group of each pair, shape [pair]; pairs of one group are never in two folds.

    `place` is the probed position of each pair, shape [pair]. With `held_out` empty, prompts
    are held out. If the variable is constant within each template, then the wording alone gives it away, and whole
    templates are held out.

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
    groups = equal_up_to(pairs, place)
    if groups.max() < 1:
        raise InputError(f"all {len(pairs)} pairs have the same tokens up to the probed position, so their activations "
                         "there are equal; probe a later position")  # fmt: skip
    if held_out == TEMPLATES:
        groups = _linked(groups, templates)
    elif held_out != PROMPTS:
        entity = target_of(pairs, held_out, place=pairs.lengths - 1, labels=labels)
        groups = _linked(groups, np.unique(entity.labels.numpy(), return_inverse=True)[1])
    if groups.max() < 1:
        raise InputError(f"held_out={held_out!r} gives one group of pairs, so none can be held out: equal prompts "
                         "link all its values; hold out prompts")  # fmt: skip
    in_one = [len({*groups[target.labels.numpy() == one]}) == 1 for one in range(target.n_classes)]
    if held_out != PROMPTS and in_one and all(in_one):
        raise InputError(f"held_out={held_out!r}: each value of {target.variable!r} is in one group only, so a "
                         "held-out value is never in training; hold out something else")  # fmt: skip
    return held_out, torch.from_numpy(groups.astype(np.int64))


def _constant_within(templates: np.ndarray, labels: np.ndarray) -> bool:
    return all(len({*labels[templates == one]}) == 1 for one in np.unique(templates))


def equal_up_to(pairs: PromptPairs, place: Tensor) -> np.ndarray:
    """A number for each pair, shape [pair]: equal if the clean prompts are the same up to and at `place`, [pair].

    Numbers are given in the order in which the pairs first have them.
    """
    known: dict[tuple[int, ...], int] = {}
    groups = np.empty(len(pairs), dtype=np.int64)
    prefixes: list[tuple[int, ...]] = [()] * len(pairs)
    for rows, group in pairs.by_length():
        for row, tokens in zip(rows.tolist(), group.clean.tolist(), strict=True):
            prefixes[row] = tuple(tokens[: int(place[row]) + 1])
    for row, prefix in enumerate(prefixes):
        groups[row] = known.setdefault(prefix, len(known))
    return groups


def _linked(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Groups that share no value of either grouping with each other: connected components, shape [pair]."""
    first = int(one.max()) + 1
    size = first + int(other.max()) + 1
    edges = coo_array((np.ones(len(one)), (one, first + other)), shape=(size, size))
    found = connected_components(edges, directed=False)[1][one]
    return np.unique(found, return_inverse=True)[1]


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


def halves_of(groups: np.ndarray, seed: int) -> Tensor:
    """Which pairs are in the first of two halves, bool, shape [pair]; pairs of one group are in one half.

    Raises:
        InputError: the groups cannot be divided so that each half has ten pairs.
    """
    sizes = np.bincount(groups)
    drawn = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed + 5)).numpy()
    in_first, filled = np.zeros(len(sizes), dtype=bool), [0, 0]
    for group in np.lexsort((drawn, -sizes)).tolist():
        in_first[group] = filled[0] <= filled[1]
        filled[0 if in_first[group] else 1] += int(sizes[group])
    if min(filled) < 10:
        raise InputError(f"{len(groups)} pairs have {len(sizes)} different clean prompts, which cannot be divided into "
                         "halves of at least 10 pairs; give more different prompts")  # fmt: skip
    return torch.from_numpy(in_first[groups])


def inner_folds(folds: Tensor, groups: Tensor, seed: int) -> Tensor:
    """For each fold the pairs on which its strength is chosen, bool, shape [fold, pair].

    They are those of the next fold. With two folds only they are some groups of the other fold, with about a quarter of
    its pairs. If that fold is a single group, they are a quarter of its pairs.
    """
    n_folds = int(folds.max()) + 1
    following = (torch.arange(n_folds) + 1) % n_folds
    found = folds == following[:, None]
    if n_folds > 2:
        return found
    generator = torch.Generator().manual_seed(seed + 4)
    for rows in found:
        inside = rows.nonzero()[:, 0]
        whole = groups[inside] if len(groups[inside].unique()) > 1 else torch.arange(len(inside))
        sizes = torch.bincount(whole)
        present = sizes.nonzero()[:, 0]
        drawn = present[torch.randperm(len(present), generator=generator)]
        before = sizes[drawn].cumsum(0) - sizes[drawn]
        taken = drawn[(before < len(inside) / 4) & (torch.arange(len(drawn)) < len(drawn) - 1)]
        rows[inside] = torch.isin(whole, taken)
    return found


def in_random_order(groups: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The pairs in random order, shape [pair], with those of a group next to each other, and where each group ends."""
    found, of_pair = groups.unique(return_inverse=True)
    rank = torch.empty_like(found)
    rank[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed + 1))] = torch.arange(len(found))
    order = torch.argsort(rank[of_pair], stable=True)
    return order, torch.bincount(rank[of_pair]).cumsum(0)
