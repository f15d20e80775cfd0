"""How far the direction of a probe turns over the training of one run, beside what noise and shuffled labels give.

1. The activations of one site are read at every checkpoint, and the accuracy of the decoder there is measured.
2. The prompts are divided into two halves; prompts that are equal up to the site are in one half. At each checkpoint
   a probe is fitted on each half (`direction_fits`). The *cosine* of two checkpoints is that between the probe of one
   half at the first and the probe of the other half at the second, the mean of both ways. They share no prompts, so
   the noise of the same prompts is not counted as agreement. The cosine of a checkpoint with itself says what noise
   leaves. The *ceiling* of two checkpoints is the geometric mean of these two.
3. The interval is a bootstrap over groups of prompts in each half. A sample has fewer different prompts than there are,
   which lowers all its cosines. So the interval has the spread of the samples, in Fisher's transform of the cosine, and
   not their percentiles. It is a little narrow: in simulations with 64 to 200 prompts, 90 to 95% of the
   intervals contained the expected cosine.
4. The null has shuffled labels. Activations spread in few directions, so any two probes have cosines farther from zero
   than random directions of the same space.

A probe of K classes has K columns of weights, which are defined up to a vector that is added to all. Their mean is
subtracted, and the cosine is that of all columns together; for two classes it is that of the direction between them.

The checkpoints of one run share a basis. Runs of other seeds have bases of their own: the same meaning has another
direction there, and cosines are those of random directions, however alike the models are. Models of other sizes have
other widths. Both are refused.

Cost: one pass over the pairs, and a fit for each sample and each shuffle, for each checkpoint.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import torch

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import record as record_run
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, require_whole
from interp_emerge.core.memory import CPU_BUDGET
from interp_emerge.core.model import HookedModel
from interp_emerge.core.spec import ModelSpec
from interp_emerge.emergence.forming.direction_fits import CheckpointFits, cosines, fisher_interval
from interp_emerge.emergence.forming.tables import TURNS
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.activations import Recorder, read_activations
from interp_emerge.probing.engines.comparing import Judge
from interp_emerge.probing.engines.folds import folds_of
from interp_emerge.probing.engines.plans import plan_of
from interp_emerge.probing.engines.sites import LAST, Places, Site, sites_of
from interp_emerge.probing.engines.trials import Design, try_decoder
from interp_emerge.probing.engines.variables import Labels
from interp_emerge.stats.intervals import SURE, TAIL
from interp_emerge.stats.ranks import rank_p

RESAMPLES = DRAWS = 200
FOLDS = 5
FEWEST = 4
"""Groups of prompts of each class that a half needs; with fewer, many bootstrap samples would lack a class."""


@checked
def direction_turns(
    models: Iterable[HookedModel],
    pairs: PromptPairs,
    *,
    variable: str = "answer",
    layer: int,
    site: str = "resid_post",
    head: int | None = None,
    position: str = LAST,
    method: str = "mass_mean",
    labels: Labels | None = None,
    held_out: str = "",
    resamples: int = RESAMPLES,
    draws: int = DRAWS,
    seed: int = 0,
    record: Recorder = record_run,
    budget: int | None = None,
) -> pd.DataFrame:
    """The cosine between a variable's probe directions at each two checkpoints of one run, in the columns of `TURNS`.

    The ceiling is what noise leaves of a direction that has not turned. With a probe that decodes nothing
    (`accuracy_a`, `accuracy_b`) the cosine is that of noise.

    Example:
        >>> pairs = ie.load_ability("indirect_object").sample(model, n=256)
        >>> run = (family.load("25k", step=step) for step in (500, 5000))
        >>> turns = ie.emergence.forming.direction_turns(run, pairs, variable="receiver", layer=1)
        >>> turns[["step_a", "step_b", "cosine", "ci_low", "ci_high", "ceiling", "null_high"]]
        >>> ie.figures.turns_matrix(turns)

    Args:
        models: checkpoints of one training run; they may be a generator, so that one is in memory at a time.
        pairs: prompts with labels.
        variable: what to decode, as in `ie.probe`.
        layer: the layer of the site.
        site: kind of activation.
        head: the head, for kinds that heads have.
        position: a name in the pairs, `last`, or a number.
        method: a decoder by name. Its strength is the median of those that the checkpoints would choose.
        labels: a table of more variables.
        held_out: what the two halves never share, as in `ie.probe`.
        resamples: samples of the bootstrap.
        draws: shuffles of the labels.
        seed: seed of halves, bootstrap and shuffles.
        record: gets the activations of a run; by default runs the model.
        budget: bytes that activations and fits may each hold.

    Raises:
        UnknownNameError: no method, site, position or variable has the name.
        InputError: the models are of several runs or sizes, there are fewer than two, two have the same step, a class
            is too rare, or an activation is not finite.
    """
    decoder = shelf[method]
    if not isinstance(decoder, Decoder):
        raise InputError(f"{method!r} decodes no variable; name a decoder, such as mass_mean or logistic")
    require_whole(resamples, "resamples", least=20)
    require_whole(draws, "draws", least=20)
    places = Places.of(pairs, position)
    (place,) = places.index
    design = plan_of(
        pairs, variable, place, places, decoder, labels=labels, held_out=held_out, folds=FOLDS, seed=seed
    ).design
    second = _second_half(design, seed)
    specs: list[ModelSpec] = []
    read: list[CheckpointFits] = []
    at = None
    for model in models:
        require_pairs(model, pairs)
        specs.append(model.spec)
        _require_one_run(specs)
        at = _site(model, site, layer, head, places)
        values = read_activations(model, pairs, (at,), places, recorder=record, budget=budget)[at]
        if not bool(torch.isfinite(values).all()):
            raise InputError(f"activations of {model.spec} at {at} are not all finite, so no probe can be fitted to "
                             "them; leave that checkpoint out, or take another site")  # fmt: skip
        trial = try_decoder(decoder, values[None], design.only_true(), budget=budget or CPU_BUDGET, full=False)
        accuracy = Judge(design=design).accuracy(trial.hits[0, 0])
        read.append(CheckpointFits(decoder, values, design, second, float(trial.strength[0]), accuracy))
    if at is None or len(read) < 2:
        raise InputError(f"{len(read)} checkpoints: a cosine is between two; give two or more of one training run")
    order = np.argsort([spec.step for spec in specs])
    read = [read[place] for place in order]
    _fit_all(read, _samples(design, second, resamples, seed), _shuffled(design, second, draws, seed))
    first, target = specs[0], design.target
    about = {"size": first.size, "seed": first.seed, "ability": pairs.ability or "", "method": method}
    about |= {"variable": target.variable, **at.columns, "n_pairs": len(pairs)}
    about["majority"] = Judge(design=design).accuracy(design.base[0]) if target.n_classes else 0.0
    steps = sorted(spec.step for spec in specs)
    rows = [
        {"step_a": steps[a], "step_b": steps[b], **about, **_row(read[a], read[b])}
        for a, b in combinations_with_replacement(range(len(read)), 2)
    ]
    return TURNS.shaped(pd.DataFrame(rows))


def _row(a: CheckpointFits, b: CheckpointFits) -> dict[str, float]:
    """The numbers of two checkpoints, or of one with itself."""
    cosine = float(cosines(a.true, b.true)[0])
    null = cosines(a.shuffled, b.shuffled)
    left = [float(cosines(one.true, one.true)[0]) for one in (a, b)]
    return {
        **fisher_interval(cosine, cosines(a.resampled, b.resampled)).columns("cosine", "ci"),
        "ceiling": float(np.sqrt(left[0] * left[1])) if min(left) > 0 else np.nan,
        "null_low": float(np.quantile(null, TAIL)),
        "null_high": float(np.quantile(null, SURE)),
        "p_value": rank_p(abs(cosine), np.abs(null)),
        "accuracy_a": a.accuracy,
        "accuracy_b": b.accuracy,
    }


def _fit_all(read: Sequence[CheckpointFits], samples: Sequence[np.ndarray], labels: torch.Tensor) -> None:
    strength = float(np.median([one.strength for one in read]))
    for one in read:
        one.fit(strength, samples, labels)


def _require_one_run(specs: Sequence[ModelSpec]) -> None:
    """Raise unless the last model is another checkpoint of the first one's run."""
    first, last = specs[0], specs[-1]
    if (last.family, last.size) != (first.family, first.size):
        raise InputError(f"{first} and {last} are of two sizes or families, whose directions have other widths or "
                         "bases, so they have no cosine; give checkpoints of one run")  # fmt: skip
    if last.seed != first.seed:
        raise InputError(f"{first} and {last} are independent runs, each with a basis of its own, in which the same "
                         "meaning has another direction; give checkpoints of one run")  # fmt: skip
    if any(spec.step == last.step for spec in specs[:-1]):
        raise InputError(f"step {last.step} is given twice; give each checkpoint of {last.size} once")


