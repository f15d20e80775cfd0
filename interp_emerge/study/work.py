"""The work of a study, one model after another: what a sweep hands out, and what its results are read from.

Every method computes what is not on disk yet and returns all of it. So a sweep may be spread over processes that only
compute, while the one that started them reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.circuits.running.faithfulness import WITHIN_NOISE
from interp_emerge.core.circuit import Circuit
from interp_emerge.emergence.forming.formation import Formation, heads_to_follow
from interp_emerge.emergence.scale.onset import Scale
from interp_emerge.families.base import Family
from interp_emerge.study.cells import MissingCell, Models
from interp_emerge.study.grid import At, Grid
from interp_emerge.study.settings import StudySettings
from interp_emerge.study.stages import Stages

FEWEST_TO_COMPARE = 6
"""Pairs below which two circuits cannot be compared by halves: three groups of two."""
SECOND_METHOD = "eap"
"""Edge method whose scores stand beside those of the study's own."""
LEVELS: tuple[Literal["edges", "classes"], ...] = ("edges", "classes")
Key = tuple[Any, ...]
"""What a method of `Work` is called with: names and numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a model is and can do."""

    n_parameters: int
    loss: float
    abilities: dict[str, pd.DataFrame]
    prepended: str | None = None
    """What stands first in its prompts."""
    warning: str = ""
    """Of a first token that would be better, where there is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A circuit with what was measured of it."""

    circuit: Circuit
    evaluation: pd.DataFrame
    stability: pd.DataFrame
    ablation: pd.DataFrame
    attention: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Located:
    """What the parts of a model do, and its circuit; or why it has none."""

    nodes: pd.DataFrame
    roles: pd.DataFrame
    edges: dict[str, pd.DataFrame] = field(default_factory=dict)
    found: Found | None = None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """Everything that a study of one ability in one family computes.

    `abilities` are all that are measured, the one in question among them. Where it is `read_only`, what is not on disk
    raises a `MissingCell`.
    """

    family: Family
    settings: StudySettings
    directory: Path
    ability: Ability
    abilities: Sequence[Ability]
    device: str = ""
    threads: int = 0
    """Of models of ten million parameters or more; 0 means as many as torch has found."""
    read_only: bool = False

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.family, self.settings)

    @cached_property
    def models(self) -> Models:
        chosen = {"dtype": self.settings.dtype, "prepend_bos": self.settings.prepend_bos}
        return Models(self.family, device=self.device, threads=self.threads, **chosen)

    @cached_property
    def stages(self) -> Stages:
        return Stages(self.models, self.settings, self.directory, self.read_only)

    def measure(self, at: At) -> Measured:
        """Every ability of one model."""
        described = self.stages.describe(at)
        cells = {ability.name: self.stages.measure(at, ability) for ability in self.abilities}
        return Measured(**{str(name): value for name, value in described.items()}, abilities=cells)

    def locate(self, at: At) -> Located:
        """Node effects and roles of one model, and the circuit where the ability is there."""
        stages, ability = self.stages, self.ability
        nodes, roles = stages.node_scores(at, ability), stages.roles(at)
        accuracy = self._accuracy(at)
        if accuracy <= Scale(ability.chance, ability.ceiling).threshold:
            why = f"no circuit: the model lacks the ability (accuracy {accuracy:.2f})"
            return Located(nodes=nodes, roles=roles, why_not=why)
        methods = dict.fromkeys((self.settings.method, SECOND_METHOD))
        edges = {method: stages.edge_scores(at, ability, method) for method in methods}
        circuit = stages.circuit(at, ability)
        if not len(circuit):
            gap = circuit.origin.get("selection", {}).get("undefined", WITHIN_NOISE)
            other = ", or no edge reaches the logits" if gap == WITHIN_NOISE else ""
            why = f"no circuit: the clean-corrupt gap {gap}{other}"
            return Located(nodes=nodes, roles=roles, edges=edges, why_not=why)
        found = Found(
            circuit=circuit,
            evaluation=stages.evaluation(at, ability, circuit),
            stability=stages.stability(at, ability, circuit),
            ablation=stages.ablation(at, ability, circuit),
            attention=stages.attention(at, ability, circuit),
        )
        return Located(nodes=nodes, roles=roles, edges=edges, found=found)

    def follow(self, at: At, step: int) -> Formation:
        """What the parts of a model's circuit do at one step of its run; computes also what is lost without them."""
        circuit, earlier = self.stages.circuit(at, self.ability), (at[0], step, at[2])
        follow = heads_to_follow(self.stages.roles(at), circuit)
        formed = self.stages.formation(earlier, self.ability, circuit, follow)
        self.stages.runs_without(earlier, self.ability, circuit, self._heads_by_role(at, circuit))
        return formed

    def depend(self, at: At) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What every step of a run loses without the parts of its last circuit, and from when on."""
        circuit = self.stages.circuit(at, self.ability)
        steps = self.grid.steps(at[0], at[2])
        return self.stages.dependence(at, self.ability, circuit, steps, self._heads_by_role(at, circuit))

    def compare(self, a: At, b: At) -> list[pd.DataFrame]:
        """Whether two models' circuits differ, by edges and by classes of edges; none where there are too few pairs."""
        if self.settings.n_pairs < FEWEST_TO_COMPARE:
            return []
        circuits = self.stages.circuit(a, self.ability), self.stages.circuit(b, self.ability)
        others = [self.grid.last_of(a[0], seed) for seed in self.grid.seeds(a[0]) if seed != a[2]]
        scale = Scale(self.ability.chance, self.ability.ceiling)
        able = [at for at in others if self._accuracy(at) > scale.threshold]
        return [self.stages.comparison(a, b, self.ability, circuits, level, seeds=able) for level in LEVELS]

    def tasks(self, circuits: Sequence[At]) -> dict[str, list[Key]]:
        """By stage, what it is called with, given the models that have a circuit; stages in their order."""
        return {
            "measure": [(at,) for at in self.grid.models],
            "locate": [(at,) for at in self.grid.last],
            "follow": [(at, step) for at in circuits for step in self.grid.steps(at[0], at[2])],
            "depend": [(at,) for at in circuits],
            "compare": [*pairwise(circuits)],
        }

    def missing(self, stage: str, keys: Sequence[Key]) -> Iterator[Key]:
        """Those of the keys of which something is not on disk yet."""
        reader = replace(self, read_only=True)
        for key in keys:
            try:
                getattr(reader, stage)(*key)
            except MissingCell:
                yield key

    def _accuracy(self, at: At) -> float:
        cell = self.stages.measure(at, self.ability)
        return float(cell[cell["metric"] == "accuracy"]["value"].mean())

    def _heads_by_role(self, at: At, circuit: Circuit) -> dict[str, list[str]]:
        """The circuit's heads that clear the untrained baseline, by role."""
        roles = self.stages.roles(at)
        held = roles[roles["clears_baseline"] & roles["node"].isin(circuit.heads)]
        return {str(role): own["node"].tolist() for role, own in held.groupby("role", sort=False)}
