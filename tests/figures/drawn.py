"""What a chart draws, read back from the chart itself."""

from typing import Any

import pandas as pd
from altair.typing import ChartType


def spec_of(chart: ChartType) -> dict[str, Any]:
    """The chart's specification, not compared with the schema of Vega-Lite.

    That takes two thirds of the time. `test_contract.py` does it once for every figure.
    """
    return chart.to_dict(validate=False)


def dataset(chart: ChartType, name: str = "rows") -> pd.DataFrame:
    """The rows that the chart carries under a name."""
    return pd.DataFrame(spec_of(chart)["datasets"][name])


def assert_same_rows(drawn: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> None:
    """The drawn rows are the table's: the same number, each value equal to the last digit, in whatever order."""
    assert len(drawn) == len(table)

    def ordered(frame: pd.DataFrame) -> pd.DataFrame:
        plain = frame[columns].astype(object)
        return plain.where(plain.notna(), None).sort_values(columns, key=lambda c: c.map(repr)).reset_index(drop=True)

    pd.testing.assert_frame_equal(ordered(drawn), ordered(table))


def parts(spec: Any, key: str) -> list[Any]:
    """Every value that stands under a key, anywhere in a chart's specification."""
    found: list[Any] = []
    if isinstance(spec, dict):
        found += [spec[key]] if key in spec else []
        for name, value in spec.items():
            found += parts(value, key) if name != "datasets" else []
    elif isinstance(spec, list):
        for value in spec:
            found += parts(value, key)
    return found


def marks(chart: ChartType) -> list[str]:
    """The kinds of mark that a chart draws with."""
    return [mark if isinstance(mark, str) else mark["type"] for mark in parts(spec_of(chart), "mark")]


def encodings(chart: ChartType, mark: str) -> list[dict[str, Any]]:
    """What each layer of a kind of mark encodes."""
    found: list[dict[str, Any]] = []

    def walk(part: Any) -> None:
        if isinstance(part, list):
            for value in part:
                walk(value)
        if isinstance(part, dict):
            kind = part.get("mark")
            if (kind["type"] if isinstance(kind, dict) else kind) == mark:
                found.append(part["encoding"])
            for name, value in part.items():
                if name != "datasets":
                    walk(value)

    walk(spec_of(chart))
    return found