def _site(model: HookedModel, kind: str, layer: int, head: int | None, places: Places) -> Site:
    found = [one for one in sites_of(model, kind, places, [layer]) if head in (None, one.head)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{model.spec} has no head {head} at {kind} of layer {layer}; give another one, or leave it out"
        )
    raise InputError(f"{kind} has {len(found)} heads in layer {layer}; give one, such as head=0")


def _second_half(design: Design, seed: int) -> np.ndarray:
    """Which pairs are in the second half, shape [pair]; groups are whole, and both halves have all classes.

    Raises:
        InputError: a class has too few groups of prompts.
    """
    second = folds_of(design.groups, design.target.labels, 2, seed).numpy() == 1
    groups, labels = design.groups.numpy(), design.target.labels.numpy()
    for half in (second, ~second):
        for number, name in enumerate(design.target.classes):
            n = len({*groups[half & (labels == number)]})
            if n < FEWEST:
                raise InputError(f"{design.target.variable} {name!r} is in {n} different prompts of one half, and "
                                 f"{FEWEST} are needed; give more pairs, or fewer classes")  # fmt: skip
    return second


def _samples(design: Design, second: np.ndarray, resamples: int, seed: int) -> list[np.ndarray]:
    """Rows of bootstrap samples: groups are drawn in each half, again where a class is missing."""
    rng = np.random.default_rng([seed, 7])
    groups, labels = design.groups.numpy(), design.target.labels.numpy()
    halves = [[np.flatnonzero(groups == group) for group in np.unique(groups[half])] for half in (~second, second)]

    def draw(members: list[np.ndarray]) -> np.ndarray:
        while True:
            rows = np.concatenate([members[one] for one in rng.integers(len(members), size=len(members))])
            if not design.target.n_classes or len({*labels[rows]}) == design.target.n_classes:
                return rows

    return [np.concatenate([draw(members) for members in halves]) for _ in range(resamples)]


def _shuffled(design: Design, second: np.ndarray, draws: int, seed: int) -> torch.Tensor:
    """Labels in random order within each half, shape [draw, pair]; groups exchange them if each has one label."""
    rng = np.random.default_rng([seed, 8])
    groups, labels = design.groups.numpy(), design.target.labels.numpy()
    first = np.unique(groups, return_index=True)[1]
    whole = bool((labels == labels[first][groups]).all())
    of_pair = groups if whole else np.arange(len(labels))
    units, ends = (labels[first], second[first]) if whole else (labels, second)
    found = np.empty((draws, len(labels)), labels.dtype)
    for draw in found:
        mixed = units.copy()
        for half in (ends, ~ends):
            mixed[half] = rng.permutation(units[half])
        draw[:] = mixed[of_pair]
    return torch.from_numpy(found)
