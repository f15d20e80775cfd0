"""All tables of a study, in the order of the stages that fill them.

Each has one column more than its stage fills: what is known to be wrong with the checkpoints behind a row.
"""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.stages import in_order
from interp_emerge.study.stages.base import Results
from interp_emerge.tables.schema import Table

KNOWN_FAULT = {
    "known_fault": "what is known to be wrong with a checkpoint behind the row (of its size, step and seed, as far "
    "as it names them), with the source; empty if nothing is"
}


def all_tables() -> dict[str, Table]:
    """The tables, by name."""
    tables = [table for stage in in_order() for table in stage.tables]
    return {table.name: replace(table, filled={**table.filled, **KNOWN_FAULT}) for table in tables}


def filled(results: Results) -> dict[str, pd.DataFrame]:
    """The rows of every table, by the table's name."""
    family, tables = results.work.family, all_tables()
    known = {at: "; ".join(map(str, family.faults(*at))) for at in results.work.grid.models}
    known = {at: faults for at, faults in known.items() if faults}
    return {
        table.name: tables[table.name].shaped(flagged(frame, known))
        for stage in in_order()
        for table, frame in zip(stage.tables, stage.fill(results), strict=True)
    }


def flagged(frame: pd.DataFrame, known: Mapping[Checkpoint, str]) -> pd.DataFrame:
    """The frame with the column `known_fault`: the faults of the checkpoints that a row names, or could come from."""
    named = [name for name in Checkpoint._fields if name in frame.columns]

    def told(row: tuple[object, ...]) -> str:
        values = dict(zip(named, row, strict=True))
        concerned = {
            at: faults
            for at, faults in known.items()
            if all(value == getattr(at, name) for name, value in values.items())
        }
        return "; ".join(
            dict.fromkeys(f"{at.size}, step {at.step}, seed {at.seed}: {one}" for at, one in concerned.items())
        )

    if not known:
        return frame.assign(known_fault="")
    rows = zip(*(frame[name] for name in named), strict=True) if named else [()] * len(frame)
    of_row = {row: told(row) for row in dict.fromkeys(rows)}
    rows = zip(*(frame[name] for name in named), strict=True) if named else [()] * len(frame)
    return frame.assign(known_fault=[of_row[row] for row in rows])
