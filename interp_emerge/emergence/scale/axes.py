"""Where a model lies on an axis of scale: its size, its training tokens, its compute, or its loss.

Whether a curve jumps depends on the axis: models of different sizes have the same abilities where they have the same
loss (Du et al., 2024, https://arxiv.org/abs/2403.15796).

* `parameters`: non-embedding parameters N (Kaplan et al., 2020, https://arxiv.org/abs/2001.08361).
* `tokens`: tokens of all training steps so far, D. A token that is used twice counts twice.
* `flops`: 6 · N · D floating-point operations of training. This leaves out attention between positions and the
  embeddings. In very small models the part left out is larger than the part counted.
* `loss`: next-token loss on held-out text, nats per token. It falls with scale, so this axis runs from high to low.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.record import Record
from interp_emerge.families.base import Family

FLOPS_PER_PARAMETER_AND_TOKEN = 6
"""Two operations for the forward pass and four for the backward pass."""


@dataclass(frozen=True, kw_only=True)
class Axis(Record):
    """An axis of scale.

    On a `logarithmic` axis the distance between two places is their ratio, otherwise it is their difference. On a
    `descending` axis scale grows from high to low places.
    """

    name: str
    unit: str
    logarithmic: bool = True
    descending: bool = False

    def coordinate(self, places: np.ndarray) -> np.ndarray:
        """Coordinates that increase with scale: logarithms of the places, or minus the places if the axis descends.

        Raises:
            InputError: a place has no logarithm, such as 0 tokens before training.
        """
        places = np.asarray(places, dtype=np.float64)
        if self.logarithmic and (places <= 0).any():
            raise InputError(f"{places.min():g} {self.unit} have no place on a logarithmic axis; leave out models "
                             "before training (step 0)")  # fmt: skip
        return np.log(places) if self.logarithmic else -places if self.descending else places

    def between(self, low: float, high: float) -> str:
        """The distance between two places, in words."""
        return f"a factor of {high / low:.3g}" if self.logarithmic else f"{abs(high - low):.3g} {self.unit}"


AXES = {
    axis.name: axis
    for axis in (
        Axis(name="parameters", unit="parameters"),
        Axis(name="tokens", unit="tokens"),
        Axis(name="flops", unit="FLOPs"),
        Axis(name="loss", unit="nats per token", logarithmic=False, descending=True),
    )
}


def load_axis(name: str) -> Axis:
    """The axis with this name.

    Raises:
        UnknownNameError: there is no such axis.
    """
    if name not in AXES:
        raise UnknownNameError("axis", name, AXES)
    return AXES[name]


def on_axis(models: pd.DataFrame, axis: str = "parameters", *, family: Family | None = None) -> pd.Series:
    """The place of the model of each row on an axis, in the axis's unit, with the index of the table.

    Args:
        models: columns `size`, `step`, `seed`, and `n_parameters` or `loss` where the axis needs them. A study's table
            `ability` and the table that `measure_grid` returns have these columns.
        axis: `parameters`, `tokens`, `flops` or `loss`.
        family: gives the tokens of a training step; needed for `tokens` and `flops`.

    Raises:
        UnknownNameError: there is no such axis, or the family lacks a model.
        InputError: the table lacks a column, the place of a model is unknown, or the axis needs a family and there is
            none, or none that counts tokens.
    """
    match load_axis(axis).name:
        case "parameters":
            places = _column(models, "n_parameters", axis)
        case "tokens":
            places = _tokens(models, axis, family)
        case "flops":
            places = FLOPS_PER_PARAMETER_AND_TOKEN * _column(models, "n_parameters", axis)
            places = places * _tokens(models, axis, family)
        case _:
            places = _column(models, "loss", axis)
    unknown = models[~np.isfinite(places.to_numpy(dtype=np.float64))]
    if len(unknown):
        row = unknown.iloc[0]
        raise InputError(f"the place of {row['size']}/step{row['step']}/seed{row['seed']} on axis {axis!r} is not "
                         "known; leave that model out, or take another axis")  # fmt: skip
    return places.astype(np.float64).rename(axis)


def _column(models: pd.DataFrame, column: str, axis: str) -> pd.Series:
    if column not in models.columns:
        raise InputError(f"axis {axis!r} needs column {column!r}; the table has only {', '.join(models.columns)}")
    return models[column]


def _tokens(models: pd.DataFrame, axis: str, family: Family | None) -> pd.Series:
    if family is None:
        raise InputError(f"axis {axis!r} needs the number of tokens of a training step; give the family")
    if not family.counts_tokens:
        raise InputError(f"family {family.name!r} does not say how many tokens a training step has, so axis {axis!r} "
                         f"cannot be used; set its tokens_per_step, or take axis 'parameters' or 'loss'")  # fmt: skip
    keys = list(zip(*(_column(models, column, axis) for column in ("size", "step", "seed")), strict=True))
    counted = {key: family.tokens(str(key[0]), int(key[1]), int(key[2])) for key in dict.fromkeys(keys)}
    return pd.Series([counted[key] for key in keys], index=models.index, dtype=np.float64)
