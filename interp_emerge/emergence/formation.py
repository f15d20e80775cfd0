"""How a circuit forms: its heads' role scores, and its final form's faithfulness, at an earlier checkpoint."""

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.circuits.evaluation import evaluate
from interp_emerge.circuits.roles import ROLES, role_scores
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.intervals import mean_interval
from interp_emerge.core.model import HookedModel

HEADS_PER_ROLE = 3


def heads_to_follow(roles: pd.DataFrame, circuit: Circuit) -> list[tuple[str, str]]:
    """For each role the circuit's heads that clear the untrained baseline, the strongest first, as (role, head)."""
    holds = roles[roles["clears_baseline"] & roles["node"].isin(circuit.heads)]
    ordered = holds.sort_values(["score", "node"], ascending=[False, True], kind="stable")
    return [(role, head) for role in ROLES for head in ordered[ordered["role"] == role]["node"].head(HEADS_PER_ROLE)]


def formation_at(
    model: HookedModel,
    circuit: Circuit,
    follow: list[tuple[str, str]],
    pairs: PromptPairs,
    *,
    metric: str = "logit_diff",
    seed: int = 0,
) -> pd.DataFrame:
    """One checkpoint's part of a formation: per-prompt role scores, and the final circuit's faithfulness.

    Returns:
        Columns `quantity`, `component`, `prompt`, `value`, `ci_low`, `ci_high`. A role has one row a prompt; the
        faithfulness is a ratio of means and has a single row, with its interval, empty where it is undefined.
    """
    names = [node.name for node in model.graph.writers if node.kind == "head"]
    scores = role_scores(model, seed=seed)
    parts = [
        pd.DataFrame(
            {
                "quantity": role,
                "component": head,
                "prompt": np.arange(len(scores[role])),
                "value": scores[role][:, names.index(head)],
                "ci_low": np.nan,
                "ci_high": np.nan,
            }
        )
        for role, head in follow
    ]
    interval = evaluate(model, circuit, pairs, metric=metric).interval
    faithfulness = {
        "quantity": "faithfulness",
        "component": "circuit",
        "prompt": 0,
        "value": interval.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
    }
    return pd.concat([*parts, pd.DataFrame([faithfulness])], ignore_index=True)


def summarise_formation(cell: pd.DataFrame) -> pd.DataFrame:
    """Mean over prompts with its interval for each quantity and component."""
    rows = []
    for (quantity, component), part in cell.groupby(["quantity", "component"], sort=False):
        if quantity == "faithfulness":
            rows.append((quantity, component, *part[["value", "ci_low", "ci_high"]].iloc[0]))
        else:
            interval = mean_interval(part["value"].to_numpy())
            rows.append((quantity, component, interval.value, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["quantity", "component", "value", "ci_low", "ci_high"])
