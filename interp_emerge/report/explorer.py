"""What the explorer shows, as one record for the page's script: curves, circuit, heads and attention of every run.

A list over steps has one entry for each step of its run: value and interval, or None where the study has not measured
the quantity or it is undefined. Values have four digits. The explorer takes them from these tables:

1. The curves come from `ability`, at every step of every training run.
2. What the parts of the last step's circuit do at each step comes from `formation`: effects of its heads, MLPs and
   edges, and the scores of heads that play a role. Other heads are not followed, and only a run with a circuit is.
3. Thresholds come from `onsets`: an edge counts as present from half of its final effect on.
4. Effects and roles of all heads come from `node_scores` and `roles`, at the last step of each size's first seed.
5. Attention patterns come from the files below `attention`.
"""

import base64
import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.tables import ABILITY
from interp_emerge.circuits.tables import CIRCUIT_EDGES, CIRCUITS, ROLE_TABLE
from interp_emerge.emergence.forming.tables import FORMATION, ONSETS
from interp_emerge.patching.scores import NODE_SCORES
from interp_emerge.report.reading import Attention, StudyRecord

ARROW = " → "
PER_UNIT = 1000
"""Attention is kept in whole thousandths, as studies write it."""
Values = list[list[float | None] | None]
"""For each step a value with the ends of its interval, or None."""


def explorer_data(study: StudyRecord) -> dict[str, Any] | None:
    """The record of every training run of a study; None if no model was measured."""
    ability = study.table(ABILITY)
    if ability.empty:
        return None
    circuits = study.table(CIRCUITS)
    subject = str((circuits if len(circuits) else ability)["ability"].iloc[0])
    metric = str(circuits["metric"].iloc[0]) if len(circuits) else ""
    first = ability.drop_duplicates("ability")
    return {
        "subject": subject,
        "metric": metric,
        "abilities": [
            {"name": str(row["ability"]), "control": bool(row["control"]), "chance": rounded(row["chance"])}
            for row in first.to_dict("records")
        ],
        "metrics": [str(name) for name in ability["metric"].unique()],
        "runs": [
            _run(study, rows, subject, str(size), int(str(seed)))
            for (size, seed), rows in ability.groupby(["size", "seed"], sort=False)
        ],
    }


def rounded(value: Any) -> float | None:
    """The value with four digits; None if it is missing or infinite."""
    if value is None or value is pd.NA or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def _run(study: StudyRecord, ability: pd.DataFrame, subject: str, size: str, seed: int) -> dict[str, Any]:
    """The record of one training run."""
    formed = _of(study.table(FORMATION), size, seed, subject)
    steps = sorted({int(step) for step in [*ability["step"], *formed["step"]]})
    curves: dict[str, dict[str, Values]] = {}
    for (name, metric), rows in ability.groupby(["ability", "metric"], sort=False):
        curves.setdefault(str(name), {})[str(metric)] = _over(rows, steps)
    return {
        "size": size,
        "seed": seed,
        "parameters": rounded(ability["n_parameters"].iloc[0]),
        "steps": steps,
        "faults": _faults(study, size, seed),
        "curves": curves,
        **_circuit(_of(study.table(CIRCUITS), size, seed, subject)),
        **_followed(study, formed, subject, size, seed, steps),
        **_at_the_last_step(study, subject, size, seed),
        "attention": _patterns(study.attention, size, seed),
    }


def _faults(study: StudyRecord, size: str, seed: int) -> dict[str, str]:
    """What is known to be wrong with checkpoints of the run, by step."""
    rows = _of(study.rows[ABILITY.name], size, seed)
    if "known_fault" not in rows:
        return {}
    faulty = rows[rows["known_fault"].fillna("").astype(bool)].drop_duplicates("step")
    return dict(zip(faulty["step"].map(str), faulty["known_fault"].map(str), strict=True))


def _circuit(found: pd.DataFrame) -> dict[str, Any]:
    """The row on the run's circuit, as text and numbers; `circuit` is None where none was sought."""
    if found.empty:
        return {"circuit": None}
    row = found.iloc[-1]
    names = ("n_edges", "n_graph_edges", "faithfulness", "ci_low", "ci_high", "random_p95")
    return {"circuit": {"verdict": str(row["verdict"]), **{name: rounded(row[name]) for name in names}}}


