"""The ladder from logits to accuracy: continuous and thresholded metrics of the same runs, over an axis of scale.

The rungs lead down from the log-probability of the answer to its probability, its probability among the choices, and
whether it has the highest logit. Each rung discards some of the information in the logits. A score on a lower rung
correlates less with the scale of the model (Schaeffer et al., 2024, https://arxiv.org/abs/2406.04391).
`scale_correlation` measures these correlations.

1. `measure_ladder` computes every metric of `RUNGS` from one run over the prompts. `measure_grid` does so for many
   models.
2. `Ladder.from_frame` puts the models on an axis. Models that differ only in their seed make one point.
3. `Ladder.resample` draws prompts and seeds with replacement. If all points have the same number of prompts, they get
   the same draw of prompts. Models with the same tokenizer answer the same prompts, so in a difference between points
   the variation due to the choice of prompts partly cancels. Seeds are drawn separately for each point. The interval of
   a point with one seed is over prompts alone, so it is too narrow for a claim about models of that size.

Cost: one forward pass for each prompt, and resamples × prompts × 8 bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.measuring import held_out_loss
from interp_emerge.abilities.metrics import metrics_of_clean
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.showing import draw, html_of
from interp_emerge.emergence.scale.axes import Axis, load_axis, on_axis
from interp_emerge.families.base import Family
from interp_emerge.stats.intervals import Interval, mean_interval, percentile_interval
from interp_emerge.stats.one_sided import mean_over_runs
from interp_emerge.stats.ranks import spearman
from interp_emerge.stats.resampling import RESAMPLES, draw_weights, draw_weights_of_few

MODEL = ["size", "step", "seed"]
FEWEST_RESAMPLES = 100
"""The smallest number of bootstrap samples of a ladder."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One metric of the ladder: its unit, and whether it applies a threshold to the logits."""

    name: str
    unit: str
    kind: Literal["continuous", "thresholded"]
    summary: str

    @property
    def floored(self) -> bool:
        """Whether chance is the floor: a model that does not know better does not score certainly less."""
        return self.kind == "thresholded" or self.name == "prob"

    def chance(self, accuracy: float) -> float:
        """The metric of a model that guesses: it gives equal probabilities to 1 / accuracy answers."""
        log_chance = np.log(accuracy) if accuracy > 0 else -np.inf
        levels = {"log_prob": log_chance, "choice_prob": 0.5, "brier": -0.25, "logit_diff": 0.0}
        return float(levels.get(self.name, accuracy))

    def ceiling(self, accuracy: float) -> float:
        """The highest possible value; for accuracy, that of a perfect model; infinite for the logit difference."""
        levels = {"log_prob": 0.0, "brier": 0.0, "logit_diff": np.inf, "accuracy": accuracy}
        return float(levels.get(self.name, 1.0))


RUNGS = {
    rung.name: rung
    for rung in (
        Rung(name="log_prob", unit="nats", kind="continuous", summary="log-probability of the answer"),
        Rung(name="prob", unit="fraction", kind="continuous", summary="probability of the answer"),
        Rung(name="logit_diff", unit="nats", kind="continuous", summary="logit of the answer minus that of the foil"),
        Rung(name="choice_prob", unit="fraction", kind="continuous", summary="probability given answer or foil"),
        Rung(
            name="brier",
            unit="minus squared fraction",
            kind="continuous",
            summary="minus (1 − choice_prob)²; 0 is best",
        ),
        Rung(name="accuracy", unit="fraction", kind="thresholded", summary="whether the answer has the highest logit"),
    )
}
"""Metrics in the order of the ladder, all computed from the same logits."""


@checked
@torch.no_grad()
def measure_ladder(
    model: HookedModel, ability: Ability | Sequence[Ability], *, n: int = 128, seed: int = 0
) -> pd.DataFrame:
    """Every metric of the ladder, for each of `n` clean prompts of one or several abilities.

    Example:
        >>> table = ie.measure_ladder(model, ability, n=16)
        >>> table.groupby("metric")["value"].mean()

    Returns:
        Columns `ability`, `metric`, `pair`, `value` (in the unit of the rung).
    """
    parts = []
    for one in [ability] if isinstance(ability, Ability) else ability:
        pairs = one.sample(model, n, seed)
        for metric, values in metrics_of_clean(model, pairs, RUNGS).items():
            about = {"ability": one.name, "metric": metric, "pair": np.arange(len(pairs))}
            parts.append(pd.DataFrame({**about, "value": values}))
    return pd.concat(parts, ignore_index=True)


