"""What one model knows of a variable, and what it uses: the measurements whose onsets `known_when` looks for.

1. `ie.probe` decodes each variable at each position from the residual stream after each layer, with all controls.
2. Where a layer decodes it (the accuracy exceeds that of the majority class, at a false-discovery rate of 5%),
   `ie.probing.use` exchanges it there, against placebos.
3. `best_site` follows the best layer without favouring it: for each half of the prompts the layer is the one that is
   best on the other half. With the layer that is best on all prompts, a chance maximum would count as knowledge.

Of a model with more than `MOST_LAYERS` layers, so many are taken, evenly over depth, with the last one among them.

Cost: two passes over the pairs for each variable; for each site that is exchanged, a part of a run for the change and
for each placebo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.emergence.forming.tables import Question
from interp_emerge.probing.engines.activations import Recorder
from interp_emerge.probing.engines.folds import halves_of
from interp_emerge.probing.engines.sites import LAST
from interp_emerge.probing.knowing import probe as decode
from interp_emerge.probing.scores import HeldOut
from interp_emerge.probing.tables import PROBE_SCORES, USE_SCORES
from interp_emerge.probing.using import use
from interp_emerge.stats.intervals import mean_interval

MOST_LAYERS = 8
PLACEBOS = 4
"""Random changes that each exchange is compared with."""
DECODES = 0.05
"""False-discovery rate at which a layer counts as decoding a variable."""
ITEMS = ("question", "variable", "position", "value")
REFUSED = ("question", "variable", "position", "reason")


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowing(Record):
    """What one model knows and uses of some variables."""

    probes: pd.DataFrame
    """The columns of `probe_scores`, one row for each variable, position and layer."""
    uses: pd.DataFrame
    """The columns of `use_scores`, one row for each layer that decodes."""
    items: pd.DataFrame
    """Values behind an onset, with the columns of `ITEMS`. For `known` and `embedding`: for each group of prompts that
    are held out together, what it adds to the accuracy of the best layer, or of the embedding. For `used`: for each
    prompt, what it adds to the share of the clean-corrupt gap that the exchange moves beyond placebos."""
    refused: pd.DataFrame
    """What was not measured, and why, with the columns of `REFUSED`."""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The four tables, by name."""
        return {"probes": self.probes, "uses": self.uses, "items": self.items, "refused": self.refused}


@checked
def knowing_at(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    variables: Sequence[str] = (),
    positions: Sequence[str] = (),
    probe: str = "mass_mean",
    intervention: str = "interchange",
    metric: str = "logit_diff",
    most_layers: int = MOST_LAYERS,
    placebos: int = PLACEBOS,
    seed: int = 0,
    record: Recorder | None = None,
    budget: int | None = None,
) -> Knowing:
    """What a model knows of each variable at each position, and whether it uses it there.

    Example:
        >>> found = ie.emergence.forming.knowing_at(model, names, variables=["receiver"], positions=["last"])
        >>> found.probes[["layer", "accuracy", "embedding", "untrained"]]

    Args:
        model: the model; it is left as it was.
        pairs: clean and corrupted prompts with labels.
        variables: names of variables; by default those of the pairs, or the answer if they have none.
        positions: names of positions; by default those of the pairs, and `last`.
        probe: a decoder by name.
        intervention: an intervention by name.
        metric: metric of the interventions.
        most_layers: the most layers to look at.
        placebos: random changes that each exchange is compared with.
        seed: seed of folds, halves, placebos and of the untrained model.
        record: gets the activations of a run; by default runs the model.
        budget: bytes that activations and fits may each hold.

    Raises:
        UnknownNameError: no probe, variable, position or metric has the name.
    """
    names = [*variables] or [*pairs.variables] or ["answer"]
    places = [*dict.fromkeys([*positions] or [*pairs.positions, LAST])]
    n_layers = len(model.decoder.blocks)
    shared: dict[str, Any] = {"seed": seed, "budget": budget} | ({} if record is None else {"record": record})
    found = _Found(shared=shared | {"layers": spread(n_layers, most_layers)}, probe=probe)
    for name in names:
        found.decode(model, pairs, name, places)
    exchange: dict[str, Any] = {"method": intervention, "metric": metric, "placebos": placebos, **shared}
    for (name, place), rows in found.decoding():
        found.exchange(model, pairs, name, place, rows, exchange)
    return found.knowing()


def spread(n: int, most: int) -> list[int]:
    """At most so many layers of `n`, evenly over depth; the last one is among them."""
    if most < 1:
        raise InputError(f"{most} layers: give at least 1")
    return sorted({round((part + 1) * n / most) - 1 for part in range(most)}) if n > most else [*range(n)]


