"""Onsets of abilities over sizes and steps, and of roles over steps, as rows of one table."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.emergence.onset import Onset, Scale, find_onset
from interp_emerge.emergence.order import formation_order

Measured = Mapping[tuple[str, int, int, str], np.ndarray]
"""Accuracy of each prompt, by size, step, seed and ability."""


def ability_onsets(measured: Measured, ability: Ability, sizes: Sequence[str]) -> list[dict[str, object]]:
    """Where an ability appears over sizes, at each one's last step, and over the steps of each size's first seed.

    Seeds count together over sizes. Over steps only the first does: circuits are found in it, and what forms first can
    only be told within one run.
    """
    scale = Scale(ability.chance, ability.ceiling)
    runs: dict[str, dict[int, dict[int, np.ndarray]]] = {}
    for (size, step, seed, name), values in measured.items():
        if name == ability.name:
            runs.setdefault(size, {}).setdefault(step, {})[seed] = values
    over_sizes = {size: list(runs[size][max(runs[size])].values()) for size in sizes}
    common = {"ability": ability.name, "quantity": "accuracy", "component": "model"}
    rows = [{**common, "axis": "size", "at": "", **_columns(find_onset(over_sizes, scale), scale)}]
    for size in sizes:
        first = min(min(seeds) for seeds in runs[size].values())
        over_steps = {step: [runs[size][step][first]] for step in sorted(runs[size]) if first in runs[size][step]}
        if len(over_steps) > 1:
            rows.append({**common, "axis": "step", "at": size, **_over_steps(find_onset(over_steps, scale), scale)})
    return rows


def role_onsets(
    formation: Mapping[int, pd.DataFrame], roles: pd.DataFrame, ability: str, size: str
) -> list[dict[str, object]]:
    """Where each followed head comes half-way from the untrained baseline to its final role score."""
    rows = []
    last = formation[max(formation)]
    for role, head in last[last["quantity"] != "faithfulness"][["quantity", "component"]].drop_duplicates().to_numpy():
        values = {step: [_prompts(formation[step], role, head)] for step in sorted(formation)}
        baseline = float(roles[(roles["role"] == role) & (roles["node"] == head)]["baseline"].iloc[0])
        scale = Scale(baseline, float(_prompts(last, role, head).mean()))
        onset = find_onset(values, scale)
        about = {"ability": ability, "quantity": role, "component": head, "axis": "step", "at": size}
        rows.append({**about, **_over_steps(onset, scale)})
    return rows


def order_table(
    formation: Mapping[int, pd.DataFrame],
    roles: pd.DataFrame,
    accuracy: Mapping[int, np.ndarray],
    ability: Ability,
) -> pd.DataFrame:
    """Which of the ability and the followed heads' roles come first, two by two: `FormationOrder.pairs`."""
    cells = pd.concat([cell.assign(step=step) for step, cell in formation.items()], ignore_index=True)
    heads = cells[cells["quantity"] != "faithfulness"].assign(prompt_set="repeated segments")
    own = [
        pd.DataFrame({"prompt": np.arange(len(values)), "value": values, "step": step})
        for step, values in accuracy.items()
    ]
    model = pd.concat(own, ignore_index=True).assign(quantity="accuracy", component="model", prompt_set="pairs")
    scales: dict[str | tuple[str, str], Scale] = {("accuracy", "model"): Scale(ability.chance, ability.ceiling)}
    last = formation[max(formation)]
    for role, head in heads[["quantity", "component"]].drop_duplicates().itertuples(index=False):
        baseline = float(roles[(roles["role"] == role) & (roles["node"] == head)]["baseline"].iloc[0])
        scales[role, head] = Scale(baseline, float(_prompts(last, role, head).mean()))
    columns = ["quantity", "component", "step", "prompt", "value", "prompt_set"]
    return formation_order(pd.concat([model, heads], ignore_index=True)[columns], scales).pairs


def _prompts(cell: pd.DataFrame, role: str, head: str) -> np.ndarray:
    return cell[(cell["quantity"] == role) & (cell["component"] == head)]["value"].to_numpy()


def _over_steps(onset: Onset, scale: Scale) -> dict[str, object]:
    """Every model starts untrained, so what comes with training is called learned, and emergent only over sizes."""
    columns = _columns(onset, scale)
    return {**columns, "verdict": "learned" if onset.verdict in ("emergent", "gradual") else onset.verdict}


def _columns(onset: Onset, scale: Scale) -> dict[str, object]:
    ends = ("last_without", "first_with", "ci_low", "ci_high")
    named = {end: "" if getattr(onset, end) is None else str(getattr(onset, end)) for end in ends}
    return {"threshold": scale.threshold, **named, "verdict": onset.verdict}