@checked
def measure_grid(
    family: Family,
    abilities: Sequence[Ability],
    *,
    models: Iterable[tuple[str, int | Literal["last"], int]] | None = None,
    n: int = 128,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric of the ladder for many models of a family, which are loaded one at a time.

    Example:
        >>> ie.measure_grid(family, [ability], models=[("3k", "last", 0), ("5k", 5000, 0)], n=16)

    Args:
        family: where the models come from.
        abilities: the abilities to measure.
        models: size, step and seed of each model; if left out, the last step of every size and seed.
        n: number of prompts of each ability.
        seed: seed of the prompts.

    Returns:
        Columns `size`, `step`, `seed`, `n_parameters`, `loss` (held-out, nats per token), and the columns of
        `measure_ladder`.
    """
    if models is None:
        models = [(size, "last", one) for size in family.sizes for one in family.seeds(size)]
    text, parts = family.held_out_text(), []
    for size, step, run in tqdm(list(models), desc="models", delay=2, leave=False):
        model = family.load(size, step, run)
        about = {"size": size, "step": model.spec.step, "seed": run, "n_parameters": model.n_parameters}
        measured = measure_ladder(model, abilities, n=n, seed=seed)
        parts.append(pd.DataFrame({**about, "loss": held_out_loss(model, text)}, index=measured.index).join(measured))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ladder:
    """One ability over an axis of scale, with points in ascending order of scale.

    `values` has an array for each point and seed: the metrics of every prompt, shape [pair, metric]. `chance` and
    `ceiling` are accuracies.

    Raises:
        InputError: there are no points, the places do not ascend, or the values have other shapes.
        UnknownNameError: a metric is not a rung of the ladder.
    """

    ability: str
    axis: Axis
    points: tuple[str, ...]
    places: np.ndarray
    """Where the points lie, in the axis's unit, shape [point]."""
    metrics: tuple[str, ...]
    values: tuple[tuple[np.ndarray, ...], ...]
    chance: float = 0.0
    ceiling: float = 1.0

    def __repr__(self) -> str:
        return f"Ladder({self.ability} over {self.axis.name}, {len(self.points)} points, {len(self.metrics)} metrics)"

    def __post_init__(self) -> None:
        if not len(self.points) == len(self.places) == len(self.values) > 0:
            raise InputError(
                f"a ladder needs one place and one set of values for each point, and at least one point; got "
                f"{len(self.points)} points, {len(self.places)} places and {len(self.values)} values"
            )
        for metric in self.metrics:
            if metric not in RUNGS:
                raise UnknownNameError("metric of a ladder", metric, RUNGS)
        if not np.isfinite(self.places).all() or (np.diff(self.coordinate) <= 0).any():
            raise InputError(f"the points of a ladder have to ascend in scale; these are at {self.places.tolist()}")
        if not 0 <= self.chance < self.ceiling <= 1:
            raise InputError(f"chance {self.chance:g} and ceiling {self.ceiling:g} of a ladder are accuracies; give "
                             "numbers from 0 to 1, the ceiling above chance")  # fmt: skip
        for point, seeds in zip(self.points, self.values, strict=True):
            if not seeds or any(run.ndim != 2 or run.shape[1] != len(self.metrics) or not len(run) for run in seeds):
                raise InputError(f"point {point!r} needs, for each seed, values of shape [pair, {len(self.metrics)}]")
            if not all(np.isfinite(run).all() for run in seeds):
                raise InputError(
                    f"point {point!r} has values that are not finite; leave these prompts or the point out"
                )

    @classmethod
    @checked
    def from_frame(
        cls, frame: pd.DataFrame, ability: Ability, *, axis: str = "parameters", family: Family | None = None
    ) -> "Ladder":
        """The ladder of an ability, from a table such as `measure_grid` returns. The table may lack some models.

        Raises:
            InputError: the ability is not in the table, models that differ in more than their seed have the same place,
                or a model lacks some values.
        """
        rows = frame[frame["ability"] == ability.name]
        if rows.empty:
            raise InputError(f"the table has no rows of ability {ability.name!r}; measure it first")
        models = rows.drop_duplicates(MODEL)
        models = models.assign(place=on_axis(models, axis, family=family))
        for place, here in models.groupby("place"):
            if len(kinds := (here["size"] + "/step" + here["step"].astype(str)).unique()) > 1:
                raise InputError(f"{kinds[0]} and {kinds[1]} share the place {place:g} on axis {axis!r}; take another "
                                 "axis, or models with different places on it")  # fmt: skip
        metrics = [name for name in RUNGS if name in set(rows["metric"])]
        runs = dict(iter(rows.groupby(MODEL, sort=False)))
        placed: dict[float, list[tuple[str, int, int]]] = {}
        for size, step, seed, place in models[[*MODEL, "place"]].itertuples(index=False):
            placed.setdefault(place, []).append((size, step, seed))
        order = sorted(placed, reverse=load_axis(axis).descending)
        return cls(
            ability=ability.name,
            axis=load_axis(axis),
            points=_labels([placed[place][0] for place in order]),
            places=np.array(order, dtype=np.float64),
            metrics=tuple(metrics),
            values=tuple(tuple(_by_metric(runs[key], metrics, key) for key in placed[place]) for place in order),
            chance=ability.chance,
            ceiling=ability.ceiling,
        )

    @property
    def coordinate(self) -> np.ndarray:
        """The places of the points as numbers that grow evenly with scale, shape [point]."""
        return self.axis.coordinate(self.places)

    @property
    def n_pairs(self) -> int:
        """The smallest number of prompts of any model."""
        return min(len(run) for seeds in self.values for run in seeds)

    def means(self) -> np.ndarray:
        """Means over the prompts of each seed and then over seeds, shape [point, metric]."""
        return np.stack([np.mean([run.mean(0) for run in seeds], axis=0) for seeds in self.values])

    def resample(self, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
        """The means in bootstrap samples of prompts and seeds, shape [resample, point, metric]."""
        if resamples < FEWEST_RESAMPLES:
            raise InputError(f"{resamples} bootstrap samples show no spread; give at least {FEWEST_RESAMPLES}")
        rng = np.random.default_rng(seed)
        counts = {len(run) for seeds in self.values for run in seeds}
        shared = draw_weights(rng, counts.pop(), resamples=resamples) if len(counts) == 1 else None
        drawn = []
        for seeds in self.values:
            of_runs = draw_weights_of_few(rng, len(seeds), resamples=resamples)
            prompts = [
                (draw_weights(rng, len(run), resamples=resamples) if shared is None else shared) @ run for run in seeds
            ]
            drawn.append(np.einsum("rs,srm->rm", of_runs, np.stack(prompts)))
        return np.stack(drawn, 1)

    def plot(self) -> Any:
        """Each metric over scale with its 95% intervals, a panel each: an altair chart that shows and saves itself."""
        titles = (f"{self.axis.name} (log scale)", "mean over prompts and seeds, in the metric's unit")
        about: dict[str, Any] = {"x": "place", "ends": ("ci_low", "ci_high"), "panel": "metric"}
        return draw("interval_lines", self.to_frame(), titles=titles, **about)

    def _repr_html_(self) -> str:
        return html_of(repr(self), self.to_frame())

    def to_frame(self) -> pd.DataFrame:
        """One row for each metric and point, with 95% intervals over prompts and seeds (`stats.one_sided`).

        Columns `ability`, `metric`, `kind`, `point`, `place` (in the axis's unit), `value`, `ci_low`, `ci_high`,
        `chance`, `ceiling`, `n_seeds`, `n_pairs`.
        """
        rows = []
        for column, metric in enumerate(self.metrics):
            rung = RUNGS[metric]
            levels = {"chance": rung.chance(self.chance), "ceiling": rung.ceiling(self.ceiling)}
            for row, point in enumerate(self.points):
                runs = [run[:, column] for run in self.values[row]]
                interval = mean_over_runs(runs, share=rung.kind == "thresholded")
                counts = {"n_seeds": len(self.values[row]), "n_pairs": min(map(len, self.values[row]))}
                about = {"ability": self.ability, "metric": metric, "kind": rung.kind, "point": point}
                found = interval.columns("value", "ci")
                rows.append({**about, "place": self.places[row], **found, **levels, **counts})
        return pd.DataFrame(rows)

    def column(self, metric: str) -> int:
        """The index of the column of `values` with this metric.

        Raises:
            UnknownNameError: the ladder lacks the metric.
        """
        if metric not in self.metrics:
            raise UnknownNameError("metric of the ladder", metric, self.metrics)
        return self.metrics.index(metric)


@checked
def scale_correlation(ladder: Ladder, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Spearman's correlation of each metric with scale, both for the mean over prompts and for single prompts.

    Only the ranks on the axis are used, so compute and its logarithm give the same result. If a prompt has the same
    value in all models, its correlation is undefined and it is left out. If the mean has the same value at all points,
    its correlation is undefined too.

    Example:
        >>> ie.emergence.scale.scale_correlation(ladder, resamples=100)

    Returns:
        Columns `metric`, `kind`, `correlation` (of the mean over prompts and seeds, one value for each point),
        `ci_low`, `ci_high`, `per_prompt` (correlation of a single prompt's values, one for each model; mean over
        prompts), `per_prompt_low`, `per_prompt_high`, `n_prompts` (number of prompts with a correlation), `n_points`;
        NaN where undefined.
    """
    means, drawn = ladder.means(), ladder.resample(seed=seed, resamples=resamples)
    rows = []
    models = np.repeat(ladder.coordinate, [len(seeds) for seeds in ladder.values])
    runs = [run for seeds in ladder.values for run in seeds]
    shared = len({len(run) for run in runs}) == 1
    for column, metric in enumerate(ladder.metrics):
        overall = _interval(_rank_correlation(ladder.coordinate, means[:, [column]]),
                          _rank_correlation(ladder.coordinate, drawn[:, :, column].T))  # fmt: skip
        each = _rank_correlation(models, np.stack([run[:, column] for run in runs])) if shared else np.empty(0)
        each = each[np.isfinite(each)]
        own = mean_interval(each) if len(each) else Interval.undefined()
        rows.append((metric, RUNGS[metric].kind, *overall, *astuple(own), len(each), len(ladder.points)))
    values = ["correlation", "ci_low", "ci_high", "per_prompt", "per_prompt_low", "per_prompt_high"]
    return pd.DataFrame(rows, columns=["metric", "kind", *values, "n_prompts", "n_points"])


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's correlation of x, shape [point], with each column of y, shape [column]; NaN for a constant column."""
    # Sums of the same values in different orders differ by rounding errors, but should have the same rank.
    return spearman(x, y.round(12).T)


def _interval(value: np.ndarray, resampled: np.ndarray) -> tuple[float, float, float]:
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value[0]) or not len(defined):
        return np.nan, np.nan, np.nan
    found = percentile_interval(float(value[0]), defined)
    return found.value, found.low, found.high


def _by_metric(rows: pd.DataFrame, metrics: list[str], key: tuple[str, int, int]) -> np.ndarray:
    if rows.duplicated(["pair", "metric"]).any():
        raise InputError(f"{key[0]}/step{key[1]}/seed{key[2]} is in the table twice; keep one measurement of it")
    wide = rows.pivot(index="pair", columns="metric", values="value").reindex(columns=metrics)
    if not np.isfinite(values := wide.to_numpy()).all():
        raise InputError(f"{key[0]}/step{key[1]}/seed{key[2]} lacks values of some prompts and metrics; measure it "
                         "again or leave it out")  # fmt: skip
    return values


def _labels(models: list[tuple[str, int, int]]) -> tuple[str, ...]:
    """Names of the points, made from the first model of each: the shortest kind of name that distinguishes them."""
    for name in ("{0}", "step {1}", "{0}, step {1}", "{0}, seed {2}", "{0}, step {1}, seed {2}"):
        if len(set(labels := [name.format(*model) for model in models])) == len(models):
            break
    return tuple(labels)
