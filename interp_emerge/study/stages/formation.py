"""How each circuit forms: what its parts do at every training step, and how it changes between steps."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.abilities.measuring import summarise
from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.emergence.forming.formation import (
    Formation,
    edges_over_steps,
    formation_at,
    formation_turnover,
    heads_to_follow,
    summarise_formation,
)
from interp_emerge.emergence.forming.tables import EDGES_OVER_STEPS, FORMATION, NODES_OVER_STEPS
from interp_emerge.emergence.sameness.similarity import TURNOVER
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import FOLLOW, Followed
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, circuits, hash_of_edges
from interp_emerge.study.stages.roles import ROLES
from interp_emerge.study.work import Work


class Following(StageWithCells[Followed, Formation]):
    """Measures the followed heads, the parts of the final circuit, and its faithfulness at one step."""

    name = "formation"
    round = FOLLOW
    needs = (ABILITIES, CIRCUIT, ROLES)
    tables = (FORMATION, TURNOVER, NODES_OVER_STEPS, EDGES_OVER_STEPS)

    def each(self, work: Work) -> str:
        """All quantities, in words."""
        return "roles, effects of nodes and edges, faithfulness"

    def passes(self, work: Work, load: Load) -> float:
        """The roles, the effects of every node and every edge, and the circuit itself."""
        return 3900 / load.n_tokens + 0.15 * load.n_nodes + 3.2 * work.settings.steps_of_integration

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "the circuit; activations of the checkpoint, in memory for all stages of this round"

    def cell(self, work: Work, key: Followed) -> Formation:
        """The quantities of the parts, and what all edges and nodes do."""
        settings, circuit = work.settings, circuit_of(work, key.last)
        follow = heads_to_follow(ROLES.cell(work, key.last), circuit)
        how = {"method": settings.method, "steps": settings.steps_of_integration}

        def compute() -> tuple[pd.DataFrame, ...]:
            model = work.models.get(*key.checkpoint)
            more = {"metric": settings.metric, "seed": settings.seed, "record": work.store.passing}
            found = formation_at(model, circuit, follow, work.pairs(model, EVALUATION), **how, **more)
            return found.parts, found.edges, found.nodes

        decides = {"circuit": hash_of_edges(circuit), "follow": [list(one) for one in follow], **how}
        inputs = work.inputs(key.checkpoint, **work.scoring, **decides)
        parts, edges, nodes = work.cells.get_several("formation", inputs, ("parts", "edges", "nodes"), compute)
        return Formation(parts=parts, edges=edges, nodes=nodes)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Every quantity at every step, including the ability; successive circuits; all nodes, and their edges."""
        ability = results.work.ability.name
        quantities, changes, nodes, edges = [], [], [], []
        for last, by_step in formations(results).items():
            run = {"size": last.size, "seed": last.seed, "ability": ability}
            for step, one in by_step.items():
                at = last.at_step(step)
                able = summarise(results.of(ABILITIES)[at].abilities[ability]).rename(columns={"metric": "quantity"})
                able = able[able["quantity"].isin(["accuracy", "log_prob"])].assign(component="model")
                both = pd.concat([able, summarise_formation(one.parts)], ignore_index=True)
                quantities.append(both.assign(step=step, **run))
                nodes.append(one.nodes.assign(step=step, **run))
            circuit = circuits(results)[last].circuit
            changes.append(formation_turnover(by_step, circuit).assign(**run))
            edges.append(edges_over_steps(by_step, circuit).assign(**run))
        return [stacked(quantities), stacked(changes), stacked(nodes), stacked(edges)]


FORMING = shelf.add(Following())


def formations(results: Results) -> dict[Checkpoint, dict[int, Formation]]:
    """For each model with a circuit, the measurements of that circuit at each training step."""
    found: dict[Checkpoint, dict[int, Formation]] = {}
    for key, one in results.of(FORMING).items():
        found.setdefault(key.last, {})[key.step] = one
    return found
