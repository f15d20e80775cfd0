"""Whether exact match of several tokens jumps because the model does, or only because all tokens have to be correct.

If each token is correct with probability p, exact match over L tokens is about p^L. It stays near 0 for long and then
rises steeply, even where p rises smoothly (Schaeffer et al., 2023, https://arxiv.org/abs/2304.15004).

1. `several_tokens_grid` runs the prompts on many models of a family and puts the models on an axis of scale. Models
   that differ only in their seed make one point.
2. `TokenLadder.to_frame` compares exact match at each point with its value for independent tokens. Powers and products
   are computed for each training run and then averaged: if runs differ, the power of the mean is not the mean of the
   powers.
3. `several_tokens_check` applies the rule of `mirage.judge`: does the log-probability of a token (mean over positions,
   nats) jump as exact match does? The accuracy of a token can be used instead. It is linear in p, but it has a
   threshold at each token, so the log-probability is the default.
4. `sampled_rates` measures rates far below 1/N for N prompts, where exact match is 0.

Intervals are over prompts and seeds, as in `Ladder.resample`: prompts are drawn once for all points, and seeds are
drawn for each point separately. Each token is predicted given the true tokens before it.

Cost: one forward pass for each prompt, and resamples × prompts × 8 bytes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities.measuring import held_out_loss
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.emergence.scale.axes import Axis, load_axis, on_axis
from interp_emerge.emergence.scale.continuations.tasks import SeveralTokens, edit_distances, several_tokens
from interp_emerge.emergence.scale.mirage import Mirage, judge
from interp_emerge.emergence.scale.pass_until import PassLaw, PassRate, continuation_sampler, pass_law, pass_until
from interp_emerge.emergence.scale.rise import Curve
from interp_emerge.families.base import Family
from interp_emerge.stats.intervals import percentile_interval
from interp_emerge.stats.resampling import RESAMPLES, draw_weights, draw_weights_of_few

MEASURES = ("exact_match", "token_accuracy", "power", "product", "excess", "edit_distance", "log_prob")
SHARES = ("exact_match", "token_accuracy", "power", "product")
CONTINUOUS = ("log_prob", "token_accuracy")


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenLadder(Record):
    """Answers of several tokens over an axis of scale, with points in ascending order.

    `runs` has one entry for each seed of each point. `chance` is the probability of guessing one token correctly.

    Raises:
        InputError: there are no points, the places do not ascend, the answers differ in length, or the chance is not
            between 0 and 1.
    """

    ability: str
    axis: Axis
    points: tuple[str, ...]
    places: np.ndarray
    runs: tuple[tuple[SeveralTokens, ...], ...]
    chance: float

    def __post_init__(self) -> None:
        if not len(self.points) == len(self.places) == len(self.runs) > 0 or not all(self.runs):
            raise InputError(
                f"a ladder needs one place and at least one run for each point, and at least one point; got "
                f"{len(self.points)} points, {len(self.places)} places and {len(self.runs)} sets of runs"
            )
        if not np.isfinite(self.places).all() or (np.diff(self.axis.coordinate(self.places)) <= 0).any():
            raise InputError(f"the points of a ladder have to ascend in scale; these are at {self.places.tolist()}")
        if len(lengths := {run.truth.shape[1] for seeds in self.runs for run in seeds}) > 1:
            listed = " and ".join(map(str, sorted(lengths)))
            raise InputError(f"answers of {listed} tokens cannot be compared; cut them to one length")
        if not 0 < self.chance < 1:
            raise InputError(f"the chance of guessing one token has to be between 0 and 1, not {self.chance:g}")

    @property
    def length(self) -> int:
        """Number of tokens of an answer."""
        return self.runs[0][0].truth.shape[1]

    @property
    def n_pairs(self) -> int:
        """The smallest number of prompts of any model."""
        return min(len(run.truth) for seeds in self.runs for run in seeds)

    def measure(
        self, length: int | None = None, *, seed: int = 0, resamples: int = RESAMPLES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each of `MEASURES` for the first `length` tokens (by default all), as measured and in bootstrap samples.

        Returns:
            Two arrays: the measured values, shape [point, measure], and those of the bootstrap samples of prompts and
            seeds, shape [resample, point, measure].

        Raises:
            InputError: the answers are shorter than `length`, or `length` is below 1.
        """
        length = self.length if length is None else length
        if not 1 <= length <= self.length:
            raise InputError(f"the answers have {self.length} tokens; ask for 1 to {self.length} of them, not {length}")
        rng = np.random.default_rng(seed)
        counts = {len(run.truth) for seeds in self.runs for run in seeds}
        shared = draw_weights(rng, counts.pop(), resamples=resamples) if len(counts) == 1 else None
        means, drawn = [], []
        for seeds in self.runs:
            of_runs = draw_weights_of_few(rng, len(seeds), resamples=resamples)
            values = [_columns(run, length) for run in seeds]
            means.append(np.mean([_measures(one.mean(0), length) for one in values], axis=0))
            samples = [
                _measures(
                    (draw_weights(rng, len(one), resamples=resamples) if shared is None else shared) @ one, length
                )
                for one in values
            ]
            drawn.append(np.einsum("rs,srm->rm", of_runs, np.stack(samples)))
        return np.stack(means), np.stack(drawn, 1)

    def to_frame(self, length: int | None = None, *, seed: int = 0) -> pd.DataFrame:
        """One row for each point, for the first `length` tokens (by default all).

        Columns `ability`, `point`, `place` (in the axis's unit), `length` (tokens), `n_seeds`, `n_pairs`, and each of
        `MEASURES` with its 95% interval over prompts and seeds, `_low` and `_high`: `exact_match`, `token_accuracy`
        (mean over positions), `power` (token_accuracy to the power of the length), `product` (of the accuracies of the
        positions), `excess` (exact_match minus product; above 0 where prompts differ in difficulty), `edit_distance`
        (tokens), `log_prob` (of the true token, nats per token).
        """
        means, drawn = self.measure(length, seed=seed)
        rows = []
        for row, (point, seeds) in enumerate(zip(self.points, self.runs, strict=True)):
            found: dict[str, object] = {"ability": self.ability, "point": point, "place": self.places[row]}
            found |= {"length": length or self.length, "n_seeds": len(seeds)}
            found |= {"n_pairs": min(len(run.truth) for run in seeds)}
            for column, name in enumerate(MEASURES):
                samples = drawn[:, row, column]
                samples = samples.clip(0, 1) if name in SHARES else samples
                interval = percentile_interval(float(means[row, column]), samples)
                found |= interval.columns(name)
            rows.append(found)
        return pd.DataFrame(rows)


