"""How a circuit forms: what its heads, MLPs and edges do at an earlier checkpoint, and how faithful it is there."""

from collections.abc import Mapping
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
from interp_emerge.stats.intervals import mean_interval

HEADS_PER_ROLE = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Formation:
    """A circuit at one checkpoint: what the `parts` of the final circuit do, and the scores of all `edges`."""

    parts: pd.DataFrame
    """Columns `quantity`, `component`, `prompt`, `value`, `ci_low`, `ci_high`. A role of a head (in the role's unit),
    the `effect` of each head and MLP of the circuit and the `edge effect` of each of its edges (denoising, in the
    metric's unit) have one row for each prompt. The `faithfulness` is a ratio of means: it has a single row with its
    interval, empty where it is undefined."""
    edges: pd.DataFrame
    """Columns `writer`, `reader`, `score`, `standard_error`, as `EdgeScores.from_frame` reads them."""


def heads_to_follow(roles: pd.DataFrame, circuit: Circuit) -> list[tuple[str, str]]:
    """For each role, the heads of the circuit above the untrained baseline, the strongest first, as (role, head)."""
    found = roles[roles["clears_baseline"] & roles["node"].isin(circuit.heads)]
    ordered = found.sort_values(["score", "node"], ascending=[False, True], kind="stable")
    return [(role, head) for role in ROLES for head in ordered[ordered["role"] == role]["node"].head(HEADS_PER_ROLE)]


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
    """Measures what the parts of a final circuit do at one checkpoint, and how faithful the circuit is there.

    Args:
        model: the checkpoint.
        circuit: the final circuit.
        follow: heads to measure in a role, as (role, head).
        pairs: pairs that the circuit was not found on.
        metric: metric of the effects and the faithfulness.
        method: method that scores edges. If it keeps no values of single pairs, there are no edge effects.
        steps: number of integration points, for methods that integrate.
        seed: seed of the prompts of roles, and of methods that draw at random.
        record: returns the activations of a run; by default it runs the model.
    """
    heads = [node.name for node in model.graph.writers if node.kind == "head"]
    roles = role_scores(model, seed=seed)
    parts = [_by_prompt(role, head, roles[role][:, heads.index(head)]) for role, head in follow]
    nodes = score(model, pairs, method="activation_patching", metric=metric, record=record)
    assert isinstance(nodes, NodeScores)
    for node, effects in zip(nodes.nodes, nodes.per_pair.T, strict=True):
        name = model.graph.node_name(node)
        if name in circuit.nodes and node.kind in ("head", "mlp"):
            parts.append(_by_prompt("effect", name, effects))
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
    names = {
        "writer": np.array(model.graph.writer_names)[writers],
        "reader": np.array(model.graph.reader_names)[readers],
    }
    scores = {"score": edges.scores[writers, readers], "standard_error": edges.standard_errors[writers, readers]}
    return Formation(parts=table, edges=pd.DataFrame({**names, **scores}))


def formation_turnover(formations: Mapping[int, Formation], circuit: Circuit, *, seed: int = 0) -> pd.DataFrame:
    """How the circuit changes from one checkpoint to the next: `similarity.turnover`, one row for each step.

    The circuit of a step consists of its strongest edges, as many as the final circuit has. Where the clean-corrupt gap
    is within noise, the faithfulness is undefined, the strongest edges are noise too, and the step has no circuit.

    Args:
        formations: formation at each training step.
        circuit: the final circuit.
        seed: seed of the random circuits.
    """
    scores = {step: EdgeScores.from_frame(circuit.graph, one.edges) for step, one in formations.items()}
    circuits = {}
    for step, one in formations.items():
        there = one.parts[one.parts["quantity"] == "faithfulness"]["value"].notna().all()
        circuits[step] = scores[step].top(len(circuit)) if there else None
    return turnover(circuits, scores=scores, seed=seed)


def _by_prompt(quantity: str, component: str, values: np.ndarray) -> pd.DataFrame:
    about = {"quantity": quantity, "component": component, "prompt": np.arange(len(values))}
    return pd.DataFrame({**about, "value": values.astype(np.float64), "ci_low": np.nan, "ci_high": np.nan})


def summarise_formation(cell: pd.DataFrame) -> pd.DataFrame:
    """Mean over prompts, with its interval, for each quantity and component."""
    rows = []
    for (quantity, component), part in cell.groupby(["quantity", "component"], sort=False):
        if quantity == "faithfulness":
            rows.append((quantity, component, *part[["value", "ci_low", "ci_high"]].iloc[0]))
        else:
            interval = mean_interval(part["value"].to_numpy())
            rows.append((quantity, component, interval.value, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["quantity", "component", "value", "ci_low", "ci_high"])
