"""How far does the direction of a variable turn in training? The cosine of each two checkpoints, with noise's below."""

import pandas as pd
from altair.typing import ChartType

from interp_emerge.emergence.forming.tables import TURNS
from interp_emerge.figures import shelf
from interp_emerge.figures._matrix import below, matrix, number
from interp_emerge.figures._theme import finish
from interp_emerge.figures.base import checked, only

ONE = ("size", "seed", "ability", "variable", "method", "site", "layer", "head", "position")
HOVER = tuple(name for name in TURNS.filled if name not in ("method", "head"))


@shelf.add
def turns_matrix(turns: pd.DataFrame) -> ChartType:
    """The cosine of a probe's directions at each two checkpoints, with what noise and shuffled labels give below it.

    Raises:
        InputError: a column is missing, or the table has several sizes, seeds, variables, probes or sites.
    """
    rows = checked(turns, TURNS)
    for column in ONE:
        only(rows, column, TURNS)
    order = [str(step) for step in sorted({*rows["step_a"], *rows["step_b"]})]
    rows[["step_a", "step_b"]] = rows[["step_a", "step_b"]].astype(str)
    rows["shown"] = rows["cosine"].map(number)
    rows["noise"] = "of " + rows["ceiling"].map(number) + ", null " + rows["null_high"].map(number)
    chart = matrix(
        across="step_b",
        up="step_a",
        orders=(order, order),
        value="cosine",
        title="cosine",
        lines=("shown", "noise"),
        titles=("step", "and step"),
        columns=HOVER,
    )
    note = (
        "Number: cosine of two halves' probes; below, what noise leaves of an unturned direction, and 97.5% of shuffles"
    )
    about = "Cosine of a probe's direction at each two checkpoints of one run"
    return finish(chart.properties(title=below(note)), about=about, rows=rows)
