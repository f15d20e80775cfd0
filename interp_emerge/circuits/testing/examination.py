"""All tests of a circuit at once, on prompts that it was not chosen on.

1. `circuits.running.evaluation`: what the circuit keeps and what is left without it, by template, under every ablation,
   at the level of edges and of nodes.
2. `circuits.testing.hypotheses`: five tests against the whole model and against random circuits of the same size.
3. `circuits.testing.completeness`, `circuits.testing.minimality`: what the circuit lacks, and what it does not need.
4. `circuits.roles.labels`: roles of its heads, given where behaviour and effect agree, and what they attend to on these
   pairs.
5. `circuits.testing.backup`: heads that take over when the circuit's own heads are ablated;
   `circuits.roles.composition`: composition of the circuit's heads by their weights alone.
6. `circuits.finding.stability`: how much the circuit's edges depend on the prompts that it was found on.

Cost: several hundred circuit runs, most of them for the tests against random circuits; `parts` leaves some out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.finding.find import selected_again
from interp_emerge.circuits.finding.stability import Stability
from interp_emerge.circuits.roles.composition import composition_scores
from interp_emerge.circuits.roles.labels import attention_at, label_heads
from interp_emerge.circuits.running.ablation import heads_to_ablate
from interp_emerge.circuits.running.faithfulness import Evaluation
from interp_emerge.circuits.running.runs import LEVELS, Runs, runs_of
from interp_emerge.circuits.testing.backup import backup_heads
from interp_emerge.circuits.testing.completeness import completeness
from interp_emerge.circuits.testing.hypotheses import hypothesis_tests
from interp_emerge.circuits.testing.minimality import minimality
from interp_emerge.circuits.testing.sentences import sentences, small_tables
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.patching.ablation import ABLATIONS, MEANS
from interp_emerge.patching.base import EdgeScores, NodeScores

PARTS = (
    "templates", "ablations", "curve", "hypotheses", "completeness", "minimality", "roles", "attention", "backup",
    "composition", "stability",
)  # fmt: skip

MOST_EDGES = 20
"""The largest number of edges that are shown; a circuit file has all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination(Record):
    """A circuit with the results of its tests, as tidy tables by the name of the test."""

    circuit: Circuit
    evaluation: Evaluation
    """With everything outside the circuit ablated."""
    without: Evaluation
    """With only the circuit's own edges ablated."""
    prompts: str
    """Hash of the pairs' token ids."""
    tables: dict[str, pd.DataFrame]

    def __repr__(self) -> str:
        return "\n".join([f"Examination of {self.circuit!r}", *self.sentences])

    @property
    def sentences(self) -> list[str]:
        """The results in words, from the numbers in the tables."""
        found = sentences(self.circuit, self.evaluation, self.without, self.tables)
        if self.circuit.origin.get("prompts") == self.prompts:
            found.insert(0, "The circuit was found on these same prompts, so the results are biased in its favour.")
        return found

    @property
    def shown(self) -> dict[str, pd.DataFrame]:
        """The results that read best as tables, small enough for a terminal, and the circuit's strongest edges."""
        edges = self.circuit.to_frame().sort_values("score", key=abs, ascending=False, kind="stable", ignore_index=True)
        strongest = "edges" if len(edges) <= MOST_EDGES else f"the {MOST_EDGES} strongest of {len(edges):,} edges"
        shown = {strongest: edges.head(MOST_EDGES)} if len(edges) else {}
        return shown | small_tables(self.tables)

    def with_search(self, found: Stability) -> "Examination":
        """This examination, with how similar the circuits are that the whole search finds on new sets of prompts."""
        tables = {f"search_{name}": table for name, table in _stability(found).items()}
        return replace(self, tables=self.tables | tables)

    def to_dict(self) -> dict[str, Any]:
        """The examination as plain values: `circuit`, `sentences`, and each table as a list of rows."""
        tables = {name: json.loads(table.to_json(orient="records")) for name, table in self.tables.items()}
        return {"circuit": json.loads(self.circuit.to_json()), "sentences": self.sentences, **tables}


@checked
def examine(
    runs: Runs | HookedModel,
    circuit: Circuit,
    pairs: PromptPairs | None = None,
    *,
    scores: NodeScores | EdgeScores | None = None,
    parts: Sequence[str] = PARTS,
    n_random: int = 100,
    resamples: int = 100,
) -> Examination:
    """Runs every test of a circuit, on pairs that it was not chosen on.

    Example:
        >>> tested = ie.examine(runs, circuit, scores=scores, parts=["backup"])
        >>> tested.tables["backup"].head()

    Args:
        runs: the model and the pairs, which are not those that the circuit was found on. Its seed is for all draws.
            A model alone is run with the defaults of `Runs`.
        circuit: edges of the model's graph.
        pairs: the pairs, if `runs` is a model.
        scores: the scores that the circuit was chosen by. The curve and stability need scores of edges, and stability
            needs their values by pair; they are left out otherwise.
        parts: the tests to run, from `PARTS`; the evaluation itself always runs.
        n_random: number of random circuits to compare with.
        resamples: divisions of the discovery pairs into halves, and simulated sets, for stability.

    Raises:
        InputError: the circuit belongs to a graph of another shape, or there are too few pairs for a test.
        UnknownNameError: no part has the name.
    """
    require_parts(parts)
    runs = runs_of(runs, pairs)
    model, pairs = runs.model, runs.pairs
    model.require_graph(circuit.graph)
    found, without = runs.evaluations([circuit.kept, circuit.complement().kept])
    tables = {"evaluation": _evaluation_table(found, without)}
    for part in (part for part in PARTS if part in parts):
        match part:
            case "templates":
                tables[part] = found.by_template()
            case "ablations":
                tables[part] = _under_every_ablation(runs, circuit)
            case "hypotheses":
                with runs.held():
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
                    tables |= {part: curve.to_frame(), "areas": curve.areas()}
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


def _evaluation_table(found: Evaluation, without: Evaluation) -> pd.DataFrame:
    """Summaries of the circuit alone and of the model without it; column `edges` says which edges were kept."""
    parts = []
    for edges, evaluation in (("circuit", found), ("all others", without)):
        summary = evaluation.summary()
        summary.insert(0, "edges", edges)
        parts.append(summary)
    return pd.concat(parts, ignore_index=True)


def _under_every_ablation(runs: Runs, circuit: Circuit) -> pd.DataFrame:
    """Faithfulness and divergence under each ablation at each level, since results depend on that choice.

    Means over prompts are left out if the pairs have several lengths.
    """
    several = len(set(runs.pairs.lengths.tolist())) > 1
    rows = []
    for ablation in (one for one in ABLATIONS if not (several and one in MEANS)):
        for level in LEVELS:
            found = runs.replace(ablation=ablation).evaluate(circuit, level=level)
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


def _stability(found: Stability) -> dict[str, pd.DataFrame]:
    """Expected indices with their 95% intervals, and how often each edge was selected."""
    unknown = float("nan")
    rows = [
        *((name, *vars(getattr(found, name)).values()) for name in ("jaccard", "node_jaccard", "weighted_jaccard")),
        ("random", found.random, unknown, unknown),
    ]
    indices = pd.DataFrame(rows, columns=["quantity", "value", "ci_low", "ci_high"])
    return {"stability": indices, "edge_frequencies": found.to_frame()}
