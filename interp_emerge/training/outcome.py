"""Results of training a family: losses with their entropy floors, and the accuracy of every ability at every size.

Accuracies are measured on the checkpoints on disk, which are loaded like those of any family.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from interp_emerge.abilities import shelf
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.metrics import metrics_of_clean
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.families._disk.directory import DirectoryFamily
from interp_emerge.stats.intervals import mean_interval
from interp_emerge.training.corpus import KINDS
from interp_emerge.training.recipe import Recipe
from interp_emerge.training.trainer import LOSSES, is_grown, read_losses, run_directory

CLAIM, TIMES = "recipe.json", "training.json"
FLOOR_DOCUMENTS, FLOOR_SEED = 2000, 980_000
PAIRS = 500
"""Number of prompts for each ability."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """How many seconds the training took, with which device, threads and torch version."""

    seconds: float
    """The sum over all parts: a training that was interrupted and resumed has several."""
    device: str
    threads: int
    torch: str
    parts: tuple[float, ...] = ()
    """Seconds of each part; empty if an earlier version recorded the sum alone."""

    @classmethod
    def read(cls, directory: Path) -> "Times":
        found = json.loads((directory / TIMES).read_text())
        return cls(**{**found, "parts": tuple(found.get("parts", ()))})

    @property
    def took(self) -> str:
        """The minutes in words, and in how many parts, if in several."""
        whole = f"{self.seconds / 60:.1f} minutes"
        if len(self.parts) < 2:
            return whole
        *most, last = (f"{seconds / 60:.1f}" for seconds in self.parts)
        return f"{whole}, in {len(self.parts)} parts of {', '.join(most)} and {last}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Measurements of a trained family. Tables are tidy: one row for each thing measured."""

    recipe: Recipe
    times: Times
    sizes: pd.DataFrame
    """Columns `size`, `n_layers`, `d_model`, `n_heads`, `n_parameters`, `learning_rate`, `n_seeds`."""
    models: pd.DataFrame
    """Columns `size`, `seed`, `step`, `revision`."""
    losses: pd.DataFrame
    """Columns `size`, `seed`, `document`, `loss`, `floor`; the last two in nats per token."""
    abilities: pd.DataFrame
    """Columns `ability`, `chance`, `ceiling`, `control`, `never_emerges`."""
    accuracy: pd.DataFrame
    """Columns `size`, `seed`, `ability`, `accuracy`, `ci_low`, `ci_high`, `n_pairs`."""
    not_expressible: dict[str, str] = field(default_factory=dict)
    """Abilities whose prompts the tokenizer cannot express, with the reason."""

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON values; each table becomes a list of rows."""
        tables = ("sizes", "models", "losses", "abilities", "accuracy")
        rows = {name: getattr(self, name).to_dict("records") for name in tables}
        return {
            "recipe": self.recipe.hash,
            "times": asdict(self.times),
            "not_expressible": self.not_expressible,
            **rows,
        }


def measure_outcome(directory: Path, recipe: Recipe) -> Outcome:
    """Read and measure a family whose training is complete.

    Raises:
        InputError: the directory contains a family of another recipe, or one whose training is incomplete.
        ModelError: a checkpoint is damaged.
    """
    times = _read_times(directory, recipe)
    family = DirectoryFamily(directory, name=recipe.name)
    prompts = _Prompts()
    parameters: dict[str, int] = {}
    models, measured = [], []
    for size in recipe.sizes:
        for seed in range(size.n_seeds):
            model = family.load(size.name, recipe.n_steps, seed)
            parameters[size.name] = model.n_parameters
            models.append((size.name, seed, recipe.n_steps, model.spec.revision))
            measured += [(size.name, seed, *row) for row in _measure(model, prompts)]
    table = pd.DataFrame(measured, columns=["size", "seed", "ability", "accuracy", "ci_low", "ci_high", "n_pairs"])
    return Outcome(
        recipe=recipe,
        times=times,
        sizes=_shapes(recipe, parameters),
        models=pd.DataFrame(models, columns=["size", "seed", "step", "revision"]),
        losses=_final_losses(directory, recipe),
        abilities=_verdicts(table),
        accuracy=table,
        not_expressible=prompts.refused,
    )


def entropy_floors() -> dict[str, float]:
    """Entropy floor of each kind of document, nats per token, estimated over `FLOOR_DOCUMENTS` documents."""
    return {
        kind: write(np.random.default_rng([FLOOR_SEED, index]), FLOOR_DOCUMENTS).floor
        for index, (kind, write) in enumerate(KINDS.items())
    }


def learnt() -> list[Ability]:
    """The abilities that a model of the miniature language can learn."""
    return [ability for ability in shelf if ability.language in ("miniature", "")]


class _Prompts:
    """The prompts of every ability, drawn for the first model only, since all models of a family share a tokenizer."""

    def __init__(self) -> None:
        self.pairs: dict[str, PromptPairs] = {}
        self.refused: dict[str, str] = {}

    def get(self, ability: Ability, model: HookedModel) -> PromptPairs | None:
        if ability.name not in {**self.pairs, **self.refused}:
            try:
                self.pairs[ability.name] = ability.sample(model, PAIRS)
            except InputError as error:
                self.refused[ability.name] = str(error)
        return self.pairs.get(ability.name)


@torch.no_grad()
def _measure(model: HookedModel, prompts: _Prompts) -> list[tuple[str, float, float, float, int]]:
    """One row for each ability: name, accuracy, lower and upper end of its interval, number of prompts."""
    rows = []
    for ability in learnt():
        pairs = prompts.get(ability, model)
        if pairs is not None:
            interval = mean_interval(metrics_of_clean(model, pairs, ["accuracy"])["accuracy"], share=True)
            rows.append((ability.name, interval.value, interval.low, interval.high, len(pairs)))
    return rows


def _shapes(recipe: Recipe, parameters: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (s.name, s.n_layers, s.d_model, s.n_heads, parameters[s.name], s.learning_rate, s.n_seeds)
            for s in recipe.sizes
        ],
        columns=["size", "n_layers", "d_model", "n_heads", "n_parameters", "learning_rate", "n_seeds"],
    )


def _verdicts(measured: pd.DataFrame) -> pd.DataFrame:
    """One row for each ability, with its chance level.

    `never_emerges` is True if in every model the upper end of the interval is below half-way from chance to ceiling.
    """
    highest = measured.groupby("ability")["ci_high"].max()
    abilities = [ability for ability in learnt() if ability.name in highest]
    return pd.DataFrame(
        [
            (a.name, a.chance, a.ceiling, a.control, bool(highest[a.name] < (a.chance + a.ceiling) / 2))
            for a in abilities
        ],
        columns=["ability", "chance", "ceiling", "control", "never_emerges"],
    )


def _final_losses(directory: Path, recipe: Recipe) -> pd.DataFrame:
    frame = read_losses(directory)
    last = frame[frame["step"] == recipe.n_steps].assign(floor=frame["document"].map(entropy_floors()))
    place = {size.name: index for index, size in enumerate(recipe.sizes)}
    last = last.assign(place=last["size"].map(place)).sort_values(["place", "seed"], kind="stable")
    return last[["size", "seed", "document", "loss", "floor"]].reset_index(drop=True)


def _read_times(directory: Path, recipe: Recipe) -> Times:
    """The recorded times of the training, after a check that the family is complete."""
    claim = directory / CLAIM
    if not claim.is_file() or json.loads(claim.read_text()).get("hash") != recipe.hash:
        raise InputError(f"{directory} contains no family of recipe {recipe.name!r} ({recipe.hash}); train it first")
    for size in recipe.sizes:
        for seed in range(size.n_seeds):
            if not is_grown(recipe, run_directory(directory, size.name, seed)):
                raise InputError(f"the training of size {size.name}, seed {seed}, in {directory} is incomplete; "
                                 f"`interp-emerge train {recipe.name}` continues it")  # fmt: skip
    for name in (TIMES, LOSSES):
        if not (directory / name).is_file():
            raise InputError(f"{directory} lacks {name}, which `interp-emerge train {recipe.name}` writes")
    return Times.read(directory)
