"""What the stages of a study returned, and the tidy tables made of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.measuring import summarise
from interp_emerge.circuits.running.faithfulness import WITHIN_NOISE
from interp_emerge.emergence.forming.changepoints import loss_changes
from interp_emerge.emergence.forming.formation import Formation, summarise_formation, turnover
from interp_emerge.emergence.forming.onsets import ability_onsets, component_onsets, lag_table, order_table
from interp_emerge.emergence.scale.axes import FLOPS_PER_PARAMETER_AND_TOKEN
from interp_emerge.emergence.scale.jump_table import jump_table, ladder_table
from interp_emerge.emergence.scale.seeds import success_by_size
from interp_emerge.emergence.scale.trends import correlation_table, trend_table
from interp_emerge.families.base import Family
from interp_emerge.study.grid import At
from interp_emerge.study.work import Found, Located, Measured
from interp_emerge.tables.schemas import SCHEMAS


@dataclass
class Results:
    """What was computed, by the model that it was computed on."""

    family: Family
    ability: Ability
    abilities: Sequence[Ability]
    axis: str
    method: str
    metric: str
    target: float
    n_random: int
    sizes: Sequence[str]
    measured: dict[At, Measured] = field(default_factory=dict)
    located: dict[At, Located] = field(default_factory=dict)
    """For the last step of each size's first seed."""
    formation: dict[At, dict[int, Formation]] = field(default_factory=dict)
    """For each model with a circuit, the formation of that circuit by step."""
    dependence: dict[At, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    """For each model with a circuit, what its checkpoints lose without it, and from when on."""
    comparisons: dict[tuple[At, At], list[pd.DataFrame]] = field(default_factory=dict)
    """For neighbouring sizes with a circuit, whether the circuits differ: by edges, and by classes of edges."""

    @property
    def circuits(self) -> dict[At, Found]:
        """The models that have a circuit, with what was measured of it."""
        return {at: one.found for at, one in self.located.items() if one.found}

    def accuracy(self, at: At, ability: str) -> np.ndarray:
        """Whether each prompt was answered right, shape [prompt]."""
        cell = self.measured[at].abilities[ability]
        return cell[cell["metric"] == "accuracy"]["value"].to_numpy()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the study, by name."""
        made = {
            "ability": self._ability(),
            "node_scores": self._stack(
                ((at, one.nodes) for at, one in self.located.items()), method="activation_patching", metric=self.metric
            ),
            "edge_scores": self._stack(
                (
                    (at, cell.assign(method=method))
                    for at, one in self.located.items()
                    for method, cell in one.edges.items()
                ),
                metric=self.metric,
            ),
            "circuits": self._circuits(),
            "circuit_edges": self._stack((at, found.circuit.to_frame()) for at, found in self.circuits.items()),
            "roles": self._stack((at, _placed(one)) for at, one in self.located.items()),
            "formation": self._formation(),
            "onsets": self._onsets(),
            "ladder": self._over_scale(ladder_table),
            "jump": self._over_scale(jump_table),
            "trends": self._over_scale(trend_table),
            "correlations": self._over_scale(correlation_table),
            "seeds": pd.concat([self._seeds(ability) for ability in self.abilities], ignore_index=True),
            "order": self._against_ability(order_table),
            "lags": self._against_ability(lag_table),
            "loss_changes": loss_changes(self._losses()),
            "turnover": self._turnover(),
            "dependence": self._over_training(0),
            "dependence_onsets": self._over_training(1),
            "comparisons": self._comparisons(),
            "ablation": self._stack((at, found.ablation) for at, found in self.circuits.items()),
        }
        return {name: _shaped(frame, name) for name, frame in made.items()}

    def _stack(self, cells: Iterable[tuple[At, pd.DataFrame]], **constant: str) -> pd.DataFrame:
        """Cells below each other, each with its model and the ability in question."""
        parts = [
            cell.assign(size=at[0], step=at[1], seed=at[2], ability=self.ability.name, **constant) for at, cell in cells
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _ability(self) -> pd.DataFrame:
        parts = []
        for at, one in self.measured.items():
            seen = self.family.tokens(*at)
            tokens = np.nan if seen is None else float(seen)
            training = {"tokens": tokens, "flops": FLOPS_PER_PARAMETER_AND_TOKEN * one.n_parameters * tokens}
            for ability in self.abilities:
                levels = {"control": ability.control, "chance": ability.chance, "ceiling": ability.ceiling}
                summary = summarise(one.abilities[ability.name])
                parts.append(summary.assign(**self._about(at), **training, **levels))
        return pd.concat(parts, ignore_index=True)

    def _about(self, at: At) -> dict[str, Any]:
        """What a model is."""
        one = self.measured[at]
        return {"size": at[0], "step": at[1], "seed": at[2], "n_parameters": one.n_parameters, "loss": one.loss}

    def _circuits(self) -> pd.DataFrame:
        rows = []
        for at, one in self.located.items():
            if not one.found:
                rows.append({**self._model(at), "verdict": one.why_not, "file": ""})
        for at, found in self.circuits.items():
            circuit = found.circuit
            (judged,) = found.evaluation.join(found.stability).to_dict("records")
            edges = {"n_edges": len(circuit), "n_graph_edges": circuit.graph.n_edges}
            share = {"edge_share": len(circuit) / circuit.graph.n_edges, "n_random": self.n_random}
            # Cells of earlier versions do not say why.
            why = judged.get("why_undefined") or WITHIN_NOISE
            verdict = _judge(judged["faithfulness"], judged["ci_low"], judged["random_p95"], self.target, why)
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

    def _formation(self) -> pd.DataFrame:
        parts = []
        for (size, _, seed), by_step in self.formation.items():
            for step, one in by_step.items():
                measured = self.measured[size, step, seed].abilities[self.ability.name]
                ability = summarise(measured).rename(columns={"metric": "quantity"})
                ability = ability[ability["quantity"].isin(["accuracy", "log_prob"])].assign(component="model")
                both = pd.concat([ability, summarise_formation(one.parts)], ignore_index=True)
                parts.append(both.assign(size=size, step=step, seed=seed, ability=self.ability.name))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _prompts(self, ability: Ability) -> pd.DataFrame:
        """Every metric of every prompt at the last step of each run, with what the model is."""
        last: dict[tuple[str, int], int] = {}
        for size, step, seed in self.measured:
            last[size, seed] = max(step, last.get((size, seed), step))
        models = [(size, step, seed) for (size, seed), step in last.items()]
        parts = [self.measured[at].abilities[ability.name].assign(**self._about(at)) for at in models]
        return pd.concat(parts, ignore_index=True)

    def _over_scale(self, table: Callable[..., pd.DataFrame]) -> pd.DataFrame:
        """A table on the study's axis of scale, the rows of each ability below those of the one before.

        Over parameters a run that ended early counts as its size, as it does in the onsets: at the size's last step.
        """
        parts = []
        for one in self.abilities:
            prompts = self._prompts(one)
            if self.axis == "parameters":
                prompts["step"] = prompts.groupby("size")["step"].transform("max")
            parts.append(table(prompts, one, axis=self.axis, family=self.family))
        return pd.concat(parts, ignore_index=True)

    def _seeds(self, ability: Ability) -> pd.DataFrame:
        return success_by_size(self._prompts(ability), ability).assign(ability=ability.name)

    def _against_ability(self, table: Callable[..., pd.DataFrame]) -> pd.DataFrame:
        """A table of each run's parts and its ability over steps, each run below the one before."""
        parts = []
        for at, by_step in self.formation.items():
            if len(by_step) > 1:
                accuracy = {step: self.accuracy((at[0], step, at[2]), self.ability.name) for step in by_step}
                found = table(_parts(by_step), self.located[at].roles, accuracy, self.ability)
                parts.append(found.assign(size=at[0], seed=at[2], ability=self.ability.name))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _losses(self) -> pd.DataFrame:
        """Held-out loss of every model."""
        return pd.DataFrame([self._about(at) for at in self.measured])

    def _turnover(self) -> pd.DataFrame:
        parts = [
            turnover(by_step, self.circuits[at].circuit).assign(size=at[0], seed=at[2], ability=self.ability.name)
            for at, by_step in self.formation.items()
        ]
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
        names = [ability.name for ability in self.abilities]
        measured = {(*at, name): self.accuracy(at, name) for at in self.measured for name in names}
        rows = [row for ability in self.abilities for row in ability_onsets(measured, ability, self.sizes)]
        for at, by_step in self.formation.items():
            if len(by_step) > 1:
                rows += component_onsets(_parts(by_step), self.located[at].roles, self.ability.name, at[0])
        return pd.DataFrame(rows)


def circuit_file(at: At, ability: str) -> str:
    """Where a circuit's file lies in the study's directory."""
    return f"circuits/{ability}-{at[0]}-step{at[1]}-seed{at[2]}.json"


def _parts(by_step: Mapping[int, Formation]) -> dict[int, pd.DataFrame]:
    return {step: one.parts for step, one in by_step.items()}


def _placed(one: Located) -> pd.DataFrame:
    """Roles of a model's heads, with whether its circuit holds them."""
    heads = one.found.circuit.heads if one.found else []
    return one.roles.assign(in_circuit=one.roles["node"].isin(heads))


def _judge(faithfulness: float, low: float, random_p95: float, target: float, why_undefined: str) -> str:
    if np.isnan(faithfulness):
        return f"undefined: the clean-corrupt gap {why_undefined}"
    if low <= random_p95:
        return "no better than random circuits"
    short = "" if faithfulness >= target else f", but below the target of {target:g}"
    return f"faithful beyond random circuits{short}"


def _shaped(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame with its schema's columns; cells that a row has no value for stay empty."""
    return frame.reindex(columns=list(SCHEMAS[name].columns)).reset_index(drop=True)
