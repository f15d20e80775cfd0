"""Hold two circuits against each other: the edges that they share, against chance, and each in the other's model.

1. `circuits.overlap`: shared edges and nodes beside those of random circuits of the same sizes. Two wholly accurate
   circuits can share few edges, so that is not all.
2. `transfer`: each circuit run in the models of both, on prompts that neither was found on. A circuit that is faithful
   where it was not found does the same there, whatever edges it shares. For models in memory call `transfer` itself.

Graphs of two shapes have no common edges. Then sizes and depths stand beside each other.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from interp_emerge.abilities import load_ability
from interp_emerge.abilities.metrics import METRICS
from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.circuits.overlap import overlap, relative_sizes
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, InterpEmergeError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.transfer import transfer
from interp_emerge.families import load_family
from interp_emerge.patching.ablation import ABLATIONS
from interp_emerge.stats.intervals import Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What two circuits have in common: sentences, and tables by name."""

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
    n_random: int = 1000,
    seed: int = 0,
    budget: int | None = None,
    device: str = "",
) -> Comparison:
    """Two circuits beside each other.

    Args:
        a: a circuit.
        b: another.
        names: what to call them.
        models: whether to load both models and run each circuit in both, where the graphs have one shape.
        family: a family that both models are loaded from, instead of the one that each circuit's origin names.
        ability: what both run on, instead of the ability that each circuit's origin names.
        n: prompt pairs to run on.
        n_random: random circuits to compare with.
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
        sentence = f"{names[0]} and {names[1]} belong to graphs of two shapes, which have no edges in common to count."
        return Comparison(sentences=[sentence], tables=tables)
    shared = overlap(a, b, n_random=n_random, seed=seed)
    sentences, tables = [f"{names[0]} and {names[1]} {shared.sentence}."], tables | {"overlap": shared.to_frame()}
    rows: list[pd.DataFrame] = []
    for condition in dict.fromkeys(_condition(circuit, ability) for circuit in (a, b)) if models else ():
        try:
            model = model_of(condition.circuit, family=family, device=device)
            asked = load_ability(_said(condition.circuit, "ability") if ability is None else ability)
            pairs = asked.sample(model, n, EVALUATION + seed)
        except InterpEmergeError as error:
            sentences.append(f"The circuits were not run in {condition.model}: {str(error).rstrip('.')}.")
            continue
        how = {"metric": condition.metric, "ablation": condition.ablation, "budget": budget}
        found = transfer(dict(zip(names, (a, b), strict=True)), model, pairs, **how)
        rows.append(found)
        sentences += _told(found)
        sentences += [
            f"{name} was found on just these prompts."
            for name, circuit in zip(names, (a, b), strict=True)
            if circuit.origin.get("prompts") == pairs.fingerprint
        ]
    if rows:
        tables["transfer"] = pd.concat(rows, ignore_index=True)
    return Comparison(sentences=sentences, tables=tables)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """Where and how circuits are run; circuits of one model, ability, metric and ablation make one condition."""

    model: str
    ability: str
    metric: str
    ablation: str
    circuit: Circuit = field(compare=False)


def _condition(circuit: Circuit, ability: str | None) -> _Condition:
    spec = circuit.origin.get("model")
    named = "/".join(f"{spec.get(key)}" for key in ("family", "size", "step", "seed")) if isinstance(spec, dict) else ""
    return _Condition(
        model=named or "a model that is not named",
        ability=ability or str(circuit.origin.get("ability", "")),
        metric=_metric(circuit),
        ablation=_ablation(circuit),
        circuit=circuit,
    )


def model_of(circuit: Circuit, *, family: str | None = None, device: str = "") -> HookedModel:
    """The model that a circuit says it was found in, loaded again.

    Raises:
        InputError: the circuit does not say, or the weights of that name are others now.
        UnknownNameError: there is no such family, size, step or seed.
    """
    spec = circuit.origin.get("model")
    if not isinstance(spec, dict) or not {"family", "size", "step", "seed"} <= {*spec}:
        raise InputError("the circuit does not say in which model it was found")
    first: Any = spec.get("prepended")  # as it was written, empty for nothing; None in older files
    place: dict[str, Any] = {"device": device, "prepend_bos": first}
    model = load_family(family or spec["family"]).load(spec["size"], spec["step"], spec["seed"], **place)
    if spec.get("revision") not in (None, "", model.spec.revision):
        raise InputError(
            f"{model.spec} has other weights ({model.spec.revision}) than those it was found in ({spec['revision']})"
        )
    return model


def _told(found: pd.DataFrame) -> list[str]:
    said = []
    for row in found.to_dict("records"):
        kept = f"keeps {Interval.of(row, 'faithfulness', 'ci')} of the gap"
        undefined = f"has no defined faithfulness: {row['note']}"
        where = f"In {row['model']} on {row['ability'] or 'the pairs given'}"
        said.append(f"{where}, {row['circuit']} {undefined if pd.isna(row['faithfulness']) else kept}.")
    return said


def _said(circuit: Circuit, what: str) -> str:
    value = circuit.origin.get(what)
    if not isinstance(value, str):
        raise InputError(f"the circuit names no {what}; give one")
    return value


def _metric(circuit: Circuit) -> str:
    metric = circuit.origin.get("metric")
    return metric if metric in METRICS.names() else "logit_diff"


def _ablation(circuit: Circuit) -> str:
    ablation = circuit.origin.get("ablation")
    return ablation if ablation in ABLATIONS else "resample"
