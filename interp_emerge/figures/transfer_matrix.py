"""Would the circuit of one model do in another? Its faithfulness there, beside that of random circuits."""

import pandas as pd
from altair.typing import ChartType

from interp_emerge.emergence.sameness.tables import TRANSFER
from interp_emerge.figures import shelf
from interp_emerge.figures._matrix import below, matrix, number
from interp_emerge.figures._rows import in_order
from interp_emerge.figures._theme import finish
from interp_emerge.figures.base import checked, only

HOVER = tuple(name for name in TRANSFER.filled if name != "template")


@shelf.add
def transfer_matrix(transfer: pd.DataFrame) -> ChartType:
    """The faithfulness of each circuit in each model, with the 95th percentile of random circuits printed below it.

    Rows are circuits, columns the models that they are run in.

    Raises:
        InputError: a column is missing, or the table has several abilities, metrics, ablations or templates.
    """
    rows = checked(transfer, TRANSFER)
    for column in ("ability", "metric", "ablation", "template"):
        only(rows, column, TRANSFER)
    rows[["circuit", "model"]] = rows[["circuit", "model"]].astype(str)
    rows["kept"] = rows["faithfulness"].map(number)
    known = rows["random_p95"].notna()
    rows["chance"] = ("random ≤ " + rows["random_p95"].map(number)).where(known, "no random circuits")
    chart = matrix(
        across="model",
        up="circuit",
        orders=(in_order(rows["model"]), in_order(rows["circuit"])),
        value="faithfulness",
        title="faithfulness",
        lines=("kept", "chance"),
        titles=("run in the model", "circuit of"),
        columns=HOVER,
    )
    note = (
        "Number: fraction of the clean-corrupt gap that the circuit keeps; below, what 95% of random ones keep at most"
    )
    return finish(chart.properties(title=below(note)), about="Circuits of some models, run in others", rows=rows)
