"""What a table is: a name, what a row of it is, and its columns with units; and the columns that many tables share."""

from dataclasses import dataclass

import pandas as pd

from interp_emerge.core.errors import InputError

MODEL_COLUMNS = {
    "size": "name of the model's size in its family",
    "step": "training step of the checkpoint",
    "seed": "seed of the training run",
}
INTERVAL_COLUMNS = {
    "ci_low": "lower end of the 95% interval, bootstrap over prompts",
    "ci_high": "upper end of the 95% interval, bootstrap over prompts",
}
TEST_COLUMNS = {
    "p_value": "two-sided p-value of the sign-flip test that the mean over prompt pairs is zero; empty if undefined",
    "q_value": "smallest false-discovery rate, over all rows of the model, at which this row is called nonzero",
}
SCALE_COLUMNS = {
    "ability": "name of the ability",
    "axis": "axis of scale: parameters, tokens, flops (of training, all logarithmic), or loss (held-out, falling)",
}


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """A table's name, what a row is, and the meaning and unit of each column."""

    name: str
    row: str
    columns: dict[str, str]

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with exactly the schema's columns, in their order.

        Raises:
            InputError: a column is missing.
        """
        missing = [column for column in self.columns if column not in frame.columns]
        if missing:
            raise InputError(f"table {self.name!r} lacks column {missing[0]!r} ({self.columns[missing[0]]})")
        return frame[list(self.columns)]
