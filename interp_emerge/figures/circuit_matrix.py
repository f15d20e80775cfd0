"""Are the circuits of two sizes the same? Their overlap once heads are matched, beside that of random circuits."""

import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.figures import shelf
from interp_emerge.figures._matrix import below, matrix, number
from interp_emerge.figures._rows import in_order
from interp_emerge.figures._theme import finish
from interp_emerge.figures.base import checked, only

PAIR = ["size_a", "seed_a", "size_b", "seed_b"]
HOVER = ("a", "b", "ability", "verdict", "p_value_verdict", "index", "low", "high")
HOVER += ("random", "random_low", "random_high", "beyond_chance", "note")


@shelf.add
def circuit_matrix(comparisons: pd.DataFrame, *, level: str = "edges") -> ChartType:
    """The overlap of each two circuits, with that of random circuits of the same sizes printed below it.

    Colour is the overlap beyond chance: 0 as random circuits on average, 1 for equal circuits. The verdict of the test
    that the circuits are the same is in the hover text.

    Args:
        comparisons: the table.
        level: `edges`, matched through their heads, or `classes` of edges, by the roles of their nodes.

    Raises:
        InputError: a column is missing, the table has several abilities, or it has no rows of the level.
    """
    rows = checked(comparisons, COMPARISONS)
    only(rows, "ability", COMPARISONS)
    here = rows[rows["level"] == level]
    if here.empty:
        known = ", ".join(in_order(rows["level"]))
        raise InputError(f"table 'comparisons' has no rows of level {level!r}; it has {known}")
    null = here[here["comparison"] == "random circuits"].set_index(PAIR)[["index", "low", "high"]].add_prefix("random_")
    null = null.rename(columns={"random_index": "random"})
    across = here[here["comparison"] == "across"].join(null, on=PAIR).reset_index(drop=True)
    several = any(here.groupby(f"size_{end}")[f"seed_{end}"].nunique().max() > 1 for end in "ab")
    for end in "ab":
        seed = ", seed " + across[f"seed_{end}"].astype(str) if several else ""
        across[end] = across[f"size_{end}"].astype(str) + seed
    across["overlap"] = across["index"].map(number)
    across["chance"] = "random " + across["random"].map(number)
    orders = in_order(across["b"]), in_order(across["a"])
    chart = matrix(
        across="b",
        up="a",
        orders=orders,
        value="beyond_chance",
        title="beyond chance",
        lines=("overlap", "chance"),
        titles=("circuit of", "and of"),
        columns=HOVER,
    )
    note = "Number: mean Jaccard index over halves of the prompts, heads matched; below it, that of random circuits"
    chart = chart.properties(title=below(note))
    return finish(chart, about="Overlap of the circuits of each two sizes, and of random circuits", rows=across)
