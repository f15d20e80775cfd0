"""The rows of two parts of prompt pairs: to find a circuit on, and to judge it on."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from interp_emerge.core.errors import InputError, counted

if TYPE_CHECKING:
    from interp_emerge.abilities.pairs import PromptPairs


def rows_of_split(pairs: "PromptPairs", share: float, seed: int) -> tuple[list[int], list[int]]:
    """The rows of both parts of `PromptPairs.split`.

    Raises:
        InputError: the share is not between 0 and 1, or a part would be empty.
    """
    if not 0 < share < 1:
        raise InputError(f"the share of a split cannot be {share:g}; give a number between 0 and 1")
    first = share_of_rows(alike_by_template(map(tuple, pairs.prompts("clean")), pairs.templates), share, seed)
    rest = sorted({*range(len(pairs))} - {*first})
    if not first or not rest:
        raise InputError(f"split({share:g}) of {counted(len(pairs), 'pair')} leaves one part empty; give more pairs "
                         "with different prompts, or a share nearer to a half")  # fmt: skip
    return first, rest


def share_of_rows(by_template: Sequence[Sequence[Sequence[int]]], share: float, seed: int) -> list[int]:
    """A random share of rows, ascending, of each template alike; groups of rows stay together."""
    rng, owed = np.random.default_rng(seed), 0.0
    chosen: list[int] = []
    for groups in by_template:
        # The rounding error of one template is carried over to the next.
        owed += share * sum(len(rows) for rows in groups)
        for group in rng.permutation(len(groups)):
            rows = groups[group]
            if len(rows) <= 2 * owed:
                chosen += rows
                owed -= len(rows)
    return sorted(chosen)


def alike_by_template(prompts: Iterable[Hashable], templates: Sequence[str]) -> list[list[list[int]]]:
    """Indices of rows, by template and then by clean prompt. Equal prompts get the template of the first one."""
    alike: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        alike.setdefault(prompt, []).append(row)
    by_template: dict[str, list[list[int]]] = {}
    for rows in alike.values():
        by_template.setdefault(templates[rows[0]] if templates else "", []).append(rows)
    return [*by_template.values()]