def _followed(
    study: StudyRecord, formed: pd.DataFrame, subject: str, size: str, seed: int, steps: list[int]
) -> dict[str, Any]:
    """What the parts of the run's circuit do at each step: `edges`, `effects`, `roles`, `faithfulness`."""
    onsets = study.table(ONSETS)
    onsets = onsets[(onsets["axis"] == "step") & (onsets["at"] == size) & (onsets["ability"] == subject)]
    halves = {
        (str(row["quantity"]), str(row["component"])): rounded(row["threshold"]) for row in onsets.to_dict("records")
    }
    final = {
        (str(row["writer"]), str(row["reader"])): rounded(row["score"])
        for row in _of(study.table(CIRCUIT_EDGES), size, seed, subject).to_dict("records")
    }
    by_part: dict[str, dict[str, Values]] = {}
    for (quantity, component), rows in formed.groupby(["quantity", "component"], sort=False):
        by_part.setdefault(str(quantity), {})[str(component)] = _over(rows, steps)
    effects = by_part.pop("edge effect", {})
    edges = [
        {
            "writer": writer,
            "reader": reader,
            "score": score,
            "half": halves.get(("edge effect", name := f"{writer}{ARROW}{reader}")),
            "effects": effects.get(name),
        }
        for (writer, reader), score in final.items()
    ]
    taken = ("accuracy", "log_prob", "faithfulness", "effect")
    roles = {role: parts for role, parts in by_part.items() if role not in taken}
    return {
        "edges": edges,
        "effects": by_part.get("effect", {}),
        "faithfulness": next(iter(by_part.get("faithfulness", {}).values()), None),
        "roles": roles,
        "halves": {role: {head: halves.get((role, head)) for head in parts} for role, parts in roles.items()},
    }


def _at_the_last_step(study: StudyRecord, subject: str, size: str, seed: int) -> dict[str, Any]:
    """Effects and role scores of all heads at the run's last step, and the names of the heads."""
    scored = _last(_of(study.table(NODE_SCORES), size, seed, subject))
    if scored["method"].nunique() > 1:
        scored = scored[scored["method"] == scored["method"].iloc[0]]
    scored = scored[scored["kind"].isin(["head", "mlp"])]
    played = _last(_of(study.table(ROLE_TABLE), size, seed))
    heads = [*scored[scored["kind"] == "head"]["node"], *played["node"]]
    roles: dict[str, dict[str, list[Any]]] = {}
    for row in played.to_dict("records"):
        roles.setdefault(str(row["role"]), {})[str(row["node"])] = [*_triple(row, "score"), bool(row["plays"])]
    return {
        "heads": [str(head) for head in dict.fromkeys(heads)],
        "last_effects": {str(row["node"]): _triple(row, "score") for row in scored.to_dict("records")},
        "last_roles": roles,
    }


def _patterns(recorded: Iterable[Attention], size: str, seed: int) -> dict[str, Any] | None:
    """The run's attention patterns, deflated and in base64: thousandths, two bytes each, [step][head][query][key]."""
    for one in recorded:
        if one.run == (size, seed) and one.step is not None:
            by_step = {**one.earlier, one.step: one.patterns}
            steps = sorted(by_step)
            values = np.round(np.array([by_step[step] for step in steps], dtype=np.float64) * PER_UNIT)
            content = zlib.compress(values.clip(0, PER_UNIT).astype("<u2").tobytes(), 9)
            coded = base64.b64encode(content).decode()
            return {"tokens": one.tokens, "heads": one.heads, "steps": steps, "patterns": coded}
    return None


def _of(table: pd.DataFrame, size: str, seed: int, ability: str | None = None) -> pd.DataFrame:
    """The table's rows on one training run, and on one ability."""
    own = table[(table["size"] == size) & (table["seed"] == seed)]
    return own if ability is None else own[own["ability"] == ability]


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["step"] == rows["step"].max()]


def _over(rows: pd.DataFrame, steps: list[int]) -> Values:
    """Values and intervals at each step."""
    found = {int(row["step"]): _triple(row, "value") for row in rows.to_dict("records")}
    return [found[step] if step in found and found[step][0] is not None else None for step in steps]


def _triple(row: dict[Any, Any], column: str) -> list[float | None]:
    return [rounded(row[name]) for name in (column, "ci_low", "ci_high")]
