"""What the explorer shows, as one record for the page's script: curves, circuit, heads and attention of every run.

A list over steps has one entry for each step of its run: value and interval, or None where the study has not measured
the quantity or it is undefined. Values have four digits. The explorer takes them from these tables:

1. The curves come from `ability`, at every step of every training run.
2. What the parts of the last step's circuit do at each step comes from `formation`: effects of its heads, MLPs and
   edges, and the scores of heads that play a role. Only a run with a circuit is followed.
3. Effects and role scores of all other heads and MLPs at each step come from `nodes_over_steps`, if the study has it.
4. Edges of earlier steps' circuits that neither the last step's circuit has nor its strongest edges include are
   `former`; they come from `edges_over_steps`.
5. Thresholds come from `onsets`: an edge counts as present from half of its final effect on.
6. Effects and roles of all heads at the last step of each size's first seed come from `node_scores` and `roles`. A head
   plays a role if it does so at the last step.
7. Attention patterns come from the files below `attention`.
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
from interp_emerge.emergence.forming.tables import EDGES_OVER_STEPS, FORMATION, NODES_OVER_STEPS, ONSETS
from interp_emerge.patching.scores import NODE_SCORES
from interp_emerge.report.reading import Attention, StudyRecord

ARROW = " → "
PER_UNIT = 1000
"""Attention is kept in whole thousandths, as studies write it."""
NOT_ROLES = ("accuracy", "log_prob", "faithfulness", "effect", "edge effect")
"""Quantities of the table of formation that are no role."""
MOST_FORMER = 200
"""The most edges of earlier circuits that are drawn, those with the largest effects."""
MOST_NODE_ROWS = 20_000
"""The most values of nodes over steps that are written for one training run (about 0.5 MB); with more, only those of
nodes that play a role or belong to the circuit are."""
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
        **_former(_of(study.table(EDGES_OVER_STEPS), size, seed, subject), steps),
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
    counts, measures = ("n_edges", "n_graph_edges"), ("faithfulness", "ci_low", "ci_high", "random_p95")
    return {
        "circuit": {
            "step": int(row["step"]),
            "verdict": str(row["verdict"]),
            **{name: None if pd.isna(row[name]) else int(row[name]) for name in counts},
            **{name: rounded(row[name]) for name in measures},
        }
    }


def _followed(
    study: StudyRecord, formed: pd.DataFrame, subject: str, size: str, seed: int, steps: list[int]
) -> dict[str, Any]:
    """What the run's parts do at each step: `edges` and `faithfulness` of the circuit, and what `_nodes` has."""
    onsets = study.table(ONSETS)
    onsets = onsets[(onsets["axis"] == "step") & (onsets["at"] == size) & (onsets["ability"] == subject)]
    halves = {
        (str(row["quantity"]), str(row["component"])): rounded(row["threshold"]) for row in onsets.to_dict("records")
    }
    final = {
        (str(row["writer"]), str(row["reader"])): rounded(row["score"])
        for row in _of(study.table(CIRCUIT_EDGES), size, seed, subject).to_dict("records")
    }
    by_part = _by_part(formed, "component", steps)
    effects = by_part.get("edge effect", {})
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
    nodes = _of(study.table(NODES_OVER_STEPS), size, seed, subject)
    followed = {role: parts for role, parts in by_part.items() if role not in NOT_ROLES}
    return {
        "edges": edges,
        "faithfulness": next(iter(by_part.get("faithfulness", {}).values()), None),
        "halves": {role: {head: halves.get((role, head)) for head in parts} for role, parts in followed.items()},
        **_nodes(_last(_of(study.table(ROLE_TABLE), size, seed)), nodes, by_part.get("effect", {}), followed, steps),
    }


def _nodes(
    roles: pd.DataFrame,
    nodes: pd.DataFrame,
    effects: dict[str, Values],
    followed: dict[str, dict[str, Values]],
    steps: list[int],
) -> dict[str, Any]:
    """`effects` of nodes and `roles` of heads at each step, which heads a role `plays`, and if `whole`, of all nodes.

    Args:
        roles: the table of roles at the last step.
        nodes: the table of nodes over steps.
        effects: those of the circuit's nodes, from the table of formation.
        followed: scores of the circuit's heads that play a role, from there too.
        steps: steps of the run.
    """
    played = roles[roles["plays"].astype("boolean").fillna(value=False)].sort_values("score", ascending=False)
    too_many = len(nodes) > MOST_NODE_ROWS
    if too_many:
        nodes = nodes[nodes["node"].isin({*played["node"], *effects})]
    all_of = _by_part(nodes, "node", steps)
    names = [role for role in dict.fromkeys([*followed, *all_of]) if role not in NOT_ROLES]
    plays = {
        role: [*dict.fromkeys([*followed.get(role, {}), *played[played["role"] == role]["node"].map(str)])]
        for role in dict.fromkeys([*names, *played["role"].map(str)])
    }
    return {
        "whole": bool(all_of) and not too_many,
        "effects": all_of.get("effect", {}) | effects,
        "roles": {role: all_of.get(role, {}) | followed.get(role, {}) for role in names},
        "plays": {role: heads for role, heads in plays.items() if heads},
    }


def _by_part(rows: pd.DataFrame, column: str, steps: list[int]) -> dict[str, dict[str, Values]]:
    """Values at each step, by quantity and by the part that a column names."""
    found: dict[str, dict[str, Values]] = {}
    for (quantity, part), own in rows.groupby(["quantity", column], sort=False):
        found.setdefault(str(quantity), {})[str(part)] = _over(own, steps)
    return found


def _former(rows: pd.DataFrame, steps: list[int]) -> dict[str, Any]:
    """`former`: edges of earlier circuits that have left by the last step, the strongest first; `n_former`, how many.

    Each has its effects, and for each step whether the edge is in its circuit; None where the step has no circuit.
    `n_left_out` other edges are among the strongest at the last step, but not in the circuit found there.
    """
    within = rows["in_step_circuit"].astype("boolean")
    last = rows["step"] == rows["step"].max()
    found = rows["in_last_circuit"].astype("boolean")
    strong = within.fillna(value=False) & last
    edges, n_left_out = [], 0
    for (writer, reader), own in rows.assign(within=within).groupby(["writer", "reader"], sort=False):
        if found[own.index].any():
            continue
        if strong[own.index].any():
            n_left_out += 1
            continue
        there = {
            int(step): None if pd.isna(yes) else bool(yes) for step, yes in zip(own["step"], own["within"], strict=True)
        }
        edges.append(
            {
                "writer": str(writer),
                "reader": str(reader),
                "score": rounded(own["score"].iloc[-1]),
                "effects": _over(own.assign(value=own["score"]), steps),
                "within": [there.get(step) for step in steps],
            }
        )
    edges.sort(key=_largest, reverse=True)
    return {"former": edges[:MOST_FORMER], "n_former": len(edges) if len(rows) else None, "n_left_out": n_left_out}


def _largest(edge: dict[str, Any]) -> float:
    """The largest magnitude of an edge's effect at any step."""
    return max((abs(value[0]) for value in edge["effects"] if value), default=0.0)


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