@checked
def several_tokens_check(
    ladder: TokenLadder,
    *,
    length: int | None = None,
    continuous: str = "log_prob",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Mirage:
    """Whether exact match jumps, and whether the score of single tokens jumps too.

    Example:
        >>> print(ie.emergence.scale.continuations.several_tokens_check(answers))

    Args:
        ladder: the answers over an axis of scale.
        length: number of tokens that all have to be correct; the whole answer if left out.
        continuous: the metric that exact match is compared with, `log_prob` or `token_accuracy`.
        seed: seed of the bootstrap.
        resamples: number of bootstrap samples.

    Raises:
        UnknownNameError: `continuous` is another metric.
        InputError: the answers are shorter than the length.
    """
    if continuous not in CONTINUOUS:
        raise UnknownNameError("continuous metric of several tokens", continuous, CONTINUOUS)
    means, drawn = ladder.measure(length, seed=seed, resamples=resamples)
    length = length or ladder.length
    chance = {"exact_match": ladder.chance**length, "log_prob": float(np.log(ladder.chance))}
    one, other = (
        Curve(
            metric=name,
            kind="thresholded" if name == "exact_match" else "continuous",
            axis=ladder.axis,
            points=ladder.points,
            places=ladder.places,
            runs=tuple(tuple(_per_prompt(run, name, length) for run in runs) for runs in ladder.runs),
            means=means[:, MEASURES.index(name)],
            drawn=drawn[:, :, MEASURES.index(name)],
            chance=chance.get(name, ladder.chance),
            ceiling=0.0 if name == "log_prob" else 1.0,
            floored=name != "log_prob",
        )
        for name in ("exact_match", continuous)
    )
    return judge(f"{ladder.ability}, {length} tokens", one, other)


@checked
def sampled_rates(
    ladder: TokenLadder, length: int | None = None, *, passes: int = 20, most: int = 1_000_000, seed: int = 0
) -> pd.DataFrame:
    """The rate at which each training run samples the first `length` tokens correctly, by `pass_until`.

    Example:
        >>> ie.emergence.scale.continuations.sampled_rates(answers, passes=5, most=1000)

    Args:
        ladder: the answers over an axis of scale.
        length: number of tokens that all have to be correct; the whole answer if left out.
        passes: wanted number of passes of each run.
        most: largest number of samples of each run.
        seed: seed of the samples of the first run; each later run uses the next seed.

    Returns:
        Columns `point`, `place` (in the axis's unit), `run` (number within the point), `length` (tokens), `greedy`
        (number of prompts whose most likely tokens are all correct), `n_pairs`, `exact` (the exact rate, from
        `SeveralTokens.pass_rate`), `passes`, `samples`, `reached`, `rate`, `rate_low`, `rate_high`.

    Raises:
        InputError: the answers are shorter than the length, or `passes` cannot be reached.
    """
    length = ladder.length if length is None else length
    rows: list[dict[str, object]] = []
    for point, place, seeds in zip(ladder.points, ladder.places, ladder.runs, strict=True):
        for order, run in enumerate(seeds):
            sampler = continuation_sampler(run, length)
            found = pass_until(sampler, passes=passes, most=most, seed=seed + len(rows))
            about = {"point": point, "place": place, "run": order, "length": length, "n_pairs": len(run.truth)}
            known = {"greedy": int(run.exact[:, length - 1].sum()), "exact": run.pass_rate(length)}
            rows.append({**about, **known, **vars(found), **found.interval.columns("rate")})
    return pd.DataFrame(rows)


@checked
def rate_law(rates: pd.DataFrame) -> PassLaw:
    """The law of `pass_law`, fitted to the rows of `sampled_rates` with a rate between 0 and 1.

    Example:
        >>> rates = ie.emergence.scale.continuations.sampled_rates(answers, length=1, passes=5, most=1000)
        >>> ie.emergence.scale.continuations.rate_law(rates)

    Raises:
        InputError: fewer than 3 rates are left.
    """
    kept = rates[(rates["rate"] > 0) & (rates["rate"] < 1)]
    found = kept[["passes", "samples", "reached"]].to_dict("records")
    return pass_law(
        kept["place"].to_numpy(), [PassRate(**{str(name): one for name, one in row.items()}) for row in found]
    )


@checked
def several_tokens_grid(
    family: Family,
    ask: Callable[[HookedModel], PromptPairs],
    *,
    ability: str,
    chance: float,
    models: Iterable[tuple[str, int | Literal["last"], int]] | None = None,
    axis: str = "parameters",
) -> TokenLadder:
    """Answers of several tokens from many models of a family, which are loaded one at a time.

    Example:
        >>> ask = lambda model: ability.sample(model, 16)
        >>> last = [(size, "last", 0) for size in ("3k", "5k", "7k")]
        >>> asked = {"ability": "induction", "chance": 0.05, "models": last}
        >>> ie.emergence.scale.continuations.several_tokens_grid(family, ask, **asked)

    Args:
        family: where the models come from.
        ask: returns the pairs for a model, each with its continuation.
        ability: what the pairs test, in words.
        chance: probability of guessing one token correctly.
        models: size, step and seed of each model; if left out, the last step of every size and seed.
        axis: axis of scale, one of `emergence.scale.axes`.

    Raises:
        UnknownNameError: there is no such axis.
        InputError: models that differ in more than their seed have the same place on the axis, or a model has no place.
    """
    if models is None:
        models = [(size, "last", one) for size in family.sizes for one in family.seeds(size)]
    text, rows, runs = family.held_out_text(), [], []
    for size, step, run in tqdm(list(models), desc="models", delay=2, leave=False):
        model = family.load(size, step, run)
        loss = held_out_loss(model, text) if axis == "loss" else np.nan
        rows.append(
            {"size": size, "step": model.spec.step, "seed": run, "n_parameters": model.n_parameters, "loss": loss}
        )
        runs.append(several_tokens(model, ask(model)))
    table = pd.DataFrame(rows)
    table["place"] = on_axis(table, axis, family=family)
    of_steps = table.groupby("size")["step"].nunique().max() > 1
    table["point"] = "step " + table["step"].astype(str) if of_steps else table["size"]
    if of_steps and table["size"].nunique() > 1:
        table["point"] = table["size"] + ", " + table["point"]
    if (table.groupby("point")["place"].nunique() > 1).any():  # on the axis of loss, seeds have different places
        table["point"] += ", seed " + table["seed"].astype(str)
    grouped = [(float(place), table[table["place"] == place]) for place in np.unique(table["place"])]
    if load_axis(axis).descending:
        grouped.reverse()
    for place, here in grouped:
        if len(shared := here["point"].unique()) > 1 or here["size"].nunique() > 1:
            raise InputError(f"{' and '.join(shared)} share the place {place:g} on axis {axis!r}; keep one step of "
                             "each size, or the steps of one size")  # fmt: skip
    return TokenLadder(
        ability=ability,
        axis=load_axis(axis),
        points=tuple(here["point"].iloc[0] for _, here in grouped),
        places=np.array([place for place, _ in grouped], dtype=np.float64),
        runs=tuple(tuple(runs[row] for row in here.index) for _, here in grouped),
        chance=chance,
    )


def _columns(run: SeveralTokens, length: int) -> np.ndarray:
    """For each prompt: whether each token is correct, whether all are, edit distance, and mean log-probability."""
    right = run.right[:, :length].astype(np.float64)
    edits = edit_distances(run.guess[:, :length], run.truth[:, :length])
    return np.column_stack([right, right.min(1), edits, run.log_prob[:, :length].mean(1)])


def _per_prompt(run: SeveralTokens, name: str, length: int) -> np.ndarray:
    """Exact match, token accuracy or log-probability of each prompt, shape [prompt]."""
    columns = _columns(run, length)
    at = {"exact_match": columns[:, -3], "log_prob": columns[:, -1], "token_accuracy": columns[:, :length].mean(1)}
    return at[name]


def _measures(means: np.ndarray, length: int) -> np.ndarray:
    """`MEASURES`, computed from means of `_columns` over prompts, shape [..., measure]."""
    positions, (exact, edits, log_prob) = means[..., :length], np.moveaxis(means[..., length:], -1, 0)
    accuracy, product = positions.mean(-1), positions.prod(-1)
    return np.stack([exact, accuracy, accuracy**length, product, exact - product, edits, log_prob], -1)
