"""The result of a decoder: how well a variable is decoded at each site, with every control beside it.

*Accuracy* is that of predictions on held-out pairs; for real values it is the share of variance explained. Its interval
is over groups of pairs that are held out together. Every control is a column: the majority class, shuffled labels, the
control task, an untrained model, and the embedding at the same position.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.files import hash_bytes, write_together
from interp_emerge.core.showing import html_of
from interp_emerge.probing.engines.sites import Site
from interp_emerge.probing.tables import PROBE_SCORES

FORMAT = 3
TEXT = {"variable", "method", "site", "position", "measure", "held_out"}
"""Columns that hold words. Those that hold numbers may be empty in all rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedProbe:
    """One fitted probe: linear scores of the activations at a site."""

    site: Site
    variable: str
    classes: tuple[int | str, ...]
    weight: Tensor
    """Shape [feature, output]."""
    bias: Tensor
    """Shape [output]."""

    def scores(self, activations: Tensor) -> Tensor:
        """Scores of each class, or the real value, shape [prompt, output].

        Raises:
            InputError: the activations have another width than those that the probe was fitted on, or are not finite.
        """
        if activations.ndim != 2 or activations.shape[1] != len(self.weight):
            raise InputError(
                f"the probe of {self.variable!r} at {self.site.name} reads {len(self.weight)} features; it cannot be "
                f"applied to activations of shape {list(activations.shape)}. Give [prompt, {len(self.weight)}]"
            )
        if not torch.isfinite(activations).all():
            raise InputError(f"activations for the probe of {self.variable!r} at {self.site.name} are not finite; give "
                             "finite ones")  # fmt: skip
        return activations.float() @ self.weight.to(activations.device) + self.bias.to(activations.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """The held-out predictions behind each row of the table, shape [row, pair] each.

    A value is 1 for a correct prediction, else 0; for real values it is a pair's part of the share of variance that is
    explained. The mean over pairs is the row's accuracy.
    """

    site: np.ndarray
    embedding: np.ndarray
    """The same from the embedding alone."""
    groups: np.ndarray
    """The group of each pair; pairs of one group are held out together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeScores:
    """How well variables are decoded at sites, and the fitted probes."""

    frame: pd.DataFrame
    probes: tuple[SavedProbe, ...]
    """One for each row of the frame."""
    learning: pd.DataFrame
    """Learning curves: columns of the site, `variable`, `n_training` and `accuracy` on the pairs that are left."""
    origin: dict[str, Any] = field(default_factory=dict)
    held_out: HeldOut | None = None
    """The predictions; None after `load`, since they are not saved."""

    def __post_init__(self) -> None:
        if len(self.frame) != len(self.probes):
            raise InputError(f"{len(self.frame)} rows for {len(self.probes)} probes; give one for each")

    def __repr__(self) -> str:
        best = self.frame.iloc[int(self.frame["accuracy"].to_numpy().argmax())]
        return (
            f"ProbeScores({len(self.frame)} sites, {self.origin.get('method', '')}; best {best['accuracy']:.2f} of "
            f"{best['variable']!r} at {best['site']}.{best['layer']}@{best['position']}, majority "
            f"{best['majority']:.2f})"
        )

    def _repr_html_(self) -> str:
        shown = ["variable", "site", "layer", "head", "position", "accuracy", "ci_low", "ci_high", "majority"]
        return html_of(repr(self), self.frame.sort_values("accuracy", ascending=False, kind="stable")[shown])

    def to_frame(self) -> pd.DataFrame:
        """One row for each variable and site; the columns are those of the table `probe_scores`."""
        return self.frame.copy()

    def probe_at(self, site: str, variable: str | None = None) -> SavedProbe:
        """The fitted probe at a site of this name, such as `resid_post.3@last`.

        Raises:
            UnknownNameError: no such site or variable was probed.
        """
        for probe in self.probes:
            if probe.site.name == site and variable in (None, probe.variable):
                return probe
        known = [one.site.name for one in self.probes if variable in (None, one.variable)]
        raise UnknownNameError("probed site", site, dict.fromkeys(known))

    @checked
    def apply(self, activations: Tensor, *, site: str, variable: str | None = None) -> Tensor:
        """The decoded value of each prompt, shape [prompt]: classes as whole numbers, or real values.

        Classes that are text are given by their place in `probe_at(site).classes`.

        Args:
            activations: activations at the site, shape [prompt, feature].
            site: its name, such as `resid_post.3@last`.
            variable: which variable, if several were probed.

        Raises:
            UnknownNameError: no such site or variable was probed.
            InputError: the activations have another width, or are not finite.
        """
        probe = self.probe_at(site, variable)
        scores = probe.scores(activations)
        if not probe.classes:
            return scores[:, 0]
        place = scores.argmax(-1)
        numbers = [one for one in probe.classes if isinstance(one, int)]
        return torch.tensor(numbers, device=place.device)[place] if len(numbers) == len(probe.classes) else place

    @checked
    def save(self, path: str | Path) -> Path:
        """Write the probes as safetensors, and the table and origin as JSON in a file of the same name.

        The JSON holds a hash of the probes, so that `load` refuses two files that do not belong together.

        Returns:
            The path of the probes.

        Raises:
            InputError: the name does not end in .safetensors, the JSON file exists and is none of this kind, or a file
                cannot be written.
        """
        path = _named(path)
        about = path.with_suffix(".json")
        _require_own(about)
        tensors = {}
        for number, probe in enumerate(self.probes):
            tensors |= {
                f"{number}.weight": probe.weight.cpu().contiguous(),
                f"{number}.bias": probe.bias.cpu().contiguous(),
            }
        probes = save(tensors)
        content = {
            "format": FORMAT,
            "probes": hash_bytes(probes),
            "origin": self.origin,
            "classes": [[*probe.classes] for probe in self.probes],
            "table": json.loads(self.frame.to_json(orient="records", double_precision=15)),
            "learning": json.loads(self.learning.to_json(orient="records", double_precision=15)),
        }
        try:
            write_together({path: probes, about: json.dumps(content, indent=1).encode()})
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror or error}); name another file") from error
        return path

    @classmethod
    @checked
    def load(cls, path: str | Path) -> "ProbeScores":
        """The scores that `save` wrote.

        Raises:
            InputError: the two files are not there, not readable, damaged, of another format, or not of one `save`.
        """
        path = _named(path)
        about = path.with_suffix(".json")
        try:
            content: Any = json.loads(about.read_text())
            stored = path.read_bytes()
            tensors = load(stored)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            raise InputError(f"cannot read probes from {path} and {about.name} ({error})") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            given = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{about} has format {given!r}; this version reads format {FORMAT}. Save the probes again")
        if content.get("probes") != hash_bytes(stored):
            raise InputError(f"{path} and {about.name} are not of one save, or one was changed; save the probes again")
        try:
            frame, probes = _read_probes(content, tensors)
            learning, origin = pd.DataFrame(content["learning"]), dict(content["origin"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{about} is damaged ({reason}); save the probes again") from error
        return cls(frame=frame, probes=probes, learning=learning, origin=origin)

    def plot(self, variable: str | None = None) -> Any:
        """Accuracy over layers with the levels of the controls, a panel for each position: a figure that shows itself.

        Raises:
            UnknownNameError: no such variable was probed.
        """
        from interp_emerge.probing.engines.picture import accuracy_by_layer

        known = [*dict.fromkeys(self.frame["variable"])]
        if variable is not None and variable not in known:
            raise UnknownNameError("probed variable", variable, known)
        return accuracy_by_layer(self.frame[self.frame["variable"] == (variable or known[0])])


def _named(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; give a name that ends in .safetensors")
    return path


def _require_own(about: Path) -> None:
    """Raise an `InputError` if a file of this name exists that `save` has not written."""
    if not about.exists():
        return
    try:
        content = json.loads(about.read_text())
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not {"format", "classes", "table", "learning"} <= {*content}:
        raise InputError(f"{about} exists and is no table of probes; give another name, so that it is not overwritten")


def _read_probes(
    content: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[pd.DataFrame, tuple[SavedProbe, ...]]:
    """The table and the probes of a file's content; a `KeyError`, `TypeError` or `ValueError` if it is damaged."""
    table, classes = content["table"], content["classes"]
    if not isinstance(table, list) or not table or not isinstance(classes, list) or len(table) != len(classes):
        raise ValueError("the table and the classes are not lists of one length, at least 1")
    for row in table:
        missing = [column for column in PROBE_SCORES.filled if column not in row]
        if missing:
            raise ValueError(f"the table lacks column {missing[0]!r}")
    frame = PROBE_SCORES.shaped(pd.DataFrame(table))[[*PROBE_SCORES.filled]]
    numbers = [column for column in PROBE_SCORES.filled if column not in TEXT]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    probes = []
    for number, (row, values) in enumerate(zip(table, classes, strict=True)):
        for column, kind in {**dict.fromkeys(TEXT, str), "layer": int, "head": int}.items():
            if not isinstance(row[column], kind):
                raise ValueError(f"{column} of row {number} is {row[column]!r}")
        if not isinstance(values, list) or not (
            all(isinstance(one, int) for one in values) or all(isinstance(one, str) for one in values)
        ):
            raise ValueError(f"the classes of row {number} are neither whole numbers nor text")
        weight, bias = tensors[f"{number}.weight"], tensors[f"{number}.bias"]
        if weight.ndim != 2 or bias.shape != weight.shape[1:] or len(bias) != max(1, len(values)):
            raise ValueError(
                f"probe {number} has shapes {[*weight.shape]} and {[*bias.shape]} for {len(values)} classes"
            )
        head = None if row["head"] < 0 else row["head"]
        site = Site(kind=row["site"], layer=row["layer"], head=head, position=row["position"])
        probes.append(SavedProbe(site=site, variable=row["variable"], classes=tuple(values), weight=weight, bias=bias))
    return frame, tuple(probes)
