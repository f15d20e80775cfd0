"""What forms first: the onsets of several quantities on one grid of checkpoints, put in order as far as can be told.

1. `_Curve` holds a quantity's per-prompt values at each step, its threshold, and where it was not measured (holes).
2. `_Drawn` resamples the prompts: those that quantities share are drawn together, and the same at every step. In each
   resample an onset is the interval between the last step without the quantity and the first with it, and a finer
   **crossing**, where the line between these two means, over ln(1 + step), meets the threshold. It takes a straight
   line between two checkpoints for granted, which nothing supports when an ability jumps; the intervals do not.
3. A comes before B in a resample if the first step with A is no later than the last without B. Else, and not the other
   way round, they tie: no checkpoint lies between them.
4. `_lag` is the onset of a quantity less that of a reference; below zero it leads. Its bounds hold wherever between the
   checkpoints the two onsets lie: 2.5% of the resamples' least and 97.5% of their greatest differences.

Probabilities are shares of resamples (Efron, 1979, https://doi.org/10.1214/aos/1176344552). They speak of other
prompts, not of other training runs, and an order is given only from 97.5% on. A threshold taken from the same data,
such as half of a final score, counts as fixed, and many pairs are not corrected for being many.

Resamples of few prompts are too much alike: one prompt gives the same onset in all of them. Two quantities with the
same expected curve were put in an order in 34 to 89% of simulations with 1 prompt, 3 to 26% with 2, 1 to 15% with 3,
and from `FEWEST_PROMPTS` on in at most 6%, where 5% is wanted (30 cases of five curves and six kinds of noise; 6% if
prompts differ far more than checkpoints do, elsewhere 2%). With fewer, nothing is told.

Cost: a product of [resample, prompt] and [prompt, step] for each quantity.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.prompt_rows import require_rows_of_prompts, values_by_step
from interp_emerge.emergence.scale.onset import Criterion, OnsetVerdict, find_onset
from interp_emerge.stats.intervals import SURE, TAIL, UNDEFINED
from interp_emerge.stats.resampling import RESAMPLES, resample_weights
from interp_emerge.tables.schema import ABILITY_COLUMN, RUN_COLUMNS, Table

Key = tuple[str, str]
"""Quantity and component."""
FEWEST_PROMPTS = 8
_ONSETS = ["quantity", "component", "threshold", "last_without", "first_with", "ci_low", "ci_high"]
_CROSSINGS = ["crossing", "crossing_low", "crossing_high"]
_PAIRS = ["quantity_a", "component_a", "quantity_b", "component_b", "before", "after", "tie", "crosses_before"]
LAGS = Table(
    name="lags",
    row="one part of a circuit in the training of one model, against the ability",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity": "faithfulness, effect, edge effect or a role's name, as in table formation",
        "component": "what carries it: circuit, a head, an MLP, or an edge",
        "steps_low": "lowest lag behind the ability that the checkpoints allow at 95%, training steps; below zero: "
        "a lead; infinite where there is no bound",
        "steps_high": "highest one",
        "log_low": "the same in ln(1 + step)",
        "log_high": "the same in ln(1 + step)",
        "crossing": "lag of the interpolated half-way points, training steps; empty unless both have one",
        "crossing_low": "lower end of its 95% interval, bootstrap over prompts",
        "crossing_high": "upper end",
        "log_crossing": "the same in ln(1 + step)",
        "log_crossing_low": "lower end of its 95% interval",
        "log_crossing_high": "upper end",
        "verdict": "leads, lags, unresolved (as where both fall between two checkpoints), or undefined",
        "answer": "the verdict in words",
    },
)


class LagVerdict(StrEnum):
    """Whether a quantity comes before the reference or after it."""

    LEADS = "leads"
    """Before it, in 97.5% of the resamples or more."""
    LAGS = "lags"
    """After it, in 97.5% of the resamples or more."""
    UNRESOLVED = "unresolved"
    """Neither, as where both fall between the same two checkpoints."""
    UNDEFINED = UNDEFINED
    """The last value of the quantity is within noise, so it has no onset."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FormationOrder:
    """What forms first, as three tables.

    `onsets`, one row a quantity: `quantity`, `component`, `threshold` (unit of the quantity), `last_without` and
    `first_with` (steps; empty where there is none), `ci_low`, `ci_high` (95% interval of the first step with it, see
    `find_onset`), `crossing`, `crossing_low`, `crossing_high` (steps, interpolated; empty unless 97.5% of resamples
    have one, and with too few prompts), `verdict`.

    `pairs`, one row for each two: `quantity_a`, `component_a`, `quantity_b`, `component_b`, `before`, `after`, `tie`
    (shares of resamples in which a comes before b, after it, or between the same checkpoints; empty with too few
    prompts), `crosses_before` (share in which a's interpolated crossing is the earlier one; empty unless both have one
    in 97.5%), `answer`.

    `lags`, one row a quantity, if a reference was given: `quantity`, `component`, `steps_low`, `steps_high`, `log_low`,
    `log_high` (bounds of onset less the reference's, in steps and in ln(1 + step); infinite where there is none, empty
    with too few prompts), `crossing`, `crossing_low`, `crossing_high` and their `log_crossing` counterparts (the same
    of the interpolated crossings), `verdict` (leads, lags or unresolved), `answer`.
    """

    onsets: pd.DataFrame
    pairs: pd.DataFrame
    lags: pd.DataFrame

    def __repr__(self) -> str:
        told = int((self.pairs[["before", "after"]] >= SURE).any(axis=1).sum())
        return f"FormationOrder({len(self.onsets)} quantities, the order of {told} of {len(self.pairs)} pairs is told)"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """A quantity of each prompt, shape [prompt, step], on the steps where it was measured."""

    key: Key
    steps: np.ndarray
    values: np.ndarray
    over: np.ndarray | None
    """What the values are divided by, shape [prompt, step]; None but for a ratio."""
    criterion: Criterion
    prompt_set: str
    prompts: tuple

    @property
    def label(self) -> str:
        return " ".join(self.key)

    @property
    def excess(self) -> np.ndarray:
        """Distance of each prompt from the threshold: a ratio lies above where the mean of these is positive."""
        return self.values - self.criterion.threshold * (1.0 if self.over is None else self.over)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """Last step without, first with, and crossing: the measured one first, then one a resample. Infinite if none."""

    without: np.ndarray
    having: np.ndarray
    crossing: np.ndarray


