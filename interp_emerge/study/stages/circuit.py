"""The circuit of each model that has the ability, compared with random circuits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION
from interp_emerge.circuits.finding.null_circuits import kinds_of
from interp_emerge.circuits.finding.selection import smallest_faithful
from interp_emerge.circuits.finding.stability import stability
from interp_emerge.circuits.running.beyond_chance import against_random, verdict_of
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.circuits.tables import CIRCUIT_EDGES, CIRCUITS, CircuitVerdict
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.files import hash_of
from interp_emerge.core.model import HookedModel
from interp_emerge.stats.intervals import WITHIN_NOISE
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, why_unable
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.stages.edge_scores import EDGES, edge_scores
from interp_emerge.study.work import Work


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A circuit and its measurements, which are missing if the circuit has no edge."""

    circuit: Circuit
    judged: dict[str, Any] | None = None
    """The columns of `against_random`, and the circuit's stability."""


class Finding(StageWithCells[Checkpoint, Found]):
    """Finds the smallest circuit that is faithful on the discovery prompts, and evaluates it on other prompts."""

    name = "circuit"
    round = LOCATE
    needs = (ABILITIES, EDGES)
    tables = (CIRCUITS, CIRCUIT_EDGES)

    def each(self, work: Work) -> str:
        """The circuit and its random circuits and resamples, in words."""
        settings = work.settings
        drawn = f"{settings.n_random} random circuits of its size, {settings.n_resamples} resamples of its scores"
        return f"a circuit, {drawn}"

    def passes(self, work: Work, load: Load) -> float:
        """The sizes tried, the local search, the random circuits, and the circuit with its complement."""
        settings = work.settings
        return 9 + (50 if settings.local_search else 0) + 0.42 * settings.n_random

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return f"activations of the pairs ({work.recorded}); scores of each pair"

    def why_not(self, work: Work, at: Checkpoint) -> str:
        """No circuit is sought in a model without the ability."""
        return why_unable(work, at)

    def cell(self, work: Work, at: Checkpoint) -> Found:
        """The circuit, its evaluation and its stability."""
        circuit = circuit_of(work, at)
        if not len(circuit):
            return Found(circuit=circuit)
        (judged,) = _evaluation(work, at, circuit).join(_stability(work, at, circuit)).to_dict("records")
        return Found(circuit=circuit, judged={str(name): value for name, value in judged.items()})

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """One row for each model, with its circuit or why it has none; and every edge."""
        grid = results.work.grid
        rows = {at: _row(results, at, found) for at, found in results.of(self).items()}
        rows |= {at: _without(results, at, why) for at, why in results.left_out(self).items()}
        ordered = sorted(rows, key=lambda at: (grid.sizes.index(at.size), at.seed))
        edges = (
            found.circuit.to_frame().assign(**at._asdict(), ability=results.work.ability.name)
            for at, found in circuits(results).items()
        )
        return [pd.DataFrame([rows[at] for at in ordered]), stacked(edges)]

    def files(self, results: Results) -> dict[str, bytes]:
        """One file for every circuit."""
        return {_file(results, at): found.circuit.to_json() for at, found in circuits(results).items()}


CIRCUIT = shelf.add(Finding())


def circuits(results: Results) -> dict[Checkpoint, Found]:
    """The models that have a circuit with at least one edge."""
    return {at: found for at, found in results.of(CIRCUIT).items() if len(found.circuit)}


def circuit_of(work: Work, at: Checkpoint) -> Circuit:
    """The smallest circuit that is faithful on the discovery prompts; it has no edge if the gap is undefined."""
    settings = work.settings

    def compute() -> Circuit:
        model = work.models.get(*at)
        scores = edge_scores(work, model, at, settings.method)
        pairs, record = work.pairs(model, DISCOVERY), work.store.recording
        runs = Runs(model, pairs, metric=settings.metric, record=record)
        return smallest_faithful(runs, scores, target=settings.target, local_search=settings.local_search)

    decides = {"method": settings.method, "steps": settings.steps_of_integration, "target": settings.target}
    decides |= {} if settings.local_search else {"local_search": False}
    return work.cells.get_circuit(work.inputs(at, **work.scoring, **decides), compute)


