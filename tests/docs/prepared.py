"""What examples take as given, such as `model` and `pairs`, each made when it is first asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import interp_emerge as ie
from interp_emerge.training.growing import _claim
from tests import studies

forming, sameness, scale = ie.emergence.forming, ie.emergence.sameness, ie.emergence.scale
ROLES = ["induction", "previous_token"]
SIZES = ("3k", "5k", "7k", "14k", "25k")


class Prepared(dict[str, Any]):
    """Small things of the bundled family, by the names that examples have for them."""

    def __init__(self, made_once: studies.MadeOnce) -> None:
        super().__init__(ie=ie, np=np, pd=pd, Path=Path)
        self.made_once = made_once

    def __missing__(self, name: str) -> Any:
        self[name] = MAKE[name](self)
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in MAKE or super().__contains__(name)


def study(have: Prepared) -> ie.Study:
    return ie.Study(out=str(have.made_once("small study", studies.small_study)), **studies.SETTINGS)


def measured(have: Prepared) -> pd.DataFrame:
    return ie.measure_grid(have["family"], [have["ability"]], models=[(size, "last", 0) for size in SIZES], n=24)


def hf_model(have: Prepared) -> Any:
    from transformers import AutoModelForCausalLM

    spec = have["model"].spec
    return AutoModelForCausalLM.from_pretrained(have["family"].root / spec.location)


def tokenizer(have: Prepared) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(have["family"].root)


def training(have: Prepared) -> pd.DataFrame:
    return forming.in_context_over_training(have["family"], "3k", steps=[0, 100, 500, 1000, 2000, 5000], draws=1)


def names(have: Prepared) -> ie.PromptPairs:
    """Pairs whose names are variables, for probes."""
    return ie.load_ability("indirect_object").sample(have["model"], n=64)


def answers(have: Prepared) -> Any:
    """Answers of several tokens at five sizes."""

    def ask(model: ie.HookedModel) -> ie.PromptPairs:
        return have["ability"].sample(model, 16)

    models = [(size, "last", 0) for size in SIZES]
    return scale.continuations.several_tokens_grid(have["family"], ask, ability="induction", chance=0.05, models=models)


def sums(have: Prepared) -> Path:
    """A directory in which a family is about to be grown."""
    recipe = ie.training.load_recipe("grokking")
    return have.made_once("sums", lambda directory: directory.mkdir() or _claim(directory, recipe))


def drawn(have: Prepared) -> np.ndarray:
    """The metric of random circuits, shape [circuit, pair]."""
    masks = ie.circuits.running.random_circuits(have["model"].graph, 12, 10)
    return np.stack([have["runs"].evaluate(have["circuit"].with_kept(mask)).metric for mask in masks])


def features(model: str, circuit: str, table: str) -> Callable[[Prepared], Any]:
    """What the heads of a model do."""
    return lambda have: sameness.head_features(have[model], have[circuit], roles=ROLES, table=have[table])


def smaller_circuit(have: Prepared) -> ie.Circuit:
    small = have["smaller"]
    return ie.score(small, have["ability"].sample(small, n=16, seed=0), method="eap").top(12)


MAKE: dict[str, Callable[[Prepared], Any]] = {
    "family": lambda have: ie.load_family("miniature"),
    "ability": lambda have: ie.load_ability("induction"),
    "model": lambda have: have["family"].load("25k"),
    "smaller": lambda have: have["family"].load("14k"),
    "hf_model": hf_model,
    "tokenizer": tokenizer,
    "pairs": lambda have: have["ability"].sample(have["model"], n=16, seed=0),
    "held_out": lambda have: have["ability"].sample(have["model"], n=16, seed=1),
    "names": names,
    "scores": lambda have: ie.score(have["model"], have["pairs"], steps=2),
    "held_out_scores": lambda have: ie.score(have["model"], have["held_out"], steps=2),
    "heads": lambda have: ie.score(have["model"], have["pairs"], method="attribution_patching"),
    "circuit": lambda have: have["scores"].top(12),
    "other": lambda have: have["held_out_scores"].top(12),
    "runs": lambda have: ie.Runs(have["model"], have["held_out"]),
    "result": lambda have: have["runs"].evaluate(have["circuit"]),
    "without": lambda have: have["runs"].evaluate(have["circuit"].complement()),
    "drawn": drawn,
    "known": lambda have: ie.circuits.ground_truth("induction_distractors", n=16),
    "table": lambda have: ie.role_table(have["model"], roles=ROLES),
    "smaller_table": lambda have: ie.role_table(have["smaller"], roles=ROLES),
    "smaller_circuit": smaller_circuit,
    "features": features("model", "circuit", "table"),
    "smaller_features": features("smaller", "smaller_circuit", "smaller_table"),
    "match": lambda have: sameness.match_heads(have["features"], have["smaller_features"]),
    "answers": answers,
    "measured": measured,
    "ladder": lambda have: scale.Ladder.from_frame(have["measured"], have["ability"], family=have["family"]),
    "training": training,
    "sums": sums,
    "study": study,
}
"""How each is made from the others."""
