"""The rows of two parts of prompt pairs: to find a circuit on, and to judge it on."""

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
    rng, owed = np.random.default_rng(seed), 0.0
    first: list[int] = []
    for alike in _alike_by_template(pairs):
        # The rounding error of one template is carried over to the next.
        owed += share * sum(len(rows) for rows in alike)
        for group in rng.permutation(len(alike)):
            rows = alike[group]
            if len(rows) <= 2 * owed:
                first += rows
                owed -= len(rows)
    rest = sorted({*range(len(pairs))} - {*first})
    if not first or not rest:
        raise InputError(f"split({share:g}) of {counted(len(pairs), 'pair')} leaves one part empty; give more pairs "
                         "with different prompts, or a share nearer to a half")  # fmt: skip
    return sorted(first), rest


def _alike_by_template(pairs: "PromptPairs") -> list[list[list[int]]]:
    """Indices of pairs, by template and then by clean prompt. Equal prompts get the template of the first one."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for row, tokens in enumerate(pairs.prompts("clean")):
        alike.setdefault(tuple(tokens), []).append(row)
    by_template: dict[str, list[list[int]]] = {}
    for rows in alike.values():
        by_template.setdefault(pairs.templates[rows[0]] if pairs.templates else "", []).append(rows)
    return list(by_template.values())
