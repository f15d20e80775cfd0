"""Put a circuit to the test: what speaks for the claim and against it, on prompts that it was not chosen on.

1. `circuits.running.evaluation`: what the circuit keeps and what is left without it, by template, under every ablation,
   at the level of edges and of nodes.
2. `circuits.testing.hypotheses`: five tests against the model and against random circuits of equal size.
3. `circuits.testing.completeness`, `circuits.testing.minimality`: what the circuit lacks, and what it could do without.
4. `circuits.roles.labels`: roles of its heads, given where behaviour and effect agree, and what they attend to here.
5. `circuits.testing.backup`: heads that take over when its own are ablated; `circuits.roles.composition`: what the
   weights alone say of its edges between heads.
6. `circuits.finding.stability`: how far the prompts that it was found on decide which edges are in it.

Cost: several hundred circuit runs, most of them for the tests against random circuits; `parts` leaves some out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from interp_emerge.circuits.finding.find import selected_again
from interp_emerge.circuits.finding.stability import Stability
from interp_emerge.circuits.roles.composition import composition_scores
from interp_emerge.circuits.roles.labels import attention_at, label_heads
from interp_emerge.circuits.running.ablation import heads_to_ablate
from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.circuits.running.runs import LEVELS, Runs
from interp_emerge.circuits.testing.backup import backup_heads
from interp_emerge.circuits.testing.completeness import completeness
from interp_emerge.circuits.testing.hypotheses import hypothesis_tests
from interp_emerge.circuits.testing.minimality import minimality
from interp_emerge.circuits.testing.telling import sentences, small_tables
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.patching.ablation import ABLATIONS
from interp_emerge.patching.base import EdgeScores, NodeScores

PARTS = (
    "templates", "ablations", "curve", "hypotheses", "completeness", "minimality", "roles", "attention", "backup",
    "composition", "stability",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """A circuit with all that its tests showed, as tidy tables by the name of the test."""

    circuit: Circuit
    evaluation: Evaluation
    """With everything outside the circuit ablated."""
    without: Evaluation
    """With the circuit's own edges ablated, and nothing else."""
    prompts: str
    """Hash of the pairs' token ids."""
    tables: dict[str, pd.DataFrame]

    def __repr__(self) -> str:
        return "\n".join([f"Examination of {self.circuit!r}", *self.sentences])

    @property
    def sentences(self) -> list[str]:
        """What was found, in words; the numbers behind them are in the tables."""
        said = sentences(self.circuit, self.evaluation, self.without, self.tables)
        if self.circuit.origin.get("prompts") == self.prompts:
            said.insert(0, "The circuit was found on just these prompts: what follows flatters it.")
        return said

    @property
    def shown(self) -> dict[str, pd.DataFrame]:
        """What is read best as a table, cut down to what fits a terminal."""
        return small_tables(self.tables)

    def with_search(self, found: Stability) -> "Examination":
        """The same, and how alike circuits are that the whole search finds on bootstrap samples."""
        tables = {f"search_{name}": table for name, table in _stability(found).items()}
        return replace(self, tables=self.tables | tables)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values: `circuit`, `sentences`, and the tables as lists of rows."""
        tables = {name: json.loads(table.to_json(orient="records")) for name, table in self.tables.items()}
        return {"circuit": json.loads(self.circuit.to_json()), "sentences": self.sentences, **tables}


@checked
def examine(
    runs: Runs,
    circuit: Circuit,
    *,
    scores: NodeScores | EdgeScores | None = None,
    parts: Sequence[str] = PARTS,
    n_random: int = 100,
    resamples: int = 100,
) -> Examination:
    """Everything that can be asked of a circuit on pairs that it was not chosen on.

    Args:
        runs: what to run on, other pairs than those that the circuit was found on; its seed is for all that is drawn.
        circuit: edges of the model's graph.
        scores: what it was chosen by; without scores of edges the curve and stability are left out, and stability where
            they hold no values by pair.
        parts: which tests to run, of `PARTS`; the evaluation itself always runs.
        n_random: random circuits to compare with.
        resamples: bootstrap samples of the discovery pairs.

    Raises:
        InputError: the circuit belongs to a graph of another shape, or there are too few pairs for a test.
        UnknownNameError: no part has the name.
    """
    require_parts(parts)
    model, pairs = runs.model, runs.pairs
    model.require_graph(circuit.graph)
    found, without = runs.evaluations([circuit.kept, circuit.complement().kept])
    tables = {"evaluation": _beside(found, without)}
    for part in (part for part in PARTS if part in parts):
        match part:
            case "templates":
                tables[part] = found.by_template()
            case "ablations":
                tables[part] = _under_every_ablation(runs, circuit)
            case "hypotheses":
                tests = hypothesis_tests(runs, circuit, n_random=n_random)
                tables |= {part: tests.to_frame(), "edges": tests.edges}
            case "completeness":
                tables[part] = completeness(runs, circuit).to_frame()
            case "minimality":
                tables[part] = minimality(runs, circuit).to_frame()
            case "roles":
                tables[part] = label_heads(runs, circuit)
            case "curve":
                if isinstance(scores, EdgeScores):
                    curve = runs.curve(scores)
                    tables |= {part: curve.to_frame(), "areas": _areas(curve)}
            case "attention":
                if pairs.positions:
                    tables[part] = attention_at(model, pairs, circuit, budget=runs.budget)
            case "backup":
                if circuit.heads:
                    tables[part] = backup_heads(runs, heads_to_ablate(circuit))
            case "composition":
                edges = circuit.to_frame()
                tables[part] = composition_scores(model, budget=runs.budget).merge(edges, on=["writer", "reader"])
            case _:
                if isinstance(scores, EdgeScores) and scores.per_pair is not None and len(circuit):
                    tables |= _stability(selected_again(scores, circuit, resamples=resamples, seed=runs.seed))
    return Examination(circuit=circuit, evaluation=found, without=without, prompts=pairs.fingerprint, tables=tables)


def require_parts(parts: Sequence[str]) -> None:
    """Raise an `UnknownNameError` unless every part is one of `PARTS`."""
    for part in parts:
        if part not in PARTS:
            raise UnknownNameError("part of an examination", part, PARTS)


def _beside(found: Evaluation, without: Evaluation) -> pd.DataFrame:
    """The summaries of the circuit alone and of the model without it: `edges`, then the columns of the summary."""
    parts = []
    for edges, evaluation in (("circuit", found), ("all others", without)):
        summary = evaluation.summary()
        summary.insert(0, "edges", edges)
        parts.append(summary)
    return pd.concat(parts, ignore_index=True)


def _under_every_ablation(runs: Runs, circuit: Circuit) -> pd.DataFrame:
    """Faithfulness and divergence under each ablation at each level, since that choice changes verdicts."""
    rows = []
    for ablation in ABLATIONS:
        for level in LEVELS:
            found = runs.but(ablation=ablation).evaluate(circuit, level=level)
            rows.append(
                {
                    "ablation": ablation,
                    "level": level,
                    **found.interval.columns("faithfulness", "ci"),
                    "kl": found.divergence.value,
                    "accuracy": found.accuracy.value,
                }
            )
    return pd.DataFrame(rows)


def _areas(curve: FaithfulnessCurve) -> pd.DataFrame:
    """CPR and CMD with their intervals."""
    found = {"cpr": curve.cpr_interval, "cmd": curve.cmd_interval}
    return pd.DataFrame([{"quantity": name, **interval.columns("value", "ci")} for name, interval in found.items()])


def _stability(found: Stability) -> dict[str, pd.DataFrame]:
    """The indices with the central 95% of all pairs of samples, and how often each edge was in."""
    unknown = float("nan")
    rows = [
        *((name, *vars(getattr(found, name)).values()) for name in ("jaccard", "node_jaccard", "weighted_jaccard")),
        ("with_circuit", found.with_circuit, unknown, unknown),
        ("random", found.random, unknown, unknown),
    ]
    indices = pd.DataFrame(rows, columns=["quantity", "value", "ci_low", "ci_high"])
    return {"stability": indices, "edge_frequencies": found.to_frame()}
