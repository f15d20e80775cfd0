"""Onsets of abilities over sizes and steps, and of the parts of circuits over steps, as rows of tables.

Every quantity in a formation has an onset by the rule of `find_onset`, on the same checkpoints. The threshold is
half-way from a starting level to the last value:

* For a **role** of a head the starting level is the baseline of untrained heads.
* For an **effect** of a node or an edge the starting level is zero, the effect of a part without influence. It is not
  the effect at the first checkpoint, which is a noisy measurement. If the last value is negative, the effect is present
  where it is below half of the last value.
* For the **faithfulness** of the circuit the starting level is zero. It is a ratio of means and has an interval at each
  checkpoint (`find_onset_of_intervals`). Where there is no clean-corrupt gap it counts as absent.

If the last value is not above the starting level beyond noise (one-sided test, 2.5%), the onset is undefined. The last
value comes from the same prompts, but it counts as fixed.

`lag_table` compares each part with the ability. `order_table` compares the ability and the leading parts with each
other (`order`). The tests are not corrected for the number of parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.order import FormationOrder, Key, LagVerdict, formation_order, log_step
from interp_emerge.emergence.forming.tables import LAGS
from interp_emerge.emergence.scale.onset import (
    Criterion,
    Onset,
    find_onset,
    find_onset_of_intervals,
    surely_above,
)
from interp_emerge.stats.intervals import UNDEFINED, Interval

Measured = Mapping[tuple[str, int, int, str], np.ndarray]
"""By size, step, seed and ability: the accuracy of each prompt, shape [prompt]."""
Formation = Mapping[int, pd.DataFrame]
"""By step: the table `parts` of what `formation_at` returns."""
MODEL, CIRCUIT = ("accuracy", "model"), ("faithfulness", "circuit")
LEADING = 3
"""Number of parts of each quantity that `order_table` compares."""
WITHIN_NOISE = f"{UNDEFINED}: its last value is within noise"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """A quantity of one component: values of prompts by step, times `sign` so that they grow; and a criterion."""

    key: Key
    values: dict[int, np.ndarray]
    criterion: Criterion
    sign: float
    prompt_set: str

    @property
    def defined(self) -> bool:
        """Whether the last value is above the starting level beyond noise."""
        return surely_above(self.values[max(self.values)], self.criterion.chance)

    def rows(self) -> pd.DataFrame:
        steps, values = zip(*self.values.items(), strict=True)
        about = {"quantity": self.key[0], "component": self.key[1], "prompt_set": self.prompt_set}
        prompts = np.concatenate([np.arange(len(of)) for of in values])
        columns = {"step": np.repeat(steps, [len(of) for of in values]), "prompt": prompts}
        return pd.DataFrame({**about, **columns, "value": np.concatenate(values)})


def ability_onsets(measured: Measured, ability: Ability, sizes: Sequence[str]) -> list[dict[str, object]]:
    """Rows of the onset of an ability over sizes, and over the steps of each size's first seed.

    Over sizes, all seeds are used, and each run is taken at its own last step, as in `success_by_size`, even if it
    ended early. Over steps, only the first seed is used: circuits are found in it, and what forms first can only be
    compared within one run. Sizes that were not measured are left out.

    Raises:
        InputError: the ability was not measured at any of the sizes.
    """
    criterion = Criterion(ability.chance, ability.ceiling)
    runs: dict[str, dict[int, dict[int, np.ndarray]]] = {}
    for (size, step, seed, name), values in measured.items():
        if name == ability.name:
            runs.setdefault(size, {}).setdefault(seed, {})[step] = values
    found = [size for size in sizes if size in runs]
    if not found:
        raise InputError(f"ability {ability.name!r} was not measured at any of {', '.join(sizes)}; measure it")
    over_sizes = {size: [steps[max(steps)] for steps in runs[size].values()] for size in found}
    common = {"ability": ability.name, "quantity": MODEL[0], "component": MODEL[1]}
    rows = [{**common, "axis": "size", "at": "", **_columns(find_onset(over_sizes, criterion), criterion.threshold)}]
    for size in found:
        steps = runs[size][min(runs[size])]
        if len(steps) > 1:
            onset = find_onset({step: [steps[step]] for step in sorted(steps)}, criterion)
            rows.append({**common, "axis": "step", "at": size, **_over_steps(onset, criterion.threshold)})
    return rows


def component_onsets(formation: Formation, roles: pd.DataFrame, ability: str, size: str) -> list[dict[str, object]]:
    """Rows of the onset of each part of a circuit, and of the circuit's faithfulness, over the steps of training.

    Args:
        formation: values of the parts, by step.
        roles: baseline of each role of each head, columns `role`, `node`, `baseline`.
        ability: name of the ability.
        size: name of the size.

    Returns:
        One row for each quantity and component. Columns `ability`, `quantity`, `component`, `axis` (step), `at` (the
        size), `threshold` (in the quantity's unit, NaN if undefined), `last_without`, `first_with`, `ci_low`, `ci_high`
        (steps as text, empty where there is none), `verdict`, `reason` (what noise leaves open).
    """
    rows = []
    for part in _parts(formation, roles):
        found = {"threshold": np.nan, **_ends(None), "verdict": WITHIN_NOISE, "reason": ""}
        if part.defined:
            onset = find_onset({step: [values] for step, values in part.values.items()}, part.criterion)
            found = _over_steps(onset, part.sign * part.criterion.threshold)
        rows.append((part.key, found))
    if intervals := _intervals(formation):
        onset, criterion = _faithful_from(intervals)
        circuit = {"threshold": np.nan, **_ends(None), "verdict": WITHIN_NOISE, "reason": ""}
        rows.append((CIRCUIT, circuit if onset is None else _over_steps(onset, criterion.threshold)))
    about = {"ability": ability, "axis": "step", "at": size}
    return [{**about, "quantity": key[0], "component": key[1], **found} for key, found in rows]


def order_table(
    formation: Formation, roles: pd.DataFrame, accuracy: Mapping[int, np.ndarray], ability: Ability
) -> pd.DataFrame:
    """The order of the ability and the leading parts of its circuit, for every two of them: `FormationOrder.pairs`.

    The leading parts are the `LEADING` parts of each quantity with the largest values at the last step.
    """
    leading = [part for parts in _by_quantity(_parts(formation, roles)) for part in parts[:LEADING]]
    return _order(leading, accuracy, ability, compare=None).pairs


def lag_table(
    formation: Formation, roles: pd.DataFrame, accuracy: Mapping[int, np.ndarray], ability: Ability
) -> pd.DataFrame:
    """By how much each part of a circuit, and the circuit's faithfulness, leads the ability or lags behind it.

    The bounds are those of `FormationOrder.lags`. The faithfulness has no values of single prompts to resample, so its
    bounds come from the intervals of its own onset and of the ability's onset, and it has no interpolated crossing. The
    faithfulness may lead for a trivial reason: it can be a large fraction of a gap that is still small.

    Args:
        formation: values of the parts, by step.
        roles: as in `component_onsets`.
        accuracy: accuracy of each prompt, by step.
        ability: the ability.

    Returns:
        The columns of `FormationOrder.lags`. A negative lag means that the part leads.
    """
    parts = _parts(formation, roles)
    found = _order([part for part in parts if part.defined], accuracy, ability, compare=()).lags
    rows = found.set_index(["quantity", "component"]).to_dict("index")
    undefined: dict[str, object] = {"verdict": LagVerdict.UNDEFINED, "answer": WITHIN_NOISE}
    lags = [(part.key, {str(name): of for name, of in rows.get(part.key, undefined).items()}) for part in parts]
    if intervals := _intervals(formation):
        onset, _ = _faithful_from(intervals)
        criterion = Criterion(ability.chance, ability.ceiling)
        reference = find_onset({step: [accuracy[step]] for step in sorted(accuracy)}, criterion)
        steps = sorted({*intervals, *accuracy})
        lags.append((CIRCUIT, undefined if onset is None else _lag_of_intervals(onset, reference, steps)))
    made = [{"quantity": key[0], "component": key[1], **lag} for key, lag in lags]
    return pd.DataFrame(made, columns=pd.Index([*LAGS.filled]))


def _parts(formation: Formation, roles: pd.DataFrame) -> list[_Part]:
    """Every quantity with values of single prompts, in the order of the tables; steps without values are left out."""
    baselines = roles.drop_duplicates(["role", "node"]).set_index(["role", "node"])["baseline"].to_dict()
    by_key: dict[Key, dict[int, np.ndarray]] = {}
    for step in sorted(formation):
        cell = formation[step]
        for key, rows in cell[cell["quantity"] != CIRCUIT[0]].groupby(["quantity", "component"], sort=False):
            values = rows["value"].to_numpy(dtype=float)
            if not np.isnan(values).all():
                by_key.setdefault((str(key[0]), str(key[1])), {})[step] = values
    parts = []
    for key, values in by_key.items():
        baseline, end = baselines.get(key, 0.0), values[max(values)].mean()
        sign = -1.0 if end < 0 and key not in baselines else 1.0
        parts.append(
            _Part(
                key=key,
                values={step: sign * of for step, of in values.items()},
                criterion=Criterion(baseline, sign * end),
                sign=sign,
                prompt_set="repeated segments" if key in baselines else "evaluation pairs",
            )
        )
    return parts


def _by_quantity(parts: Sequence[_Part]) -> list[list[_Part]]:
    """The defined parts, one list for each quantity, sorted by their last value, the largest first."""
    quantities: dict[str, list[_Part]] = {}
    for part in parts:
        if part.defined:
            quantities.setdefault(part.key[0], []).append(part)
    return [sorted(of, key=lambda part: -part.criterion.ceiling) for of in quantities.values()]


def _order(
    parts: Sequence[_Part], accuracy: Mapping[int, np.ndarray], ability: Ability, compare: Sequence[Key] | None
) -> FormationOrder:
    criterion = Criterion(ability.chance, ability.ceiling)
    model = _Part(key=MODEL, values=dict(sorted(accuracy.items())), criterion=criterion, sign=1.0, prompt_set="pairs")
    frame = pd.concat([part.rows() for part in (model, *parts)], ignore_index=True)
    criteria: dict[str | Key, Criterion] = {part.key: part.criterion for part in (model, *parts)}
    return formation_order(frame, criteria, against=MODEL, compare=compare)


def _intervals(formation: Formation) -> dict[int, Interval]:
    """The faithfulness of the circuit by step; empty if it was not measured."""
    found = {}
    for step in sorted(formation):
        rows = formation[step][formation[step]["quantity"] == CIRCUIT[0]]
        for value, low, high in rows[["value", "ci_low", "ci_high"]].itertuples(index=False):
            found[step] = Interval(float(value), float(low), float(high))
    return found


def _faithful_from(intervals: Mapping[int, Interval]) -> tuple[Onset[int] | None, Criterion]:
    """The onset of the faithfulness, None if the last value is undefined or within noise of zero; and its criterion."""
    last = intervals[max(intervals)]
    criterion = Criterion(0.0, last.value)
    return (find_onset_of_intervals(intervals, criterion) if last.low > 0 else None), criterion


def _lag_of_intervals(onset: Onset[int], reference: Onset[int], steps: Sequence[int]) -> dict[str, object]:
    """Bounds of the lag of an onset behind a reference, from the 95% intervals of both."""
    (without, having), (without_reference, having_reference) = (_outer(one, steps) for one in (onset, reference))
    bounds = {}
    for name, of in (("steps", lambda step: step), ("log", log_step)):
        bounds[f"{name}_low"] = float(of(without) - of(having_reference))
        bounds[f"{name}_high"] = float(of(having) - of(without_reference))
    first, second = " ".join(CIRCUIT), " ".join(MODEL)
    if having <= without_reference:
        return {**bounds, "verdict": LagVerdict.LEADS, "answer": f"{first} before {second}"}
    if having_reference <= without:
        return {**bounds, "verdict": LagVerdict.LAGS, "answer": f"{second} before {first}"}
    low, high = min(without, without_reference), max(having, having_reference)
    since = "the first step measured" if low == -np.inf else f"step {low:g}"
    answer = (
        f"cannot be told: both intervals fall between {since} and {'the end' if high == np.inf else f'step {high:g}'}"
    )
    return {**bounds, "verdict": LagVerdict.UNRESOLVED, "answer": answer}


def _outer(onset: Onset[int], steps: Sequence[int]) -> tuple[float, float]:
    """The last step before the 95% interval of an onset, and the last step in it; infinite where there is none."""
    earlier = [step for step in steps if onset.ci_low is None or step < onset.ci_low]
    return float(max(earlier, default=-np.inf)), np.inf if onset.ci_high is None else float(onset.ci_high)


def _over_steps(onset: Onset, threshold: float) -> dict[str, object]:
    """The columns of an onset over steps, with its verdict `over_steps`: every model starts untrained."""
    verdict = onset.verdict.over_steps
    return {
        **_columns(onset, threshold),
        "verdict": verdict,
        "reason": onset.reason if verdict == onset.verdict else "",
    }


def _columns(onset: Onset, threshold: float) -> dict[str, object]:
    return {"threshold": threshold, **_ends(onset), "verdict": onset.verdict, "reason": onset.reason}


def _ends(onset: Onset | None) -> dict[str, str]:
    """The four steps of an onset as text, empty where there is none."""
    names = ("last_without", "first_with", "ci_low", "ci_high")
    return {name: "" if (step := getattr(onset, name, None)) is None else str(step) for name in names}
