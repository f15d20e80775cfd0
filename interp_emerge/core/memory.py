"""How much fits: stages say what they need for one item, and get the number that fits at once.

The default budget is the same on every machine, not a share of what is free there: the size of a batch decides the last
bits of a result, and a run that is taken up again has to end with those of an undisturbed one.
"""

BUDGET = 1 << 28
"""Bytes that one stage takes unless told otherwise."""


def items_that_fit(bytes_each: int, n: int, *, budget: int | None = None) -> int:
    """How many of `n` items to take at once so that they stay within the budget in bytes; at least one."""
    budget = BUDGET if budget is None else budget
    return max(1, min(n, budget // max(1, bytes_each)))