@checked
def formation_order(
    frame: pd.DataFrame,
    criteria: Mapping[str | Key, Criterion],
    *,
    against: Key | None = None,
    compare: Collection[Key] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> FormationOrder:
    """Which of several quantities come first over the steps of one training run.

    Args:
        frame: one row a quantity, component, step and prompt, with columns `quantity`, `component`, `step`, `prompt`
            and `value`. Optional columns: `prompt_set` names the prompts that quantities share, else each quantity has
            its own; with `over` a quantity is the ratio of the means of `value` and `over`. A step at which a quantity
            is undefined has no rows, or empty values throughout.
        criteria: for each quantity, or quantity and component, when it counts as present.
        against: the quantity and component that lags are taken against, such as the ability.
        compare: quantities and components to put in order two by two; all of them if left out.
        seed: of the resamples.
        resamples: number of bootstrap samples.

    Raises:
        InputError: a column or a criterion is missing, prompts differ between steps or within a set of prompts, or
            there is no such reference.
    """
    curves = _curves(frame, criteria)
    if isinstance(against, str):
        raise InputError(
            f"against={against!r} is one name; give a quantity and its component, as ('accuracy', 'model')"
        )
    wanted = {"take lags against": [] if against is None else [against], "compare": compare or ()}
    for purpose, keys in wanted.items():
        for key in keys:
            if key not in curves:
                raise InputError(f"no quantity {' '.join(key)!r} to {purpose}; there are "
                                 f"{', '.join(curve.label for curve in curves.values())}")  # fmt: skip
    drawn = _resampled(list(curves.values()), seed, resamples)
    compared = [key for key in curves if compare is None or key in compare]
    pairs = [_pair(curves[a], curves[b], drawn[a], drawn[b]) for a, b in combinations(compared, 2)]
    others = [key for key in curves if key != against] if against is not None else []
    lags = [_lag(curves[key], drawn[key], curves[against], drawn[against]) for key in others if against is not None]
    start = min(int(curve.steps[0]) for curve in curves.values())
    onsets = [_onset(curve, drawn[key], start) for key, curve in curves.items()]
    return FormationOrder(
        onsets=pd.DataFrame(onsets, columns=pd.Index([*_ONSETS, *_CROSSINGS, "verdict"])),
        pairs=pd.DataFrame(pairs, columns=pd.Index([*_PAIRS, "answer"])),
        lags=pd.DataFrame(lags, columns=pd.Index([*LAGS.filled])),
    )


def _curves(frame: pd.DataFrame, criteria: Mapping[str | Key, Criterion]) -> dict[Key, _Curve]:
    curves: dict[Key, _Curve] = {}
    prompts: dict[str, tuple] = {}
    require_rows_of_prompts(frame)
    for (quantity, component), rows in frame.groupby(["quantity", "component"], sort=False):
        key = str(quantity), str(component)
        criterion = criteria.get(key, criteria.get(key[0]))
        if criterion is None:
            raise InputError(f"{' '.join(key)!r} has no criterion for being present; give one for {key[0]!r}")
        table = values_by_step(rows, *key)
        over = values_by_step(rows, *key, "over").reindex(columns=table.columns) if "over" in rows else None
        named = str(rows["prompt_set"].iloc[0]) if "prompt_set" in rows else key[0]
        if prompts.setdefault(named, tuple(table.index)) != tuple(table.index):
            raise InputError(f"{' '.join(key)} has other prompts than the rest of prompt set {named!r}")
        curves[key] = _Curve(
            key=key,
            steps=table.columns.to_numpy(),
            values=table.to_numpy(dtype=float),
            over=None if over is None or (over == 1).all(axis=None) else over.to_numpy(dtype=float),
            criterion=criterion,
            prompt_set=named,
            prompts=prompts[named],
        )
    return curves


def _resampled(curves: list[_Curve], seed: int, resamples: int) -> dict[Key, _Drawn]:
    """Each curve's onset as measured and in every resample, its prompts drawn together with those it shares."""
    weights: dict[str, np.ndarray] = {}
    drawn = {}
    for curve in curves:
        if curve.prompt_set not in weights:
            weights[curve.prompt_set] = resample_weights(
                len(curve.prompts), resamples=resamples, seed=seed + len(weights), whole=True
            )
        drawing = weights[curve.prompt_set]
        over = np.ones((1, len(curve.steps))) if curve.over is None else drawing @ curve.over
        drawn[curve.key] = _crossings(curve.steps, drawing @ curve.excess, over)
    return drawn


def _crossings(steps: np.ndarray, excess: np.ndarray, over: np.ndarray) -> _Drawn:
    """Where each row of mean distances from the threshold, shape [resample, step], first rises above zero."""
    present = excess > 0
    first = np.where(present.any(1), present.argmax(1), len(steps))
    ends = np.concatenate([[-np.inf], steps, [np.inf]])
    inside = (first > 0) & (first < len(steps))
    before, after = np.maximum(first - 1, 0), np.minimum(first, len(steps) - 1)
    ratio = np.divide(excess, over, out=np.full(excess.shape, np.nan), where=np.broadcast_to(over > 0, excess.shape))
    low, high = (np.take_along_axis(ratio, at[:, None], 1)[:, 0] for at in (before, after))
    share = np.divide(-low, high - low, out=np.zeros(len(first)), where=inside)
    log = np.log1p(steps)
    crossing = np.expm1(log[before] + share * (log[after] - log[before]))
    return _Drawn(
        without=ends[first],
        having=ends[first + 1],
        crossing=np.where(inside, crossing, np.where(first == 0, -np.inf, np.inf)),
    )


def _onset(curve: _Curve, drawn: _Drawn, start: int) -> dict[str, object]:
    # A ratio has no values of prompts: it lies above its threshold where the mean distance lies above zero.
    values, criterion = curve.values, curve.criterion
    if curve.over is not None:
        values, criterion = curve.excess, Criterion(-1.0, 1.0)
    onset = find_onset({step: [column] for step, column in zip(curve.steps, values.T, strict=True)}, criterion)
    verdict: str = onset.verdict.over_steps
    if verdict == OnsetVerdict.FROM_THE_START and curve.steps[0] > start:
        verdict = f"there where first defined, at step {curve.steps[0]:g}"
    ends = {name: getattr(onset, name) for name in ("last_without", "first_with", "ci_low", "ci_high")}
    ends = {name: np.nan if end is None else float(end) for name, end in ends.items()}
    crossing = _interval(drawn.crossing, "crossing", known=not _too_few(curve))
    return {**_named(curve), "threshold": curve.criterion.threshold, **ends, **crossing, "verdict": verdict}


def _pair(a: _Curve, b: _Curve, one: _Drawn, other: _Drawn) -> dict[str, object]:
    named = {f"{name}_{end}": value for end, curve in (("a", a), ("b", b)) for name, value in _named(curve).items()}
    if few := _too_few(a, b):
        return {**named, "answer": few}
    before, after = _shares(one, other)
    both = (np.isfinite(one.crossing) & np.isfinite(other.crossing))[1:]
    crosses = (one.crossing < other.crossing)[1:][both].mean() if both.mean() >= SURE else np.nan
    shares = {"before": float(before), "after": float(after), "tie": float(1 - before - after)}
    return {**named, **shares, "crosses_before": float(crosses), "answer": _answer(a, b, one, other)}


def _too_few(*curves: _Curve) -> str:
    """That there are too few prompts to tell an order, else nothing."""
    fewest = min(curves, key=lambda curve: len(curve.prompts))
    n = len(fewest.prompts)
    if n >= FEWEST_PROMPTS:
        return ""
    return f"cannot be told: {fewest.label} has {n} prompt{'s' * (n > 1)}, and {FEWEST_PROMPTS} are needed"


def _shares(one: _Drawn, other: _Drawn) -> tuple[float, float]:
    """Shares of resamples in which one comes before the other, and after it."""
    return (one.having <= other.without)[1:].mean(), (other.having <= one.without)[1:].mean()


def _answer(a: _Curve, b: _Curve, one: _Drawn, other: _Drawn) -> str:
    """The order of two quantities in words."""
    before, after = _shares(one, other)
    for first, second, share, late in ((a, b, before, other), (b, a, after, one)):
        if share >= SURE:
            never = f" ({second.label} is not reached)" if late.having[0] == np.inf else ""
            return f"{first.label} before {second.label}{never}"
    (low_a, high_a), (low_b, high_b) = ((drawn.without[0], drawn.having[0]) for drawn in (one, other))
    if high_a == high_b == np.inf:
        return "cannot be told: neither is reached"
    if high_a <= low_b or high_b <= low_a:
        return "cannot be told: the order changes with the prompts"
    if low_a == low_b == -np.inf:
        return "cannot be told: both are there where first measured"
    low, high = min(low_a, low_b), max(high_a, high_b)
    since = "the first step measured" if low == -np.inf else f"step {low:g}"
    return f"cannot be told: both fall between {since} and {'the end' if high == np.inf else f'step {high:g}'}"


def _lag(curve: _Curve, drawn: _Drawn, reference: _Curve, to: _Drawn) -> dict[str, object]:
    def bounds(of) -> tuple[float, float]:
        least, greatest = of(drawn.without) - of(to.having), of(drawn.having) - of(to.without)
        return _quantile(least[1:], TAIL), _quantile(greatest[1:], SURE)

    if few := _too_few(curve, reference):
        return {**_named(curve), "verdict": LagVerdict.UNRESOLVED, "answer": few}
    before, after = _shares(drawn, to)
    steps, logs = bounds(lambda step: step), bounds(log_step)
    difference = np.full((2, len(drawn.crossing)), np.nan)
    both = np.isfinite(drawn.crossing) & np.isfinite(to.crossing)
    difference[0, both] = drawn.crossing[both] - to.crossing[both]
    difference[1, both] = log_step(drawn.crossing[both]) - log_step(to.crossing[both])
    return {
        **_named(curve),
        "steps_low": steps[0],
        "steps_high": steps[1],
        "log_low": logs[0],
        "log_high": logs[1],
        **_interval(difference[0], "crossing"),
        **_interval(difference[1], "log_crossing"),
        "verdict": _lag_verdict(before, after),
        "answer": _answer(curve, reference, drawn, to),
    }


def _lag_verdict(before: float, after: float) -> LagVerdict:
    if before >= SURE:
        return LagVerdict.LEADS
    return LagVerdict.LAGS if after >= SURE else LagVerdict.UNRESOLVED


def _interval(drawn: np.ndarray, name: str, *, known: bool = True) -> dict[str, float]:
    """The measured value with the central 95% of its resamples, where 97.5% of these have one."""
    finite = np.isfinite(drawn)
    if not known or not finite[0] or finite[1:].mean() < SURE:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    resampled = drawn[1:][finite[1:]]
    return {
        name: float(drawn[0]),
        f"{name}_low": _quantile(resampled, TAIL),
        f"{name}_high": _quantile(resampled, SURE),
    }


def _named(curve: _Curve) -> dict[str, str]:
    return {"quantity": curve.key[0], "component": curve.key[1]}


def _quantile(values: np.ndarray, share: float) -> float:
    # No interpolation: between infinity and a number there is nothing.
    return float(np.quantile(values, share, method="inverted_cdf"))


def log_step(step: np.ndarray | float) -> np.ndarray:
    """ln(1 + step), minus infinity staying what it is."""
    return np.where(np.isneginf(step), -np.inf, np.log1p(np.maximum(step, 0)))