def best_site(values: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The values of the best site, shape [pair]: for each half of the pairs it is the one best on the other half.

    Args:
        values: shape [site, pair].
        half: which pairs are in the first half, shape [pair].
    """
    found = np.empty(values.shape[1])
    for part in (half, ~half):
        found[part] = values[values[:, ~part].mean(1).argmax(), part]
    return found


def by_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """For each group of pairs a value whose mean over groups is the mean over pairs, shape [group]."""
    sums = np.bincount(groups, values)
    return sums * (len(sums) / len(values))


def shares_of_gap(effects: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """For each pair a value whose mean is the share of the gap, shape [pair]; zero if the gap may be zero.

    The share is a ratio of means, and the spread of the values is that of the ratio (delta method).

    Args:
        effects: effect for each pair, shape [pair].
        gap: metric of the clean run minus that of the corrupted one, shape [pair].
    """
    if not mean_interval(gap).low > 0:
        return np.zeros(len(effects))
    share = effects.mean() / gap.mean()
    return share + (effects - share * gap) / gap.mean()


class _Found:
    """Collects what was measured on one model."""

    def __init__(self, *, shared: Mapping[str, Any], probe: str) -> None:
        self._shared, self._probe = shared, probe
        self._probes: list[pd.DataFrame] = []
        self._uses: list[pd.DataFrame] = []
        self._items: list[pd.DataFrame] = []
        self._refused: list[dict[str, str]] = []

    def decode(self, model: HookedModel, pairs: PromptPairs, name: str, places: Sequence[str]) -> None:
        """Probe a variable at all positions together or, if that is refused, at each position that is possible."""
        try:
            scores = decode(model, pairs, variable=name, positions=places, method=self._probe, **self._shared)
        except InputError as error:
            if len(places) > 1:
                for place in places:
                    self.decode(model, pairs, name, [place])
            else:
                self._refuse(Question.KNOWN, name, places[0], error)
            return
        frame, held_out = scores.to_frame(), scores.held_out
        assert held_out is not None
        self._probes.append(frame)
        for place, rows in frame.groupby("position", sort=False):
            self._keep_decoded(name, str(place), held_out, rows.index.to_numpy())

    def _keep_decoded(self, name: str, place: str, held_out: HeldOut, rows: np.ndarray) -> None:
        groups = held_out.groups[rows[0]]
        try:
            half = halves_of(groups, self._shared["seed"]).numpy()
        except InputError as error:
            self._refuse(Question.KNOWN, name, place, error)
            return
        self._keep(Question.KNOWN, name, place, by_group(best_site(held_out.site[rows], half), groups))
        self._keep(Question.EMBEDDING, name, place, by_group(held_out.embedding[rows[0]], groups))

    def decoding(self) -> list[tuple[tuple[str, str], pd.DataFrame]]:
        """Variables and positions that were probed, with the rows of the layers that decode."""
        if not self._probes:
            return []
        frame = pd.concat(self._probes, ignore_index=True)
        frame["decodes"] = (frame["q_value"] < DECODES) & (frame["accuracy"] > frame["majority"])
        grouped = frame.groupby(["variable", "position"], sort=False)
        return [((str(name), str(place)), rows[rows["decodes"]]) for (name, place), rows in grouped]

    def exchange(
        self,
        model: HookedModel,
        pairs: PromptPairs,
        name: str,
        place: str,
        rows: pd.DataFrame,
        how: Mapping[str, Any],
    ) -> None:
        """Exchange a variable at a position in the layers that decode it; without any, nothing is used there."""
        if rows.empty:
            self._keep(Question.USED, name, place, np.zeros(len(pairs)))
            return
        layers = [int(layer) for layer in rows["layer"]]
        try:
            found = use(model, pairs, variable=name, positions=place, layers=layers, **how)
        except InputError as error:
            self._refuse(Question.USED, name, place, error)
            return
        self._uses.append(found.to_frame())
        half = halves_of(np.arange(len(pairs)), self._shared["seed"]).numpy()
        beyond = best_site((found.per_pair - found.placebos).T, half)
        self._keep(Question.USED, name, place, shares_of_gap(beyond, found.gap))

    def _keep(self, question: Question, name: str, place: str, values: np.ndarray) -> None:
        about = {"question": str(question), "variable": name, "position": place}
        self._items.append(pd.DataFrame({"value": values}).assign(**about)[[*ITEMS]])

    def _refuse(self, question: Question, name: str, place: str, error: InputError) -> None:
        reason = str(error).splitlines()[0]
        self._refused.append(dict(zip(REFUSED, (str(question), name, place, reason), strict=True)))

    def knowing(self) -> Knowing:
        """What was collected."""
        empty = pd.DataFrame(columns=pd.Index(ITEMS))
        return Knowing(
            probes=_stacked(self._probes, PROBE_SCORES.filled),
            uses=_stacked(self._uses, USE_SCORES.filled),
            items=pd.concat(self._items, ignore_index=True) if self._items else empty,
            refused=pd.DataFrame(self._refused, columns=pd.Index(REFUSED)),
        )


def _stacked(frames: Sequence[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=pd.Index([*columns]))
