"""A chart of accuracies by layer beside their controls."""

from typing import Any

import pandas as pd

CONTROLS = {
    "accuracy": "this model",
    "untrained": "untrained model",
    "embedding": "embedding alone",
    "control": "control task",
    "shuffled": "shuffled labels",
    "majority": "majority class",
}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999", "#000000"]


def accuracy_by_layer(frame: pd.DataFrame) -> Any:
    """Lines of accuracy and its controls over layers, with the 95% interval, one panel a kind of site and position."""
    import altair as alt

    title = f"{frame['measure'].iloc[0]} of {frame['variable'].iloc[0]!r}"
    place = frame["site"] + "@" + frame["position"].astype(str)
    rows = frame.assign(place=place + frame["head"].map(lambda head: "" if head < 0 else f" head {head}"))
    long = rows.melt(id_vars=["place", "layer"], value_vars=[*CONTROLS], var_name="of", value_name="level").dropna()
    long["of"] = long["of"].map(CONTROLS)
    scale = alt.Scale(domain=[*CONTROLS.values()], range=COLOURS)
    y_axis = alt.Y("level:Q", title=title)
    lines = (
        alt.Chart()
        .mark_line(point=True)
        .encode(
            x=alt.X("layer:Q", axis=alt.Axis(tickMinStep=1)), y=y_axis, color=alt.Color("of:N", scale=scale, title="")
        )
    )
    ends = rows.rename(columns={"ci_low": "low", "ci_high": "high"})[["place", "layer", "low", "high"]]
    band = (
        alt.Chart()
        .mark_area(opacity=0.2, color=COLOURS[0])
        .encode(x="layer:Q", y=alt.Y("low:Q", title=title), y2="high:Q")
    )
    joined = pd.concat([long, ends], ignore_index=True)
    return alt.layer(
        band.transform_filter("isValid(datum.low)"), lines.transform_filter("isValid(datum.level)"), data=joined
    ).facet(alt.Facet("place:N", title=""), columns=3)
