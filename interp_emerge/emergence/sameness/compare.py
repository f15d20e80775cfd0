"""Two circuits compared: the edges they share, more than by chance or not, and each circuit run in both models.

1. `circuits.overlap`: shared edges and nodes, compared with those of random circuits of the same sizes. Two circuits
   can both be faithful and share few edges, so the second comparison is needed as well.
2. `transfer`: each circuit run in the models of both, on prompts that neither was found on. A circuit that is faithful
   in the other model does the same there, however few edges the two share. The models are loaded again from the
   circuits' files. For models in memory call `transfer` directly.

Graphs of different shapes have no edges in common. For these only sizes and depths are compared.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from interp_emerge.abilities import load_ability
from interp_emerge.abilities.metrics import METRICS
from interp_emerge.abilities.prompts import EVALUATION, split_of
from interp_emerge.circuits.overlap import DRAWS, overlap, relative_sizes
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, InterpEmergeError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.emergence.sameness.transfer import transfer
from interp_emerge.families import load_family
from interp_emerge.patching.ablation import ABLATIONS
from interp_emerge.stats.intervals import Interval

SHOWN = [
    *("circuit", "model", "ability", "metric", "ablation"),
    *("faithfulness", "ci_low", "ci_high", "accuracy", "note"),
]
"""Columns of `transfer` in the comparison. The circuits are compared with each other here, not with random ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison(Record):
    """How two circuits compare: sentences, and tables by name."""

    sentences: list[str]
    tables: dict[str, pd.DataFrame]

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    @property
    def shown(self) -> dict[str, pd.DataFrame]:
        """The tables."""
        return self.tables

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        tables = {name: json.loads(table.to_json(orient="records")) for name, table in self.tables.items()}
        return {"sentences": self.sentences, **tables}


@checked
def compare(
    a: Circuit,
    b: Circuit,
    *,
    names: tuple[str, str] = ("a", "b"),
    models: bool = True,
    family: str | None = None,
    ability: str | None = None,
    n: int = 64,
    n_random: int = DRAWS,
    seed: int = 0,
    budget: int | None = None,
    device: str = "",
) -> Comparison:
    """How two circuits compare, in sentences and tables.

    Example:
        >>> print(ie.compare(circuit, other, models=False))

    Args:
        a: a circuit.
        b: another.
        names: labels of the two circuits.
        models: whether to load both models and run each circuit in both; only for graphs of one shape.
        family: a family that both models are loaded from, instead of the one that each circuit's origin names.
        ability: the ability that both are run on, instead of the one that each circuit's origin names.
        n: prompt pairs to run on.
        n_random: pairs of random circuits of each kind to compare with.
        seed: of prompts and random circuits.
        budget: bytes to work in; by default a constant for the kind of device.
        device: where models run; empty means a GPU if there is one.

    Raises:
        UnknownNameError: there is no such family or ability.
    """
    if ability is not None:
        load_ability(ability)
    if family is not None:
        load_family(family)
    tables = {"sizes": relative_sizes(a, b).replace({"circuit": {"a": names[0], "b": names[1]}})}
    if a.graph != b.graph:
        sentence = f"{names[0]} and {names[1]} belong to graphs of different shapes, so they have no edges in common."
        return Comparison(sentences=[sentence], tables=tables)
    shared = overlap(a, b, n_random=n_random, seed=seed)
    sentences, tables = [f"{names[0]} and {names[1]} {shared.sentence}."], tables | {"overlap": shared.to_frame()}
    rows: list[pd.DataFrame] = []
    for condition in dict.fromkeys(_condition(circuit, ability) for circuit in (a, b)) if models else ():
        try:
            model = model_of(condition.circuit, family=family, device=device)
            of = load_ability(_required(condition.circuit, "ability") if ability is None else ability)
            pairs = of.sample(model, n, EVALUATION + seed, split=split_of(of, EVALUATION))
        except InterpEmergeError as error:
            sentences.append(f"The circuits were not run in {condition.model}: {str(error).rstrip('.')}.")
            continue
        labelled = dict(zip(names, (a, b), strict=True))
        for name, circuit in labelled.items():
            model.require_graph(circuit.graph, f"circuit {name} was found")
        how = {"metric": condition.metric, "ablation": condition.ablation, "budget": budget, "n_random": 0}
        found = transfer(labelled, model, pairs, **how)
        rows.append(found[SHOWN])
        sentences += _sentences(found)
        sentences += [
            f"{name} was found on these same prompts."
            for name, circuit in labelled.items()
            if circuit.origin.get("prompts") == pairs.fingerprint
        ]
    if rows:
        tables["transfer"] = pd.concat(rows, ignore_index=True)
    return Comparison(sentences=sentences, tables=tables)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """Where and how circuits are run. Circuits with the same model, ability, metric and ablation share a condition."""

    model: str
    ability: str
    metric: str
    ablation: str
    circuit: Circuit = field(compare=False)


def _condition(circuit: Circuit, ability: str | None) -> _Condition:
    spec = circuit.origin.get("model")
    named = "/".join(f"{spec.get(key)}" for key in ("family", "size", "step", "seed")) if isinstance(spec, dict) else ""
    return _Condition(
        model=named or "an unnamed model",
        ability=ability or str(circuit.origin.get("ability", "")),
        metric=_metric(circuit),
        ablation=_ablation(circuit),
        circuit=circuit,
    )


def model_of(circuit: Circuit, *, family: str | None = None, device: str = "") -> HookedModel:
    """The model that a circuit was found in, loaded again by the name in the circuit's origin.

    Raises:
        InputError: the origin names no model, or the model of that name has other weights now.
        UnknownNameError: there is no such family, size, step or seed.
    """
    spec = circuit.origin.get("model")
    if not isinstance(spec, dict) or not {"family", "size", "step", "seed"} <= {*spec}:
        raise InputError("the circuit's origin does not name the model that it was found in")
    prepended: Any = spec.get("prepended")  # empty if nothing was prepended; older files hold None
    options: dict[str, Any] = {"device": device, "prepend_bos": prepended}
    model = load_family(family or spec["family"]).load(spec["size"], spec["step"], spec["seed"], **options)
    if spec.get("revision") not in (None, "", model.spec.revision):
        raise InputError(
            f"{model.spec} now has other weights ({model.spec.revision}) than those the circuit was found in "
            f"({spec['revision']})"
        )
    return model


def _sentences(found: pd.DataFrame) -> list[str]:
    """For each circuit what it keeps of the gap, or why that is undefined."""
    sentences = []
    for row in found.to_dict("records"):
        place = f"In {row['model']} on {row['ability'] or 'the pairs given'}"
        if pd.isna(row["faithfulness"]):
            sentences.append(f"{place}, the faithfulness of {row['circuit']} is {row['note']}.")
        else:
            sentences.append(f"{place}, {row['circuit']} keeps {Interval.of(row, 'faithfulness', 'ci')} of the gap.")
    return sentences


def _required(circuit: Circuit, key: str) -> str:
    value = circuit.origin.get(key)
    if not isinstance(value, str):
        raise InputError(f"the circuit's origin names no {key}; give one")
    return value


def _metric(circuit: Circuit) -> str:
    metric = circuit.origin.get("metric")
    return metric if metric in METRICS.names() else "logit_diff"


def _ablation(circuit: Circuit) -> str:
    ablation = circuit.origin.get("ablation")
    return ablation if ablation in ABLATIONS else "resample"
