"""All tables of a study, in the order of the stages that fill them."""

import pandas as pd

from interp_emerge.study.stages import in_order
from interp_emerge.study.stages.base import Results
from interp_emerge.tables.schema import Table


def all_tables() -> dict[str, Table]:
    """The tables, by name."""
    return {table.name: table for stage in in_order() for table in stage.tables}


def filled(results: Results) -> dict[str, pd.DataFrame]:
    """The rows of every table, by the table's name."""
    return {
        table.name: table.shaped(frame)
        for stage in in_order()
        for table, frame in zip(stage.tables, stage.fill(results), strict=True)
    }
