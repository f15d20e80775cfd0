"""The figure of accuracies by layer with their controls."""

from typing import Any

import pandas as pd

from interp_emerge.core.showing import draw

CONTROLS = {
    "accuracy": "this model",
    "untrained": "untrained model",
    "embedding": "embedding alone",
    "control": "control task",
    "shuffled": "shuffled labels",
    "majority": "majority class",
}


def accuracy_by_layer(frame: pd.DataFrame) -> Any:
    """Accuracy and its controls over layers, with the 95% interval, one panel a kind of site and position.

    Args:
        frame: rows of the table `probe_scores`, of one variable.
    """
    place = frame["site"] + "@" + frame["position"].astype(str)
    rows = frame.assign(place=place + frame["head"].map(lambda head: "" if head < 0 else f" head {head}"))
    parts = [
        rows[["place", "layer"]].assign(
            of=name,
            level=rows[column],
            low=rows["ci_low"] if column == "accuracy" else float("nan"),
            high=rows["ci_high"] if column == "accuracy" else float("nan"),
        )
        for column, name in CONTROLS.items()
    ]
    long = pd.concat(parts, ignore_index=True).dropna(subset=["level"])
    about = {"x": "layer", "value": "level", "ends": ("low", "high"), "colour": "of", "panel": "place"}
    titles = ("layer", f"{frame['measure'].iloc[0]} of {frame['variable'].iloc[0]!r}")
    return draw("interval_lines", long, titles=titles, scales=("linear", "linear"), **about)
