"""Successor heads: the head writes the next item of an ordered list. The score is the fraction of the list's items,
without the last, for which the next item has the highest logit among all items if the head attends only to the item. In
[0, 1]; ties count against the head.

Cost: the first block on the items, and an unembedding for each head and item.
"""

from collections.abc import Sequence

import numpy as np
import torch

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._writing import written_for
from interp_emerge.circuits.roles.base import MOSTLY, Role, RoleTask
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

LEAST_ITEMS = 4
"""Built-in lists with fewer items are not used, since they say little about order."""
ORDERS = {
    "days": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "months": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "number words": (
        *("zero", "one", "two", "three", "four", "five", "six"),
        *("seven", "eight", "nine", "ten", "eleven", "twelve"),
    ),
    "digits": tuple(map(str, range(1, 31))),
    "letters": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}
"""Words in order. Of each list, the longest run of neighbours that are single tokens is used."""


def built_in_orders(model: HookedModel) -> list[list[int]]:
    """Token ids of the lists in `ORDERS` with at least 4 neighbours as single tokens; none without a tokenizer."""
    runs = [_longest_run([model.lexicon.single_token(word) for word in words]) for words in ORDERS.values()]
    return [run for run in runs if len(run) >= LEAST_ITEMS]


@torch.no_grad()
def score(task: RoleTask) -> np.ndarray:
    """Whether the next item has the highest logit of its list, 0 or 1, for the items of all lists.

    Raises:
        InputError: a list is too short or names a token twice, or a token is not in the vocabulary.
    """
    found = []
    for order in _orders(task):
        if len(order) < 2 or len({*order}) < len(order):
            raise InputError(f"the ordered list {list(order)} needs at least 2 tokens, each once")
        items = torch.tensor(list(order))
        written = written_for(task.model, items)[:-1]
        among = items.to(written.device).expand(*written.shape[:2], -1)
        logits = task.model.decoder.logits(written.to(task.model.dtype), among)
        following = torch.arange(1, len(order), device=logits.device)[:, None, None].expand(-1, logits.shape[1], 1)
        found.append((logits >= logits.gather(2, following)).sum(2) == 1)
    return torch.cat(found).cpu().double().numpy()


def require(task: RoleTask) -> None:
    if not _orders(task):
        raise InputError("the tokenizer has no ordered list of single tokens, and none was given")


def _orders(task: RoleTask) -> Sequence[Sequence[int]]:
    return built_in_orders(task.model) if task.orders is None else task.orders


def _longest_run(ids: Sequence[int | None]) -> list[int]:
    """The longest run without a gap; the first of equally long runs."""
    runs: list[list[int]] = [[]]
    for token in ids:
        if token is None:
            runs.append([])
        else:
            runs[-1].append(token)
    return max(runs, key=len)


shelf.add(
    Role(
        name="successor",
        summary="writes the next item of an ordered list",
        source=Source("Gould et al.", 2023, "https://arxiv.org/abs/2312.09230"),
        unit="fraction of list items",
        score=score,
        at_least=MOSTLY,
        needs="orders",
        require=require,
    )
)
