"""When a variable is known, when it is used, and when the ability is there, over sizes and over training.

1. `knowing_at` has measured each model. *Known* is the accuracy of the best layer, *used* the share of the
   clean-corrupt gap that an exchange in the best layer moves, beyond placebos.
2. The onset of each is that of `find_onset`. A variable is known above half-way from the majority class to 1: the rule
   for abilities, the same at every size. It is a high bar: below it a variable may still be decoded far above chance
   (table `probe_scores`). It is used above half of the share at the last point: the rule for effects of heads, since an
   exchange in the directions of a probe, less what placebos do, moves a small part of the gap even where all of the
   ability passes through the site. Where it moves nothing beyond placebos at the last point, its onset is undefined.
3. The accuracy from the embedding alone has an onset too. What it decodes is known without any layer.
4. `lead_of` bounds the lead of known over used and over the ability, from the 95% intervals of the two onsets. What is
   known first need not be what the ability waits for; what is known later cannot be.

An exchange needs a variable that differs between the two runs. Where a probe reads as much of the clean value in the
corrupted run as in the clean one, the use is undefined.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.emergence.forming.knowing import Knowing
from interp_emerge.emergence.forming.onsets import Measured
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import PROBE_ONSETS, Question
from interp_emerge.emergence.scale.onset import Criterion, Onset, find_onset
from interp_emerge.stats.intervals import TAIL, UNDEFINED
from interp_emerge.stats.one_sided import mean_over_runs, one_sided

At = tuple[str, int, int]
"""Size, step and seed of a model."""
NOTHING_DIFFERS = "a probe reads no difference in it there between clean and corrupted prompts, so nothing is exchanged"
NOT_DECODED = "at the last point no layer decodes it, so nothing was exchanged"
NO_GAP = "at the last point the clean-corrupt gap is within noise"
NOT_USED = "at the last point an exchange moves the metric no further than placebos do"
NOT_PROBED = "no model was probed for it"
NEITHER = "neither is certain at any point"
WORDS = {Question.KNOWN: "known", Question.USED: "used", Question.ABILITY: "the ability"}
Place = Callable[[Any], float]


@dataclass(frozen=True, kw_only=True)
class Lead:
    """By how much one onset comes before another one."""

    low: float
    """Lower bound, in the unit of the axis."""
    high: float
    verdict: LagVerdict
    answer: str


def lead_of(
    first: Onset | None, second: Onset | None, points: Sequence[Any], place: Place, *, names: tuple[str, str]
) -> Lead:
    """The lead of one onset over another, from the 95% intervals of both; positive bounds mean that it comes first.

    Example:
        >>> lead_of(known, used, [0, 500, 1000], float, names=("known", "used")).verdict

    Args:
        first: an onset; None if it is undefined.
        second: the onset to compare it with.
        points: the points of the axis, in ascending order.
        place: where a point lies on the axis.
        names: what the two are called in the answer.
    """
    if first is None or second is None:
        return Lead(low=np.nan, high=np.nan, verdict=LagVerdict.UNDEFINED, answer=UNDEFINED)
    if first.ci_high is None and second.ci_high is None:
        return Lead(low=np.nan, high=np.nan, verdict=LagVerdict.UNDEFINED, answer=f"{UNDEFINED}: {NEITHER}")
    (without, having), (other_without, other_having) = (_outer(onset, points, place) for onset in (first, second))
    bounds = {"low": other_without - having, "high": other_having - without}
    if having <= other_without:
        return Lead(**bounds, verdict=LagVerdict.LEADS, answer=f"{names[0]} before {names[1]}")
    if other_having <= without:
        return Lead(**bounds, verdict=LagVerdict.LAGS, answer=f"{names[1]} before {names[0]}")
    return Lead(**bounds, verdict=LagVerdict.UNRESOLVED, answer="cannot be told: the intervals of the two overlap")


def knowing_onsets(
    found: Mapping[At, Knowing], accuracies: Measured, ability: Ability, parameters: Mapping[str, int]
) -> pd.DataFrame:
    """The columns of the table `probe_onsets`, for every variable and position.

    Over sizes each training run counts at its last step; over steps the first seed of each size counts.

    Example:
        >>> models = {(size, 5000, 0): family.load(size) for size in ("3k", "7k")}
        >>> one = {"variables": ["next token"], "positions": ["last"]}
        >>> knowing_at = ie.emergence.forming.knowing_at
        >>> found = {at: knowing_at(model, ability.sample(model, 24), **one) for at, model in models.items()}
        >>> accuracies = {(*at, ability.name): np.ones(24) for at in models}
        >>> ie.emergence.forming.knowing_onsets(found, accuracies, ability, {"3k": 3_072, "7k": 7_168})

    Args:
        found: what was measured, by size, step and seed.
        accuracies: accuracy of each prompt, by size, step, seed and ability.
        ability: the ability in question.
        parameters: non-embedding parameters by size, in ascending order.
    """
    sizes = [size for size in parameters if any(at[0] == size for at in found)]
    runs = {size: _runs(found, size) for size in sizes}
    last = {size: [steps[max(steps)] for steps in of.values()] for size, of in runs.items()}
    axes = [_Axis(name="size", at="", points=last, place=lambda size: float(np.log10(parameters[size])))]
    for size, of in runs.items():
        steps = of[min(of)]
        if len(steps) > 1:
            axes.append(
                _Axis(name="step", at=size, points={step: [steps[step]] for step in sorted(steps)}, place=float)
            )
    series = [_Series(found=found, accuracies=accuracies, ability=ability, axis=axis) for axis in axes]
    asked = dict.fromkeys(pair for one in found.values() for pair in _asked(one))
    rows = [row for variable, position in asked for one in series for row in one.rows(variable, position)]
    return pd.DataFrame(rows, columns=pd.Index([*PROBE_ONSETS.filled])).assign(ability=ability.name)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """The points of an axis with their models."""

    name: str
    at: str
    points: Mapping[Any, Sequence[At]]
    place: Place


@dataclass(frozen=True, kw_only=True, eq=False)
class _Series:
    """What was measured along one axis."""

    found: Mapping[At, Knowing]
    accuracies: Measured
    ability: Ability
    axis: _Axis

    def rows(self, variable: str, position: str) -> list[dict[str, Any]]:
        """One row for each question."""
        about = {"variable": variable, "position": position, "axis": self.axis.name, "at": self.axis.at}
        onsets: dict[Question, Onset | None] = {}
        rows = []
        for question in Question:
            values, criterion = self._values(question, variable, position)
            why = "" if values else self._why(question, variable, position)
            if question == Question.USED and values:
                why, criterion = self._use(values, variable, position)
            onset = None if why else self._onset(values, criterion)
            onsets[question] = onset
            row = about | {"question": question} | _columns(onset, criterion, why)
            if onset is not None:
                last = values[[*values][-1]]
                binary = question != Question.USED and all(np.isin(run, (0, 1)).all() for run in last)
                row |= mean_over_runs(last, share=binary).columns("level")
            if question == Question.KNOWN:
                row["untrained"] = self._untrained(variable, position)
            elif question != Question.EMBEDDING:
                row |= self._lead(onsets[Question.KNOWN], onset, question)
            rows.append(row)
        return rows

    def _values(
        self, question: Question, variable: str, position: str
    ) -> tuple[dict[Any, list[np.ndarray]], Criterion]:
        """Values of each run at each point where it was measured, and when they count as present."""
        if question == Question.ABILITY:
            name = self.ability.name
            measured = {point: [self.accuracies[*at, name] for at in ats] for point, ats in self.axis.points.items()}
            return measured, Criterion(self.ability.chance, self.ability.ceiling)
        values = {}
        for point, ats in self.axis.points.items():
            runs = [_items(self.found[at], question, variable, position) for at in ats]
            if kept := [run for run in runs if len(run)]:
                values[point] = kept
        majority = 0.0 if question == Question.USED else self._majority(variable, position)
        return values, Criterion(majority, 1.0)

    def _use(self, values: Mapping[Any, Sequence[np.ndarray]], variable: str, position: str) -> tuple[str, Criterion]:
        """Why the onset of a use is undefined, empty if it is not; and when it counts as present."""
        last = values[[*values][-1]]
        if all(rows.empty for rows in self._rows_of("uses", variable, position, self._last())):
            return NOT_DECODED, Criterion(0.0, 1.0)
        if not any(run.any() for run in last):
            return NO_GAP, Criterion(0.0, 1.0)
        if not self._differs(variable, position):
            return NOTHING_DIFFERS, Criterion(0.0, 1.0)
        if not one_sided(last, 0.0)[0] < TAIL:
            return NOT_USED, Criterion(0.0, 1.0)
        return "", Criterion(0.0, float(np.mean([run.mean() for run in last])))

    def _onset(self, values: Mapping[Any, Sequence[np.ndarray]], criterion: Criterion) -> Onset:
        onset = find_onset(values, criterion)
        if self.axis.name != "step":
            return onset
        verdict = onset.verdict.over_steps
        return replace(onset, verdict=verdict, reason=onset.reason if verdict == onset.verdict else "")

    def _lead(self, known: Onset | None, other: Onset | None, question: Question) -> dict[str, Any]:
        names = WORDS[Question.KNOWN], WORDS[question]
        lead = lead_of(known, other, [*self.axis.points], self.axis.place, names=names)
        ends = np.array([lead.low, lead.high])
        low, high = 10**ends if self.axis.name == "size" else ends
        return {"lead_low": low, "lead_high": high, "lead": lead.verdict, "answer": lead.answer}

    def _last(self) -> Sequence[At]:
        return self.axis.points[[*self.axis.points][-1]]

    def _rows_of(self, table: str, variable: str, position: str, ats: Sequence[At]) -> list[pd.DataFrame]:
        frames = [self.found[at].tables[table] for at in ats]
        return [frame[(frame["variable"] == variable) & (frame["position"] == position)] for frame in frames]

    def _majority(self, variable: str, position: str) -> float:
        """The highest accuracy of the majority class at any point; 0 if the variable was never probed."""
        ats = [at for of in self.axis.points.values() for at in of]
        found = [
            float(rows["majority"].max()) for rows in self._rows_of("probes", variable, position, ats) if len(rows)
        ]
        return max(found, default=0.0)

    def _untrained(self, variable: str, position: str) -> float:
        found = [rows["untrained"].max() for rows in self._rows_of("probes", variable, position, self._last())]
        found = [value for value in found if np.isfinite(value)]
        return float(np.mean(found)) if found else np.nan

    def _differs(self, variable: str, position: str) -> bool:
        """Whether the two runs differ in the variable at the last point that was exchanged; True if that is unknown.

        The layer with the largest effect decides.
        """
        for ats in reversed([*self.axis.points.values()]):
            rows = pd.concat(self._rows_of("uses", variable, position, ats), ignore_index=True)
            if len(rows):
                best = rows.sort_values("effect", kind="stable").iloc[-1]
                return bool(np.isnan(best["differs"]) or best["differs_low"] > 0)
        return True

    def _why(self, question: Question, variable: str, position: str) -> str:
        """Why nothing was measured: the reason given for the last model."""
        ats = [at for of in self.axis.points.values() for at in of]
        asked = (Question.KNOWN,) if question in (Question.KNOWN, Question.EMBEDDING) else (question, Question.KNOWN)
        for rows in reversed(self._rows_of("refused", variable, position, ats)):
            for one in asked:
                if len(reasons := rows[rows["question"] == one]["reason"]):
                    return str(reasons.iloc[0])
        return NOT_PROBED


def _runs(found: Mapping[At, Knowing], size: str) -> dict[int, dict[int, At]]:
    """The models of a size, by seed and step."""
    runs: dict[int, dict[int, At]] = {}
    for at in found:
        if at[0] == size:
            runs.setdefault(at[2], {})[at[1]] = at
    return runs


def _asked(one: Knowing) -> list[tuple[str, str]]:
    """Every variable and position that was probed or refused."""
    both = pd.concat([one.items[["variable", "position"]], one.refused[["variable", "position"]]]).drop_duplicates()
    return [(str(variable), str(position)) for variable, position in both.itertuples(index=False)]


def _items(one: Knowing, question: Question, variable: str, position: str) -> np.ndarray:
    items = one.items
    kept = (items["question"] == question) & (items["variable"] == variable) & (items["position"] == position)
    return items[kept]["value"].to_numpy(dtype=float)


def _outer(onset: Onset, points: Sequence[Any], place: Place) -> tuple[float, float]:
    """Where the last point before the 95% interval of an onset lies, and the last point in it; infinite without one."""
    start = len(points) if onset.ci_low is None else points.index(onset.ci_low)
    without = place(points[start - 1]) if start else -np.inf
    return without, np.inf if onset.ci_high is None else place(onset.ci_high)


def _columns(onset: Onset | None, criterion: Criterion, why: str) -> dict[str, Any]:
    names = ("last_without", "first_with", "ci_low", "ci_high")
    ends = {name: "" if (point := getattr(onset, name, None)) is None else str(point) for name in names}
    if onset is None:
        return ends | {"threshold": criterion.threshold, "verdict": UNDEFINED, "reason": why}
    return ends | {"threshold": criterion.threshold, "verdict": str(onset.verdict), "reason": onset.reason}
