"""What the stages of a study returned, and the tidy tables made of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.tables import SCHEMAS
from interp_emerge.emergence.formation import summarise_formation
from interp_emerge.emergence.jump_table import jump_table
from interp_emerge.emergence.measuring import summarise
from interp_emerge.emergence.onset import Scale
from interp_emerge.emergence.onset_table import ability_onsets, order_table, role_onsets
from interp_emerge.emergence.seeds import success_by_size
from interp_emerge.sweeps.stages import At


@dataclass
class Results:
    """Cells by the model that they were computed on."""

    ability: Ability
    abilities: Sequence[Ability]
    method: str
    metric: str
    target: float
    n_random: int
    sizes: Sequence[str]
    measured: dict[tuple[At, str], pd.DataFrame] = field(default_factory=dict)
    described: dict[At, tuple[int, float]] = field(default_factory=dict)
    nodes: dict[At, pd.DataFrame] = field(default_factory=dict)
    edges: dict[tuple[At, str], pd.DataFrame] = field(default_factory=dict)
    roles: dict[At, pd.DataFrame] = field(default_factory=dict)
    circuits: dict[At, Circuit] = field(default_factory=dict)
    evaluations: dict[At, pd.DataFrame] = field(default_factory=dict)
    stabilities: dict[At, pd.DataFrame] = field(default_factory=dict)
    ablations: dict[At, pd.DataFrame] = field(default_factory=dict)
    formation: dict[At, dict[int, pd.DataFrame]] = field(default_factory=dict)
    """For each model with a circuit, the formation of that circuit by step."""
    dependence: dict[At, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    """For each model with a circuit, what its checkpoints lose without it, and from when on."""
    comparisons: dict[tuple[At, At], list[pd.DataFrame]] = field(default_factory=dict)
    """For neighbouring sizes with a circuit, whether the circuits differ: by edges, and by classes of edges."""
    without: dict[At, str] = field(default_factory=dict)
    """For each last-step model without a circuit, why there is none."""

    def accuracy(self, at: At, ability: str) -> np.ndarray:
        """Whether each prompt was answered right, shape [prompt]."""
        cell = self.measured[at, ability]
        return cell[cell["metric"] == "accuracy"]["value"].to_numpy()

    def has_ability(self, at: At) -> bool:
        """Whether a model's accuracy is above half-way from chance to the ceiling."""
        scale = Scale(self.ability.chance, self.ability.ceiling)
        return bool(self.accuracy(at, self.ability.name).mean() > scale.threshold)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the study, by name."""
        made = {
            "ability": self._ability(),
            "node_scores": self._stack(self.nodes.items(), method="activation_patching", metric=self.metric),
            "edge_scores": pd.concat(
                [
                    self._stack([(at, cell)], method=method, metric=self.metric)
                    for (at, method), cell in self.edges.items()
                ]
            )
            if self.edges
            else pd.DataFrame(),
            "circuits": self._circuits(),
            "circuit_edges": self._stack((at, circuit.to_frame()) for at, circuit in self.circuits.items()),
            "roles": self._stack((at, self._placed(at, cell)) for at, cell in self.roles.items()),
            "formation": self._formation(),
            "onsets": self._onsets(),
            "jump": pd.concat([jump_table(self._prompts(one), one) for one in self.abilities], ignore_index=True),
            "seeds": pd.concat([self._seeds(ability) for ability in self.abilities], ignore_index=True),
            "order": self._order(),
            "dependence": self._over_training(0),
            "dependence_onsets": self._over_training(1),
            "comparisons": self._comparisons(),
            "ablation": self._stack(self.ablations.items()),
        }
        return {name: _shaped(frame, name) for name, frame in made.items()}

    def _stack(self, cells: Iterable[tuple[At, pd.DataFrame]], **constant: str) -> pd.DataFrame:
        """Cells below each other, each with its model and the ability in question."""
        parts = [
            cell.assign(size=at[0], step=at[1], seed=at[2], ability=self.ability.name, **constant) for at, cell in cells
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _ability(self) -> pd.DataFrame:
        by_name = {ability.name: ability for ability in self.abilities}
        parts = []
        for (at, name), cell in self.measured.items():
            n_parameters, loss = self.described[at]
            about = {"size": at[0], "step": at[1], "seed": at[2], "n_parameters": n_parameters, "loss": loss}
            ability = by_name[name]
            levels = {"control": ability.control, "chance": ability.chance, "ceiling": ability.ceiling}
            parts.append(summarise(cell).assign(**about, **levels))
        return pd.concat(parts, ignore_index=True)

    def _circuits(self) -> pd.DataFrame:
        rows = []
        for at, why in self.without.items():
            rows.append({**self._model(at), "verdict": why, "file": ""})
        for at, circuit in self.circuits.items():
            (judged,) = self.evaluations[at].join(self.stabilities[at]).to_dict("records")
            edges = {"n_edges": len(circuit), "n_graph_edges": circuit.graph.n_edges}
            share = {"edge_share": len(circuit) / circuit.graph.n_edges, "n_random": self.n_random}
            verdict = _judge(judged["faithfulness"], judged["ci_low"], judged["random_p95"], self.target)
            rows.append(
                {
                    **self._model(at),
                    **edges,
                    **share,
                    **judged,
                    "verdict": verdict,
                    "file": circuit_file(at, self.ability.name),
                }
            )
        rows.sort(key=lambda row: (self.sizes.index(row["size"]), row["seed"]))
        return pd.DataFrame(rows)

    def _model(self, at: At) -> dict[str, object]:
        about = {"size": at[0], "step": at[1], "seed": at[2], "ability": self.ability.name}
        return {**about, "method": self.method, "metric": self.metric}

    def _placed(self, at: At, roles: pd.DataFrame) -> pd.DataFrame:
        heads = self.circuits[at].heads if at in self.circuits else []
        return roles.assign(in_circuit=roles["node"].isin(heads))

    def _formation(self) -> pd.DataFrame:
        parts = []
        for (size, _, seed), by_step in self.formation.items():
            for step, cell in by_step.items():
                ability = summarise(self.measured[(size, step, seed), self.ability.name]).rename(
                    columns={"metric": "quantity"}
                )
                ability = ability[ability["quantity"].isin(["accuracy", "log_prob"])].assign(component="model")
                both = pd.concat([ability, summarise_formation(cell)], ignore_index=True)
                parts.append(both.assign(size=size, step=step, seed=seed, ability=self.ability.name))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _prompts(self, ability: Ability) -> pd.DataFrame:
        """Every metric of every prompt at the last step of each run, with what the model is."""
        last: dict[tuple[str, int], int] = {}
        for (size, step, seed), name in self.measured:
            if name == ability.name:
                last[size, seed] = max(step, last.get((size, seed), step))
        parts = []
        for (size, seed), step in last.items():
            n_parameters, loss = self.described[size, step, seed]
            about = {"size": size, "step": step, "seed": seed, "n_parameters": n_parameters, "loss": loss}
            parts.append(self.measured[(size, step, seed), ability.name].assign(**about))
        return pd.concat(parts, ignore_index=True)

    def _seeds(self, ability: Ability) -> pd.DataFrame:
        return success_by_size(self._prompts(ability), ability).assign(ability=ability.name)

    def _order(self) -> pd.DataFrame:
        parts = []
        for at, by_step in self.formation.items():
            if len(by_step) > 1:
                accuracy = {step: self.accuracy((at[0], step, at[2]), self.ability.name) for step in by_step}
                found = order_table(by_step, self.roles[at], accuracy, self.ability)
                parts.append(found.assign(size=at[0], seed=at[2], ability=self.ability.name))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _comparisons(self) -> pd.DataFrame:
        parts = [
            cell.assign(size_a=a[0], seed_a=a[2], size_b=b[0], seed_b=b[2], ability=self.ability.name)
            for (a, b), cells in self.comparisons.items()
            for cell in cells
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _over_training(self, which: int) -> pd.DataFrame:
        parts = [
            tables[which].assign(size=at[0], seed=at[2], ability=self.ability.name)
            for at, tables in self.dependence.items()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _onsets(self) -> pd.DataFrame:
        measured = {(*at, name): self.accuracy(at, name) for at, name in self.measured}
        rows = [row for ability in self.abilities for row in ability_onsets(measured, ability, self.sizes)]
        for at, by_step in self.formation.items():
            if len(by_step) > 1:
                rows += role_onsets(by_step, self.roles[at], self.ability.name, at[0])
        return pd.DataFrame(rows)


def circuit_file(at: At, ability: str) -> str:
    """Where a circuit's file lies in the study's directory."""
    return f"circuits/{ability}-{at[0]}-step{at[1]}-seed{at[2]}.json"


def _judge(faithfulness: float, low: float, random_p95: float, target: float) -> str:
    if np.isnan(faithfulness):
        return "undefined: the clean-corrupt gap is within noise"
    if low <= random_p95:
        return "no better than random circuits"
    short = "" if faithfulness >= target else f", but below the target of {target:g}"
    return f"faithful beyond random circuits{short}"


def _shaped(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame with its schema's columns; cells that a row has no value for stay empty."""
    return frame.reindex(columns=list(SCHEMAS[name].columns)).reset_index(drop=True)
