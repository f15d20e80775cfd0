"""Which of several quantities form first during training, as far as the data decide it.

1. `_Curve` has the values of a quantity for each prompt and step, and its criterion. Steps without a measurement are
   missing.
2. `_resampled` draws the prompts again. Quantities that share prompts get the same draws, and so do all steps. In each
   resample an onset is the interval between the last step without the quantity and the first step with it. `_crossings`
   also finds a single **crossing**: the mean is interpolated linearly over ln(1 + step) between these two steps, and
   the crossing is the step at which it equals the threshold. Linear interpolation has no justification where an ability
   jumps. The intervals do not need it.
3. A comes before B in a resample if the first step with A is at or before the last step without B. If neither comes
   before the other, they tie: no checkpoint lies between them.
4. `_lag` is the onset of a quantity minus that of a reference; if it is negative, the quantity leads. Each onset can
   lie anywhere between its two checkpoints, so each resample has a smallest and a largest possible lag. The bounds are
   the 2.5% quantile of the smallest and the 97.5% quantile of the largest, over resamples.

Probabilities are shares of resamples (Efron, 1979, https://doi.org/10.1214/aos/1176344552). They cover other prompts,
not other training runs. An order is reported only if its share is at least 97.5%. A threshold taken from the same data,
such as half of a final score, counts as fixed. There is no correction for the number of comparisons.

Resamples of few prompts are too similar: with one prompt all resamples have the same onset. So no order is reported
with fewer than `FEWEST_PROMPTS` prompts (error rates: docs/calibration.md).

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
from interp_emerge.core.record import Record
from interp_emerge.emergence.forming.prompt_rows import require_rows_of_prompts, values_by_step
from interp_emerge.emergence.forming.tables import LAGS
from interp_emerge.emergence.scale.onset import Criterion, OnsetVerdict, find_onset
from interp_emerge.stats.intervals import SURE, TAIL, UNDEFINED
from interp_emerge.stats.resampling import RESAMPLES, resample_weights

Key = tuple[str, str]
"""Quantity and component."""
FEWEST_PROMPTS = 8
_ONSETS = ["quantity", "component", "threshold", "last_without", "first_with", "ci_low", "ci_high"]
_CROSSINGS = ["crossing", "crossing_low", "crossing_high"]
_PAIRS = ["quantity_a", "component_a", "quantity_b", "component_b", "before", "after", "tie", "crosses_before"]


class LagVerdict(StrEnum):
    """Whether a quantity comes before the reference or after it."""

    LEADS = "leads"
    """Before it, in 97.5% of the resamples or more."""
    LAGS = "lags"
    """After it, in 97.5% of the resamples or more."""
    UNRESOLVED = "unresolved"
    """Neither is certain, for example because both lie between the same two checkpoints."""
    UNDEFINED = UNDEFINED
    """The last value of the quantity is within noise, so it has no onset."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FormationOrder(Record):
    """What forms first, as three tables. With too few prompts for an order, crossings, shares and lags are NaN.

    `onsets` has one row for each quantity: `quantity`, `component`, `threshold` (in the quantity's unit),
    `last_without` and `first_with` (steps; NaN if there is none), `ci_low`, `ci_high` (95% interval of the first step
    with the quantity, by `find_onset`), `crossing`, `crossing_low`, `crossing_high` (interpolated steps; NaN unless at
    least 97.5% of resamples have a crossing), `verdict`.

    `pairs` has one row for every two quantities: `quantity_a`, `component_a`, `quantity_b`, `component_b`, `before`,
    `after`, `tie` (shares of resamples in which a comes before b, comes after b, or ties with b), `crosses_before`
    (share of resamples in which the crossing of a is earlier; NaN unless both have a crossing in at least 97.5% of
    resamples), `answer` (a sentence).

    `lags` has one row for each quantity except the reference, if a reference was given: `quantity`, `component`,
    `steps_low`, `steps_high` (bounds of the lag in steps, infinite if there is no bound), `log_low`, `log_high` (bounds
    of the lag in ln(1 + step)), `crossing`, `crossing_low`, `crossing_high` (difference of the crossings, in steps),
    the corresponding `log_crossing` columns in ln(1 + step), `verdict` (`LagVerdict`), `answer` (a sentence).
    """

    onsets: pd.DataFrame
    pairs: pd.DataFrame
    lags: pd.DataFrame

    def __repr__(self) -> str:
        ordered = int((self.pairs[["before", "after"]] >= SURE).any(axis=1).sum())
        return f"FormationOrder({len(self.onsets)} quantities, {ordered} of {len(self.pairs)} pairs in order)"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """The values of a quantity for each prompt at the steps where it was measured, shape [prompt, step]."""

    key: Key
    steps: np.ndarray
    values: np.ndarray
    over: np.ndarray | None
    """What the values are divided by, shape [prompt, step]; None unless the quantity is a ratio."""
    criterion: Criterion
    prompt_set: str
    prompts: tuple

    @property
    def label(self) -> str:
        return " ".join(self.key)

    @property
    def excess(self) -> np.ndarray:
        """Distance of each prompt from the threshold. The quantity or ratio is above it where the mean is positive."""
        return self.values - self.criterion.threshold * (1.0 if self.over is None else self.over)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """Last step without, first step with, and crossing, shape [1 + resample], measured one first; infinite if none."""

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
    """Finds which of several quantities come first over the steps of one training run.

    Example:
        >>> score = training[training["quantity"] == "in_context_score"]
        >>> present = {"in_context_score": ie.emergence.scale.Criterion(chance=0.0, ceiling=1.0)}
        >>> ie.emergence.forming.formation_order(score.assign(value=-score["value"]), present, resamples=100).onsets

    Args:
        frame: one row for each quantity, component, step and prompt, with columns `quantity`, `component`, `step`,
            `prompt` and `value`. Two columns are optional. `prompt_set` names a set of prompts; quantities with the
            same name share their prompts, and without the column each quantity has its own. With `over`, a quantity is
            the mean of `value` divided by the mean of `over`. A step at which a quantity is undefined has no rows, or
            only empty values.
        criteria: when a quantity counts as present, by quantity, or by quantity and component.
        against: the quantity and component that lags are measured from, such as the ability.
        compare: quantities and components to compare in pairs; all of them if left out.
        seed: seed of the resamples.
        resamples: number of bootstrap samples.

    Raises:
        InputError: a column or a criterion is missing, prompts differ between steps or within a set of prompts, or a
            quantity in `against` or `compare` does not exist.
    """
    curves = _curves(frame, criteria)
    if isinstance(against, str):
        raise InputError(
            f"against={against!r} is one name; give a quantity and its component, as ('accuracy', 'model')"
        )
    wanted = {"use as the reference": [] if against is None else [against], "compare": compare or ()}
    for purpose, keys in wanted.items():
        for key in keys:
            if key not in curves:
                raise InputError(f"there is no quantity {' '.join(key)!r} to {purpose}; the table has "
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
            raise InputError(f"{' '.join(key)} has other prompts than the other quantities of prompt set {named!r}")
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
    """The onset of each curve, as measured and in every resample. Curves with the same prompts get the same draws."""
    weights: dict[str, np.ndarray] = {}
    drawn = {}
    for curve in curves:
        if curve.prompt_set not in weights:
            weights[curve.prompt_set] = resample_weights(
                len(curve.prompts), resamples=resamples, seed=seed + len(weights), observed_first=True
            )
        drawing = weights[curve.prompt_set]
        over = np.ones((1, len(curve.steps))) if curve.over is None else drawing @ curve.over
        drawn[curve.key] = _crossings(curve.steps, drawing @ curve.excess, over)
    return drawn


def _crossings(steps: np.ndarray, excess: np.ndarray, over: np.ndarray) -> _Drawn:
    """The first step at which each row of `excess` is above zero.

    Args:
        steps: ascending training steps.
        excess: mean distances from the threshold, shape [resample, step].
        over: what ratios are divided by, positive where they are defined, shape [resample, step].
    """
    present = excess > 0
    first = np.where(present.any(1), present.argmax(1), len(steps))
    bounded = np.concatenate([[-np.inf], steps, [np.inf]])
    inside = (first > 0) & (first < len(steps))
    before, after = np.maximum(first - 1, 0), np.minimum(first, len(steps) - 1)
    ratio = np.divide(excess, over, out=np.full(excess.shape, np.nan), where=np.broadcast_to(over > 0, excess.shape))
    low, high = (np.take_along_axis(ratio, at[:, None], 1)[:, 0] for at in (before, after))
    share = np.divide(-low, high - low, out=np.zeros(len(first)), where=inside)
    log = np.log1p(steps)
    crossing = np.expm1(log[before] + share * (log[after] - log[before]))
    return _Drawn(
        without=bounded[first],
        having=bounded[first + 1],
        crossing=np.where(inside, crossing, np.where(first == 0, -np.inf, np.inf)),
    )


def _onset(curve: _Curve, drawn: _Drawn, start: int) -> dict[str, object]:
    # A single prompt has no value of a ratio. The ratio is above its threshold if the mean distance is above zero.
    values, criterion = curve.values, curve.criterion
    if curve.over is not None:
        values, criterion = curve.excess, Criterion(-1.0, 1.0)
    onset = find_onset({step: [column] for step, column in zip(curve.steps, values.T, strict=True)}, criterion)
    verdict: str = onset.verdict.over_steps
    if verdict == OnsetVerdict.FROM_THE_START and curve.steps[0] > start:
        verdict = f"present at its first measurement, at step {curve.steps[0]:g}"
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
    """The answer if there are too few prompts for an order; empty otherwise."""
    fewest = min(curves, key=lambda curve: len(curve.prompts))
    n = len(fewest.prompts)
    if n >= FEWEST_PROMPTS:
        return ""
    return f"cannot be told: {fewest.label} has {n} prompt{'s' * (n > 1)}, and {FEWEST_PROMPTS} are needed"


def _shares(one: _Drawn, other: _Drawn) -> tuple[float, float]:
    """Two shares of resamples: in which `one` comes before `other`, and in which it comes after it."""
    return (one.having <= other.without)[1:].mean(), (other.having <= one.without)[1:].mean()


def _answer(a: _Curve, b: _Curve, one: _Drawn, other: _Drawn) -> str:
    """The order of two quantities as a sentence."""
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
        return "cannot be told: both are present at their first measurement"
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
    """The measured value with the central 95% of its resamples; NaN if fewer than 97.5% of them have a value."""
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
    # Without interpolation, since values may be infinite.
    return float(np.quantile(values, share, method="inverted_cdf"))


def log_step(step: np.ndarray | float) -> np.ndarray:
    """ln(1 + step); minus infinity stays minus infinity."""
    return np.where(np.isneginf(step), -np.inf, np.log1p(np.maximum(step, 0)))