def why_no_circuit(work: Work, at: Checkpoint) -> str:
    """Why a model has no circuit, as the end of a sentence; empty if it has one."""
    return why_unable(work, at) or _why_empty(circuit_of(work, at))


def hash_of_edges(circuit: Circuit) -> str:
    """A hash of the circuit's edges, for the names of cells."""
    return hash_of([[edge.writer, edge.reader] for edge in circuit.edges])


def _why_empty(circuit: Circuit) -> str:
    if len(circuit):
        return ""
    gap = circuit.origin.get("selection", {}).get("undefined", WITHIN_NOISE)
    other = ", or no edge reaches the logits" if gap == WITHIN_NOISE else ""
    return f"the clean-corrupt gap {gap}{other}"


def _evaluation(work: Work, at: Checkpoint, circuit: Circuit) -> pd.DataFrame:
    """The circuit on the evaluation prompts, with random circuits of the same size: one row."""
    settings = work.settings

    def compute(model: HookedModel) -> pd.DataFrame:
        pairs, record = work.pairs(model, EVALUATION), work.store.recording
        runs = Runs(model, pairs, metric=settings.metric, seed=settings.seed, record=record)
        return against_random(runs, circuit, n_random=settings.n_random)

    decides = {"circuit": hash_of_edges(circuit), "n": settings.n_random, "kinds": [*map(str, kinds_of(circuit))]}
    return work.frame("evaluation", at, compute, **work.scoring, **decides)


def _stability(work: Work, at: Checkpoint, circuit: Circuit) -> pd.DataFrame:
    """How similar circuits of two independent sets of as many prompts are: one row."""
    settings = work.settings

    def compute(model: HookedModel) -> pd.DataFrame:
        scores = edge_scores(work, model, at, settings.method)
        found = stability(scores, circuit, resamples=settings.n_resamples, seed=settings.seed).jaccard
        return pd.DataFrame([found.columns("stability")])

    decides = {"method": settings.method, "steps": settings.steps_of_integration, "n": settings.n_resamples}
    return work.frame("stability", at, compute, **work.scoring, circuit=hash_of_edges(circuit), **decides)


def _row(results: Results, at: Checkpoint, found: Found) -> dict[str, Any]:
    if found.judged is None:
        return _without(results, at, _why_empty(found.circuit))
    circuit, judged, settings = found.circuit, found.judged, results.work.settings
    verdict = verdict_of(
        faithfulness=judged["faithfulness"],
        low=judged["ci_low"],
        random_p95=judged["random_p95"],
        target=settings.target,
        why_undefined=judged["why_undefined"],
    )
    n_edges, n_graph_edges = len(circuit), circuit.graph.n_edges
    counts = {"n_edges": n_edges, "n_graph_edges": n_graph_edges, "edge_share": n_edges / n_graph_edges}
    judgement = {"verdict": verdict, "file": _file(results, at)}
    return {**_about(results, at), **counts, **judged, **judgement}


def _without(results: Results, at: Checkpoint, why: str) -> dict[str, Any]:
    return {**_about(results, at), "verdict": f"{CircuitVerdict.NO_CIRCUIT}: {why}", "file": ""}


def _about(results: Results, at: Checkpoint) -> dict[str, Any]:
    settings = results.work.settings
    return {
        **at._asdict(),
        "ability": results.work.ability.name,
        "method": settings.method,
        "metric": settings.metric,
    }


def _file(results: Results, at: Checkpoint) -> str:
    return f"circuits/{results.work.ability.name}-{at.size}-step{at.step}-seed{at.seed}.json"
