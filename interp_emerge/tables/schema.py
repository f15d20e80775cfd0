"""A table's name, the meaning of a row, and the unit and meaning of each column; and columns of many tables."""

from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record

Columns = dict[str, str]
"""The unit and meaning of each column, by its name."""
RUN_COLUMNS = {"size": "name of the model's size in its family", "seed": "seed of the training run"}
MODEL_COLUMNS = {
    "size": RUN_COLUMNS["size"],
    "step": "training step of the checkpoint",
    "seed": RUN_COLUMNS["seed"],
}
ABILITY_COLUMN = {"ability": "name of the ability"}
INTERVAL_COLUMNS = {
    "ci_low": "lower end of the 95% interval over prompts",
    "ci_high": "upper end of the 95% interval over prompts",
}
TEST_COLUMNS = {
    "p_value": "two-sided p-value of the sign-flip test that the mean over prompt pairs is zero; empty if undefined",
    "q_value": "smallest false-discovery rate, over all rows of the model, at which this row counts as nonzero",
}
SCALE_COLUMNS = {
    **ABILITY_COLUMN,
    "axis": "axis of scale: parameters, tokens, flops (of training, all logarithmic), or loss (held-out, falling)",
}


@dataclass(frozen=True, kw_only=True)
class Table(Record):
    """A table: its name, the meaning of a row, and the unit and meaning of each column.

    It is defined next to the function that fills it. Its columns are named nowhere else.
    """

    name: str
    row: str
    key: tuple[str, ...] = ()
    """Columns whose values no two rows share, where the table has such columns."""
    about: Columns = field(default_factory=dict)
    """Columns for the model and the ability of a row, added when results of several models are combined."""
    filled: Columns
    """Columns that the function returns."""

    @cached_property
    def columns(self) -> Columns:
        """All columns, in their order."""
        return {**self.about, **self.filled}

    @property
    def empty(self) -> pd.DataFrame:
        """The table without a row."""
        return pd.DataFrame(columns=pd.Index([*self.columns]))

    def shaped(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with exactly these columns and rows numbered from 0. Missing values stay empty."""
        return frame.reindex(columns=[*self.columns]).reset_index(drop=True)

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with exactly these columns, in their order.

        Raises:
            InputError: a column is missing.
        """
        missing = [column for column in self.columns if column not in frame.columns]
        if missing:
            raise InputError(f"table {self.name!r} lacks column {missing[0]!r} ({self.columns[missing[0]]})")
        return frame[[*self.columns]]

    def require_unique(self, frame: pd.DataFrame) -> None:
        """Raise an `InputError` that names the key of a row if another row has the same; one would hide the other."""
        again = frame[frame.duplicated([*self.key])] if self.key else frame.head(0)
        if len(again):
            told = [column for column in self.key if frame[column].nunique(dropna=False) > 1] or self.key
            which = ", ".join(f"{column} {again[column].iloc[0]}" for column in told if str(again[column].iloc[0]))
            raise InputError(
                f"table {self.name!r} has several rows of {which}; give one row for each {', '.join(self.key)}"
            )
