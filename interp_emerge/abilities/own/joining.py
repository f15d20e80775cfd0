"""Two sets of prompt pairs as one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interp_emerge.abilities.own.completions import FILL, Completions, stacked_rows
from interp_emerge.core.errors import InputError

if TYPE_CHECKING:
    from interp_emerge.abilities.pairs import PromptPairs


def fields_of_both(a: "PromptPairs", b: "PromptPairs") -> dict[str, Any]:
    """The arguments of `PromptPairs` for the pairs of `a` and then those of `b`.

    Raises:
        InputError: the names of positions or variables differ, or the text was encoded by different tokenizers.
    """
    for what in ("positions", "variables"):
        names = [sorted(getattr(pairs, what)) for pairs in (a, b)]
        if names[0] != names[1]:
            raise InputError(f"pairs with the {what} {names[0]} and {names[1]} cannot be joined; give both the same "
                             "names")  # fmt: skip
    known = [pairs.encoding for pairs in (a, b) if pairs.encoding is not None]
    if len({one.vocabulary for one in known if one.vocabulary}) > 1:
        raise InputError("pairs whose text was encoded by different tokenizers cannot be joined; make both with one "
                         "model")  # fmt: skip
    labels, variables = _variables(a, b)
    known.sort(key=lambda one: not one.vocabulary)
    return {
        **{
            name: [
                row[:n] for pairs in (a, b) for row, n in zip(pairs.prompts(name), pairs.lengths.tolist(), strict=True)
            ]
            for name in ("clean", "corrupt")
        },
        "answer": stacked_rows(a.answers, b.answers),
        "foil": stacked_rows(a.foils, b.foils),
        "templates": [name for pairs in (a, b) for name in pairs.templates or [""] * len(pairs)]
        if a.templates or b.templates
        else (),
        "positions": {name: torch.cat([a.positions[name], b.positions[name]]) for name in a.positions},
        "variables": variables,
        "labels": labels,
        "ability": a.ability if a.ability == b.ability else "",
        "completions": _completions(a, b),
        "continuation": _continuation(a, b),
        "encoding": known[0].and_names_of(known[-1]) if known else None,
    }


def _variables(a: "PromptPairs", b: "PromptPairs") -> tuple[Mapping[str, tuple[str, ...]], dict[str, Tensor]]:
    """The labels of both, and the values; indices of labels are those among the labels of both."""
    labels: dict[str, tuple[str, ...]] = {}
    variables: dict[str, Tensor] = {}
    for name in a.variables:
        both = [pairs.variables[name] for pairs in (a, b)]
        known = [pairs.labels.get(name) for pairs in (a, b)]
        if (known[0] is None) != (known[1] is None):
            raise InputError(f"variable {name!r} holds labels in one set of pairs and numbers in the other; give both "
                             "the same")  # fmt: skip
        if known[0] != known[1]:
            texts = [[of[index] for index in values.tolist()] for values, of in zip(both, known, strict=True) if of]
            labels[name] = tuple(sorted({text for of in known for text in of or ()}))
            place = {text: index for index, text in enumerate(labels[name])}
            both = [torch.tensor([place[text] for text in of]) for of in texts]
        elif known[0] is not None:
            labels[name] = known[0]
        variables[name] = torch.cat(both)
    return labels, variables


def _completions(a: "PromptPairs", b: "PromptPairs") -> Completions | None:
    if a.completions is None and b.completions is None:
        return None
    first, second = (pairs.completions or Completions.of_single(pairs.answers, pairs.foils) for pairs in (a, b))
    return first + second


def _continuation(a: "PromptPairs", b: "PromptPairs") -> Tensor | None:
    if a.continuation is None and b.continuation is None:
        return None
    parts = []
    for pairs in (a, b):
        if pairs.continuation is None and (a.completions is None and b.completions is None):
            raise InputError("only one of the sets of pairs has a continuation; give one to both, or to neither")
        parts.append(pairs.answers[:, :1] if pairs.continuation is None else pairs.continuation)
    assert FILL == -1
    return stacked_rows(*parts)
