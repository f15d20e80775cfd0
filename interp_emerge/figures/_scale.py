"""The horizontal axis of every figure over scale: the axes that a table allows, and a switch between them.

An axis is offered if the place of every row on it is known and the places are not all equal; sizes that were trained on
the same number of tokens cannot be ordered by tokens. All axes are logarithmic. An untrained model, which has seen 0
tokens, has no place on the axes of tokens and FLOPs.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from interp_emerge.core.errors import InputError, UnknownNameError


@dataclass(frozen=True, kw_only=True)
class ScaleAxis:
    """An axis of scale: the column with the places, its name in the switch, its title, and whether it is reversed."""

    column: str
    label: str
    title: str
    falling: bool = False


AXES = {
    "parameters": ScaleAxis(column="n_parameters", label="parameters", title="Non-embedding parameters (log scale)"),
    "tokens": ScaleAxis(column="tokens", label="training tokens", title="Tokens of training (log scale)"),
    "flops": ScaleAxis(
        column="flops", label="training FLOPs", title="FLOPs of training, 6 · parameters · tokens (log scale)"
    ),
    "loss": ScaleAxis(
        column="loss", label="held-out loss", title="Held-out loss, nats per token (log scale, falling)", falling=True
    ),
}
PARAMETER = "x_axis"
"""Name of the switch in a chart."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """The axes over which rows can be drawn, the axis shown first, and the ticks of each axis."""

    names: tuple[str, ...]
    start: str
    marks: Mapping[str, list[float]]

    @property
    def place(self) -> str:
        """A Vega expression for the place of a row on the chosen axis."""
        return self._chosen({name: f"datum.{AXES[name].column}" for name in self.names})

    @property
    def title(self) -> alt.TitleParams:
        """The text below the axis: its meaning and unit. An axis's own title could not follow the switch."""
        text = self._either({name: AXES[name].title for name in self.names})
        return alt.TitleParams(text=text, orient="bottom", anchor="middle", offset=10)

    def x(self, *, padding: int = 18) -> alt.X:
        """The horizontal axis of rows whose place is calculated as `x`; `padding` is the space at both ends, pixels."""
        axis = alt.Axis(
            title=None,
            values=self._either(self.marks),
            labelExpr="format(datum.value, datum.value < 100 ? '.3~f' : '.2~s')",
            labelOverlap="greedy",
            labelSeparation=5,
            grid=False,
        )
        scale = alt.Scale(type="log", nice=False, padding=padding)
        if any(AXES[name].falling for name in self.names):
            scale.reverse = self._either({name: AXES[name].falling for name in self.names})
        return alt.X("x:Q", scale=scale, axis=axis)

    @property
    def params(self) -> list[alt.VariableParameter]:
        """The radio buttons, as parameters of the chart; none if there is only one axis."""
        if len(self.names) == 1:
            return []
        labels = [AXES[name].label for name in self.names]
        buttons = alt.BindRadioSelect(input="radio", options=list(self.names), labels=labels, name="Horizontal axis  ")
        return [alt.VariableParameter(name=PARAMETER, value=self.start, bind=buttons)]

    def _either(self, values: Mapping[str, Any]) -> Any:
        if len(self.names) == 1:
            return values[self.start]
        return {"expr": self._chosen({name: json.dumps(values[name]) for name in self.names})}

    def _chosen(self, expressions: Mapping[str, str]) -> str:
        *others, last = self.names
        tested = [f"{PARAMETER} == '{name}' ? {expressions[name]}" for name in others]
        return " : ".join([*tested, expressions[last]])


def switch_over(rows: pd.DataFrame, names: Iterable[str], *, start: str, always: Iterable[str] = ()) -> Switch:
    """The switch between those of the named axes over which the rows can be drawn.

    Args:
        rows: rows with the columns of the axes.
        names: axes to offer.
        start: the axis shown first if it is offered; otherwise the first of the offered axes.
        always: axes to offer for all rows.

    Raises:
        UnknownNameError: no axis has the name `start`.
        InputError: no axis can be offered.
    """
    if start not in AXES:
        raise UnknownNameError("axis", start, AXES)
    offered = tuple(name for name in names if name in always or _separates(rows[AXES[name].column]))
    if not offered:
        raise InputError(f"the rows cannot be drawn over {', '.join(names)}: their places are unknown or all equal; "
                         "use rows of more models")  # fmt: skip
    marks = {name: _marks(rows[AXES[name].column], even=AXES[name].falling) for name in offered}
    return Switch(names=offered, start=start if start in offered else offered[0], marks=marks)


def _separates(places: pd.Series) -> bool:
    """Whether all places are known, and the positive ones are not all equal."""
    return bool(places.notna().all()) and places[places > 0].nunique() > 1


def _marks(places: pd.Series, *, even: bool) -> list[float]:
    return _even_marks(places) if even else _log_marks(places[places > 0])


def _log_marks(values: pd.Series) -> list[float]:
    """One and three times each power of ten within the values."""
    powers = range(int(np.floor(np.log10(values.min()))), int(np.ceil(np.log10(values.max()))) + 1)
    marks = [digit * 10.0**power for power in powers for digit in (1, 3)]
    return [mark for mark in marks if values.min() * 0.8 <= mark <= values.max() * 1.25]


def _even_marks(values: pd.Series) -> list[float]:
    """About five round values at even distances within the values."""
    span = float(values.max() - values.min()) or float(values.max())
    unit = 10.0 ** np.floor(np.log10(span / 5))
    step = float(next(unit * digit for digit in (1, 2, 5, 10) if span / (unit * digit) <= 6))
    first = np.floor(values.min() / step)
    return [round(float(index * step), 10) for index in np.arange(first, values.max() / step + 1) if index > 0]
