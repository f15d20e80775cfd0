"""How a circuit forms: the effects of its heads, MLPs and edges at earlier checkpoints, and its faithfulness there.

One pass gives the roles of all heads, and one sweep the effects of all nodes, so both are kept for every node. The
circuit of an earlier step consists of the strongest edges there, as many as the final circuit has (`step_circuits`). It
costs no run: the effects of all edges are measured at every step for those of the final circuit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.circuits.roles.table import ROLES, role_scores
from interp_emerge.circuits.running.evaluation import evaluate
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.similarity import turnover
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, NodeScores, Recorder
from interp_emerge.patching.scoring import score
from interp_emerge.stats.intervals import mean_interval, mean_intervals

EFFECT = "effect"


@dataclass(frozen=True, kw_only=True, eq=False)
class Formation:
    """A circuit at one checkpoint: the `parts` of the final circuit, and what all `edges` and all `nodes` do."""

    parts: pd.DataFrame
    """Columns `quantity`, `component`, `prompt`, `value`, `ci_low`, `ci_high`. Three kinds of quantities have one row
    for each prompt: a role of a head (in the role's unit), the `effect` of each head and MLP of the circuit, and the
    `edge effect` of each of its edges (both from denoising, in the metric's unit). The `faithfulness` is a ratio of
    means: it has one row with its interval, NaN where it is undefined."""
    edges: pd.DataFrame
    """Columns `writer`, `reader`, `score`, `standard_error`; `EdgeScores.from_frame` reads them."""
    nodes: pd.DataFrame
    """Columns `node`, `quantity`, `value`, `ci_low`, `ci_high`: the `effect` of every head and MLP, and each role of
    every head, means over prompts with their 95% intervals."""


def heads_to_follow(roles: pd.DataFrame, circuit: Circuit) -> list[tuple[str, str]]:
    """For each role, the heads of the circuit that play it, the strongest first, as pairs (role, head)."""
    found = roles[roles["plays"] & roles["node"].isin(circuit.heads)]
    ordered = found.sort_values(["score", "node"], ascending=[False, True], kind="stable")
    return [(role, head) for role in ROLES for head in ordered[ordered["role"] == role]["node"]]


def formation_at(
    model: HookedModel,
    circuit: Circuit,
    follow: list[tuple[str, str]],
    pairs: PromptPairs,
    *,
    metric: str = "logit_diff",
    method: str = "eap_ig",
    steps: int = 5,
    seed: int = 0,
    record: Recorder = record,
) -> Formation:
    """The roles and effects of the parts of a final circuit at one checkpoint, and its faithfulness there.

    Args:
        model: the checkpoint.
        circuit: the final circuit.
        follow: roles to measure, each with a head, as (role, head).
        pairs: prompt pairs that were not used to find the circuit.
        metric: metric of the effects and of the faithfulness.
        method: method that scores edges. If it keeps no values of single pairs, there are no edge effects.
        steps: number of integration points, for methods that integrate.
        seed: seed of the prompts on which roles are measured, and of methods that draw at random.
        record: returns the activations of a run; by default it runs the model.
    """
    heads = [node.name for node in model.graph.writers if node.kind == "head"]
    roles = role_scores(model, seed=seed)
    parts = [_by_prompt(role, head, roles[role][:, heads.index(head)]) for role, head in follow]
    all_nodes = [_summary(role, heads, values) for role, values in roles.items()]
    nodes = score(model, pairs, method="activation_patching", metric=metric, record=record)
    assert isinstance(nodes, NodeScores)
    counted = [place for place, node in enumerate(nodes.nodes) if node.kind in ("head", "mlp")]
    names = [model.graph.node_name(nodes.nodes[place]) for place in counted]
    all_nodes.append(_summary(EFFECT, names, nodes.per_pair[:, counted]))
    for name, effects in zip(names, nodes.per_pair[:, counted].T, strict=True):
        if name in circuit.nodes:
            parts.append(_by_prompt(EFFECT, name, effects))
    own = shelf[method].pick(steps=steps, seed=seed)
    edges = score(model, pairs, method=method, metric=metric, record=record, **own)
    assert isinstance(edges, EdgeScores)
    if edges.per_pair is not None:
        chosen = circuit.kept[model.graph.exists]
        for edge, effects in zip(circuit.edges, edges.per_pair[:, chosen].T, strict=True):
            parts.append(_by_prompt("edge effect", f"{edge.writer} → {edge.reader}", effects))
    interval = evaluate(model, circuit, pairs, metric=metric, record=record).interval
    faithfulness = {
        "quantity": "faithfulness",
        "component": "circuit",
        "prompt": 0,
        **interval.columns("value", "ci"),
    }
    table = pd.concat([*parts, pd.DataFrame([faithfulness])], ignore_index=True)
    writers, readers = np.nonzero(model.graph.exists)
    ends = {
        "writer": np.array(model.graph.writer_names)[writers],
        "reader": np.array(model.graph.reader_names)[readers],
    }
    scores = {"score": edges.scores[writers, readers], "standard_error": edges.standard_errors[writers, readers]}
    return Formation(parts=table, edges=pd.DataFrame({**ends, **scores}), nodes=pd.concat(all_nodes, ignore_index=True))


def formation_turnover(formations: Mapping[int, Formation], circuit: Circuit, *, seed: int = 0) -> pd.DataFrame:
    """How the circuit changes from one checkpoint to the next: the table of `similarity.turnover`, a row for each step.

    Args:
        formations: the formation at each training step.
        circuit: the final circuit.
        seed: seed of the random circuits.
    """
    scores = {step: EdgeScores.from_frame(circuit.graph, one.edges) for step, one in formations.items()}
    return turnover(step_circuits(formations, circuit), scores=scores, seed=seed)


def step_circuits(formations: Mapping[int, Formation], circuit: Circuit) -> dict[int, Circuit | None]:
    """The circuit of each step: the strongest edges at this step, as many as the final circuit has.

    If the faithfulness is undefined because the clean-corrupt gap is within noise, the strongest edges are noise too,
    and the step has no circuit.

    Args:
        formations: the formation at each training step.
        circuit: the final circuit.
    """
    found: dict[int, Circuit | None] = {}
    for step, one in formations.items():
        there = one.parts[one.parts["quantity"] == "faithfulness"]["value"].notna().all()
        found[step] = EdgeScores.from_frame(circuit.graph, one.edges).top(len(circuit)) if there else None
    return found


def edges_over_steps(formations: Mapping[int, Formation], circuit: Circuit) -> pd.DataFrame:
    """What the edges do at every step that belong to the circuit of any step: the columns that fill `EDGES_OVER_STEPS`.

    Args:
        formations: the formation at each training step.
        circuit: the final circuit.
    """
    graph, found = circuit.graph, step_circuits(formations, circuit)
    ever = circuit.kept | np.logical_or.reduce([one.kept for one in found.values() if one is not None], axis=0)
    chosen, frames = ever[graph.exists], []
    for step, one in formations.items():
        columns = EdgeScores.from_frame(graph, one.edges).to_frame()[["writer", "reader", "score", "ci_low", "ci_high"]]
        here = found[step]
        within = pd.NA if here is None else here.kept[graph.exists][chosen]
        last = circuit.kept[graph.exists][chosen]
        frame = columns[chosen].assign(step=step, in_step_circuit=within, in_last_circuit=last)
        frames.append(frame.astype({"in_step_circuit": "boolean"}))
    return pd.concat(frames, ignore_index=True)


def _summary(quantity: str, nodes: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    """Means over prompts with their intervals, from values of shape [prompt, node]."""
    mean, low, high = mean_intervals(values.astype(np.float64))
    return pd.DataFrame({"node": nodes, "quantity": quantity, "value": mean, "ci_low": low, "ci_high": high})


def _by_prompt(quantity: str, component: str, values: np.ndarray) -> pd.DataFrame:
    about = {"quantity": quantity, "component": component, "prompt": np.arange(len(values))}
    return pd.DataFrame({**about, "value": values.astype(np.float64), "ci_low": np.nan, "ci_high": np.nan})


def summarise_formation(cell: pd.DataFrame) -> pd.DataFrame:
    """The mean over prompts of each quantity and component, with its 95% interval in `ci_low` and `ci_high`."""
    rows = []
    for (quantity, component), part in cell.groupby(["quantity", "component"], sort=False):
        if quantity == "faithfulness":
            rows.append((quantity, component, *part[["value", "ci_low", "ci_high"]].iloc[0]))
        else:
            interval = mean_interval(part["value"].to_numpy())
            rows.append((quantity, component, interval.value, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["quantity", "component", "value", "ci_low", "ci_high"])
