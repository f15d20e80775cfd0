"""Checks tables with a row for each quantity, component, step and prompt, and returns one quantity's values by step."""

import pandas as pd

from interp_emerge.core.errors import InputError


def values_by_step(frame: pd.DataFrame, quantity: str, component: str, column: str = "value") -> pd.DataFrame:
    """The values of a quantity, with a row for each prompt and a column for each step where it is defined, ascending.

    Raises:
        InputError: a column is missing, the quantity has no values, a prompt has several values at a step, or it is
            missing at some steps.
    """
    require_rows_of_prompts(frame, column)
    rows = frame[(frame["quantity"] == quantity) & (frame["component"] == component)]
    if rows.duplicated(["step", "prompt"]).any():
        raise InputError(f"{quantity} {component} has several rows for one prompt and step; give one training run")
    table = rows.pivot(index="prompt", columns="step", values=column).dropna(axis=1, how="all")
    if table.empty:
        raise InputError(f"the table has no values of {quantity} {component}")
    gaps = table.isna().any().to_numpy()
    if gaps.any():
        step = table.columns.to_numpy()[gaps][0]
        raise InputError(
            f"{quantity} {component} lacks some prompts at step {step}; use the same prompts at every step"
        )
    return table


def require_rows_of_prompts(frame: pd.DataFrame, column: str = "value") -> None:
    """Raises an error unless a table has one row for each quantity, component, step and prompt.

    Raises:
        InputError: a column is missing, or there is no row.
    """
    for needed in ("quantity", "component", "step", "prompt", column):
        if needed not in frame.columns:
            raise InputError(
                f"the table lacks column {needed!r}; give one row for each quantity, component, step, prompt"
            )
    if frame.empty:
        raise InputError("the table has no rows; give one row for each quantity, component, step, prompt")
