"""When an ability starts to depend on its circuit: the final circuit and its parts are ablated at every checkpoint.

A head may show the behaviour of its role before the ability uses it. So dependence is measured causally: a part of the
final circuit is ablated in the whole model, and the fall of the metric is compared with the fall when random nodes or
edges are ablated. Ablating parts of a circuit follows Wang et al. (2022, https://arxiv.org/abs/2211.00593). Random
connected circuits as a null follow Shi et al. (2024, https://arxiv.org/abs/2410.13032). Circuits over training follow
Tigges et al. (2024, https://arxiv.org/abs/2407.10827).

1. `parts_of` lists what is ablated: every edge of the model (this loses the whole gap), the edges of the circuit, its
   heads together, the heads of each role, each head and each MLP. A node is ablated by removing every edge that it
   writes.
2. The null for a set of heads consists of different random choices of the same number of heads from the same layers.
   There are three rules: heads outside the circuit; any heads except those of the part; any heads. The first rule that
   gives 19 choices is used, since p = 0.05 needs 19. If no rule does, the first rule that gives any choice is used.
   With the third rule a choice may contain some of the part's heads, which makes the null harder to exceed. The null
   for edges consists of random connected circuits of the same size, which may share edges with the circuit.
3. `dependence_at` runs the model without each part and without each random choice, on the same pairs. The drop is
   m(M) − m(M∖part), mean over pairs, in the metric's unit. It is positive if the ability depends on the part. The share
   is drop / (m(M) − m(∅)), a fraction that may leave [0, 1]. The p-value is that of the drop's rank among random
   choices (`stats.ranks`), not adjusted for the number of parts.
4. `dependence` does this at every checkpoint. It finds the step from which on the ability depends on a part, by each
   `DependenceCriterion`. `above random`: the drop exceeds zero and the 95th percentile of the null. For the part with
   every edge, which has no null, it only has to exceed zero. `half of last`: the drop exceeds half of the drop at the
   last checkpoint. The onset is the first checkpoint such that the criterion holds there and at every later one, so it
   is not an onset if the criterion holds by coincidence for a while. The interval of the onset is the central 95% over
   resamples of the pairs, with the same pairs at all checkpoints.

If the gap is not certainly above zero, drops are undefined, and at this checkpoint the ability counts as
not depending on the part. If a layer has few other heads, the null is coarse: three others allow p = 0.25 at best. So
an onset with fewer than 19 random choices is reported with its step, but its verdict is `too few random choices`.
`above random` finds effects of any size that the pairs can resolve, so more pairs make the onset earlier. `half of
last` does not depend on the number of pairs, but it follows the growth of the ability itself: compare it with the
onset of the part with every edge. A drop of zero does not prove that a part does nothing: other parts may replace it.

Cost: one circuit run for each different part and choice, at most (1 + `n_random`) for each part, at each checkpoint.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.circuits.running.faithfulness import why_undefined
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.emergence.forming.parts import FEWEST_CHOICES, Part, PartRuns, measure_parts, parts_of
from interp_emerge.emergence.forming.tables import (
    DEPENDENCE_COLUMNS,
    DEPENDENCE_ONSETS,
    DependenceCriterion,
    DependenceVerdict,
)
from interp_emerge.patching.ablation import Ablation
from interp_emerge.patching.base import Recorder
from interp_emerge.stats.intervals import SURE, TAIL, Interval, mean_interval, ratio_interval
from interp_emerge.stats.ranks import null_quantile, rank_p
from interp_emerge.stats.resampling import resample_weights

__all__ = [
    "Dependence",
    "Part",
    "dependence",
    "dependence_at",
    "parts_of",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dependence(Record):
    """What the model loses without each part at every checkpoint, and from which step on the ability depends on it.

    `table` has the column `step` and `DEPENDENCE_COLUMNS`. `onsets` has the columns that fill `DEPENDENCE_ONSETS`.
    """

    table: pd.DataFrame
    onsets: pd.DataFrame


@checked
def dependence_at(
    runs: Runs, circuit: Circuit, *, parts: Sequence[Part] | None = None, n_random: int = 20
) -> pd.DataFrame:
    """What one model loses without each part of a circuit: `DEPENDENCE_COLUMNS`, a row for each part and metric.

    Example:
        >>> ie.emergence.forming.dependence_at(runs, circuit, n_random=2)

    Args:
        runs: model, pairs and metric. The model may be a different checkpoint from the one in which the circuit was
            found, and the pairs should be different from those used to find it. Accuracy is measured in addition to the
            metric. The seed is used for the random choices.
        circuit: the circuit whose parts are ablated.
        parts: what to ablate; by default `parts_of(circuit)`.
        n_random: largest number of random choices to compare each part with.

    Raises:
        InputError: the circuit is empty or from a graph of another shape, or `n_random` is below 1.
        UnknownNameError: the model lacks a head.
    """
    runs.model.require_graph(circuit.graph)
    parts = parts_of(circuit) if parts is None else parts
    return _frame(measure_parts(runs, parts, circuit, n_random=n_random))


@checked
def dependence(
    models: Iterable[tuple[int, HookedModel | Callable[[], HookedModel]]],
    circuit: Circuit,
    pairs: PromptPairs,
    *,
    parts: Sequence[Part] | None = None,
    metric: str | MetricFunction = "logit_diff",
    ablation: Ablation = "resample",
    n_random: int = 20,
    seed: int = 0,
    budget: int | None = None,
    record: Recorder = record,
) -> Dependence:
    """What the checkpoints of a training run lose without each part of a circuit, and when the ability depends on it.

    Example:
        >>> models = [(step, family.load("25k", step=step)) for step in (500, 1500, 5000)]
        >>> parts = [ie.emergence.forming.Part(kind="head", name="a0.h0", nodes=("a0.h0",))]
        >>> ie.emergence.forming.dependence(models, circuit, held_out, parts=parts, n_random=3)

    Args:
        models: training steps, each with its model or a function that loads it, in any order. Only one loaded model is
            in memory at a time. Steps may be missing.
        circuit: the circuit of the last checkpoint, whose parts are ablated.
        pairs: prompt pairs that were not used to find the circuit.
        parts: see `dependence_at`.
        metric: see `Runs`.
        ablation: see `Runs`.
        n_random: see `dependence_at`.
        seed: seed of the bootstrap and of the random choices, which are the same at all checkpoints.
        budget: see `Runs`.
        record: see `Runs`.

    Raises:
        InputError: there is no checkpoint, a step is given twice, or for the reasons given in `dependence_at`.
        UnknownNameError: there is no such head, metric or ablation.
    """
    parts = parts_of(circuit) if parts is None else parts
    measured: dict[int, list[PartRuns]] = {}
    for step, load in tqdm(models, desc="checkpoints", delay=2, leave=False):
        if step in measured:
            raise InputError(f"step {step} is given twice; give each checkpoint of one training run once")
        model = load if isinstance(load, HookedModel) else load()
        model.require_graph(circuit.graph)
        runs = Runs(model, pairs, metric=metric, ablation=ablation, seed=seed, budget=budget, record=record)
        measured[step] = measure_parts(runs, parts, circuit, n_random=n_random)
        del model, runs
    if not measured:
        raise InputError("no checkpoint was given; give at least one as (step, model)")
    return dependence_from(measured, seed=seed)


def dependence_from(measured: Mapping[int, Sequence[PartRuns]], *, seed: int = 0) -> Dependence:
    """The result of `dependence`, from runs without the same parts on the same pairs at each step.

    Args:
        measured: what `measure_parts` returned, by training step.
        seed: seed of the bootstrap.
    """
    steps = sorted(measured)
    frames = []
    for step in steps:
        frames.append(_frame(measured[step]))
        frames[-1].insert(0, "step", step)
    by_part = zip(*(measured[step] for step in steps), strict=True)
    onsets = [row for runs in by_part for row in _onsets(steps, runs, seed)]
    return Dependence(table=pd.concat(frames, ignore_index=True), onsets=_onset_frame(onsets))


def _frame(measured: Iterable[PartRuns]) -> pd.DataFrame:
    return pd.DataFrame([_row(runs) for runs in measured], columns=pd.Index([*DEPENDENCE_COLUMNS]))


def _row(runs: PartRuns) -> dict[str, object]:
    drop = share = Interval.undefined()
    median = high = p_value = np.nan
    random = runs.random_drops.mean(1)
    why = why_undefined(runs.gap)
    notes = [f"undefined: the gap of {runs.gap.mean():.3g} {why}"] if why else []
    if not why:
        drop, share = mean_interval(runs.drop), ratio_interval(runs.drop, runs.gap)
        if not len(random) and runs.part.kind != "model":
            few = "one MLP" if runs.part.kind == "mlp" else "too few other heads"
            notes.append(f"no null: a layer has {few}")
        if len(random):
            median, high = np.median(random), null_quantile(random).item()
            p_value = rank_p(drop.value, random, magnitude=abs(float(runs.gap.mean())))
    return {
        "kind": runs.part.kind,
        "component": runs.part.name,
        "nodes": " ".join(runs.part.nodes),
        "n_edges": runs.n_edges,
        "metric": runs.metric,
        "whole": runs.whole.mean(),
        **mean_interval(runs.without).columns("value"),
        **drop.columns("drop"),
        **share.columns("share"),
        "null": runs.null,
        "n_random": len(random),
        "random_median": median,
        "random_p95": high,
        "p_value": p_value,
        "note": "; ".join(notes),
    }


def _onsets(steps: list[int], over_steps: Sequence[PartRuns], seed: int) -> list[dict[str, object]]:
    """The onset by each criterion, from the runs without one part in one metric at every step."""
    part, n_pairs = over_steps[0].part, len(over_steps[0].whole)
    weights = resample_weights(n_pairs, seed=seed, observed_first=True)
    defined = np.array([runs.defined for runs in over_steps])
    drops = np.stack([weights @ runs.drop for runs in over_steps], 1)
    ends_above_zero = mean_interval(over_steps[-1].drop).low > 0
    common = {"kind": part.kind, "component": part.name, "metric": over_steps[0].metric}
    n_random = len(over_steps[-1].without_random)
    found = []
    for criterion in DependenceCriterion:
        known = bool(defined[-1])
        if criterion == DependenceCriterion.HALF_OF_LAST:
            present = (drops > drops[:, -1:] / 2) & ends_above_zero
        elif part.kind == "model":
            present = drops > 0
        elif n_random:
            # At a step without a gap there are no random runs, and the ability counts as not depending on the part.
            means = [runs.random_drops @ weights.T for runs in over_steps]
            nulls = [null_quantile(mean) if len(mean) else np.full(len(drops), np.inf) for mean in means]
            present = (drops > np.stack(nulls, 1)) & (drops > 0)
        else:
            known, present = False, np.zeros_like(drops, dtype=bool)
        onset = _onset(steps, present & defined) if known else {"verdict": DependenceVerdict.UNDEFINED}
        coarse = criterion == DependenceCriterion.ABOVE_RANDOM and 0 < n_random < FEWEST_CHOICES
        if coarse and onset["verdict"] in (DependenceVerdict.DEPENDS, DependenceVerdict.FROM_THE_START):
            onset["verdict"] = DependenceVerdict.TOO_FEW
        found.append({**common, "criterion": criterion, "n_random": n_random, **onset})
    return found


def _onset(steps: list[int], present: np.ndarray) -> dict[str, object]:
    """The first step such that the criterion holds there and at every later step, with its interval and verdict.

    Args:
        steps: training steps.
        present: whether the criterion holds, shape [resample, step]; row 0 is the measurement itself.
    """
    n = len(steps)
    stays = np.logical_and.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    first = np.where(stays.any(1), stays.argmax(1), n)
    at, resampled = int(first[0]), first[1:]
    indices = np.quantile(resampled, [TAIL, SURE], method="inverted_cdf").astype(int)
    low, high = (steps[index] if index < n else None for index in indices)
    if at == n:
        verdict = DependenceVerdict.LOST_AGAIN if present[0].any() else DependenceVerdict.NOT_REACHED
    elif (resampled < n).mean() < SURE:
        verdict = DependenceVerdict.UNDECIDED
    else:
        verdict = DependenceVerdict.DEPENDS if at else DependenceVerdict.FROM_THE_START
    return {
        "last_without": steps[at - 1] if 0 < at < n else None,
        "first_with": steps[at] if at < n else None,
        "ci_low": low,
        "ci_high": high,
        "verdict": verdict,
    }


def _onset_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=pd.Index([*DEPENDENCE_ONSETS.filled]))
    at = ["last_without", "first_with", "ci_low", "ci_high"]
    return frame.astype(dict.fromkeys(at, "Int64"))
