"""What is used: what happens to the ability when a site's value of a variable is exchanged, steered or erased.

1. Pairs are divided into halves, which share no group of pairs that `ie.probe` would keep in one fold. The directions
   are found on one half and judged on the other, and the reverse.
2. The run is continued from the changed site (`continuing`). The effect is the metric of the changed run minus that of
   the corrupted run, or the metric of the clean run minus that of the changed one: positive if the value is used.
3. Placebos change the same site in random directions, as many and, for every prompt, as far. What is used is the
   effect beyond the mean of the placebos.
4. *Completeness* says whether the variable was changed: a probe that is fitted on the other half reads the changed
   activations. *Selectivity* says whether other variables were left alone (Canby et al., 2024,
   https://arxiv.org/abs/2408.15510). Their harmonic mean is *reliability*.

Cost: one run with gradients for all sites; for each site a part of a run for one change and for every placebo. `das`
also runs `steps` times with gradients. Pairs that a change leaves as they are do not run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import record as record_run
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, require_whole
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.activations import Recorder, read_activations
from interp_emerge.probing.engines.changed_runs import ChangedRuns
from interp_emerge.probing.engines.continuing import require_changeable
from interp_emerge.probing.engines.directions import NullSpaces, alignment
from interp_emerge.probing.engines.folds import groups_of, halves_of
from interp_emerge.probing.engines.sites import LAST, Places, Site, sites_of
from interp_emerge.probing.engines.swaps import Change, Swap
from interp_emerge.probing.engines.validating import Validation
from interp_emerge.probing.engines.variables import Labels, Target, target_of
from interp_emerge.probing.tables import USE_SCORES
from interp_emerge.stats.intervals import mean_interval, ratio_interval
from interp_emerge.stats.significance import false_discovery, sign_flip_p_values

VERSIONS = 4
"""Changed versions of all pairs that run together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UseScores(Record):
    """The effect of a change at each site, and that of its placebos, for each pair."""

    frame: pd.DataFrame
    per_pair: np.ndarray
    """Effect, in the metric's unit, shape [pair, site]."""
    placebos: np.ndarray
    """Mean effect of the placebos, shape [pair, site]."""
    gap: np.ndarray
    """The metric of the clean run minus that of the corrupted one, shape [pair]."""
    origin: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"UseScores({len(self.frame)} sites, {self.origin.get('method', '')}, {len(self.per_pair)} pairs)"

    def to_frame(self) -> pd.DataFrame:
        """One row for each site; the columns are those of the table `use_scores`."""
        return self.frame.copy()


@checked
def use(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    variable: str = "answer",
    method: str = "interchange",
    metric: str | MetricFunction = "logit_diff",
    sites: str | Sequence[str] = "resid_post",
    positions: str | Sequence[str] = LAST,
    layers: Sequence[int] | None = None,
    labels: Labels | None = None,
    held_out: str = "",
    placebos: int = 10,
    steps: int = 60,
    seed: int = 0,
    record: Recorder = record_run,
    budget: int | None = None,
) -> UseScores:
    """The effect on the ability of changing a variable at each site, against placebos.

    Example:
        >>> ie.probing.use(model, names, variable="receiver", method="interchange").to_frame()

    Args:
        model: the model; it is left as it was.
        pairs: clean and corrupted prompts; the variable has to differ between the two.
        variable: what the clean prompts' labels are: see `ie.probe`.
        method: an intervention by name: interchange, das, steering, leace or amnesic.
        metric: name of a metric, or a function of logits and pairs.
        sites: kinds of activations; all that `ie.probe` reads but mlp_hidden.
        positions: names in the pairs, `last` or numbers.
        layers: the layers to change; all if left out.
        labels: a table of more variables.
        held_out: what the two halves never share: see `ie.probe`.
        placebos: number of random changes to compare each change with.
        steps: steps of methods that learn their directions.
        seed: seed of the halves and of the placebos.
        record: gets the activations of a run; by default runs the model.
        budget: bytes that a chunk of changed runs may need.

    Raises:
        UnknownNameError: no method, metric, site, position or variable has the name.
        InputError: the labels do not fit, a wording gives the variable away, the pairs are fewer than 20 or cannot be
            divided into halves of ten, or a site cannot be changed.
    """
    chosen = shelf[method]
    if not isinstance(chosen, Intervention):
        function = {"known": "ie.probe", "read": "ie.lens"}[chosen.asks]
        raise InputError(f"{method!r} changes no activation; call {function}(model, pairs, method={method!r})")
    require_pairs(model, pairs)
    require_whole(placebos, "placebos", least=1)
    require_whole(steps, "steps", least=1)
    if len(pairs) < 20:
        raise InputError(f"{len(pairs)} pairs are too few to find directions on one half and judge them on the other; "
                         "give at least 20")  # fmt: skip
    places = Places.of(pairs, positions)
    wanted = sites_of(model, sites, places, layers)
    for site in wanted:
        require_changeable(site)
    reading: dict[str, Any] = {"places": places, "recorder": record, "budget": budget}
    sides = {side: read_activations(model, pairs, wanted, side=side, **reading) for side in ("clean", "corrupt")}
    other = "corrupt" if chosen.runs == "clean" else "clean"
    targets = {
        name: _Target.of(pairs, variable, index, labels=labels, held_out=held_out, seed=seed)
        for name, index in places.index.items()
    }
    sign = 1 if chosen.runs == "corrupt" else -1
    rows, effects, random_effects = [], [], []
    with model.running():
        runs, unread = ChangedRuns(model, pairs, chosen.runs, metric, budget), NullSpaces(model)
        unchanged = runs.unchanged()
        reached = ChangedRuns(model, pairs, other, metric, budget).unchanged()
        gap = reached.sub(unchanged).mul(sign).double().cpu().numpy()
        gradients = runs.gradients(wanted, places)
        for site in tqdm(wanted, desc=f"{method} of {variable}", delay=2, leave=False):
            index, at = places.index[site.position], targets[site.position]
            base, source = sides[chosen.runs][site].to(model.device), sides[other][site].to(model.device)
            given = {"unchanged": unchanged, "placebos": placebos, "steps": steps, "seed": seed}
            one = _at_site(chosen, runs, site, index, base, source, at, **given)
            effect, random = sign * one.effect, sign * one.random
            effects.append(effect)
            random_effects.append(random)
            validation = Validation.of(pairs, at.target, sides["clean"][site].to(model.device), index, at.half)
            about = {"variable": variable, "method": method, **site.columns, "metric": runs.metric_name}
            about["depth"] = site.depth(len(model.decoder.blocks))
            exchanged = source if chosen.runs == "corrupt" else None
            measured = validation.judge(base, one.changes, source=exchanged)
            directions = _directions(unread, site, one, gradients[site], at.half)
            ends = {"held_out": at.held_out, "n_pairs": len(pairs)}
            rows.append(about | _row(effect, random, gap) | measured | directions | ends)
    frame = pd.DataFrame(rows)
    frame["q_value"] = false_discovery(frame["p_value"].to_numpy())
    origin = {
        "method": method,
        "model": model.spec.to_dict(),
        "n_pairs": len(pairs),
        "prompts": pairs.fingerprint,
        "seed": seed,
        "placebos": placebos,
        **({"ability": pairs.ability} if pairs.ability else {}),
    }
    per_pair, of_placebos = np.stack(effects, 1), np.stack(random_effects, 1)
    return UseScores(frame=frame[[*USE_SCORES.filled]], per_pair=per_pair, placebos=of_placebos, gap=gap, origin=origin)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """The variable at one position, and the halves of the pairs there."""

    target: Target
    held_out: str
    half: Tensor

    @classmethod
    def of(
        cls, pairs: PromptPairs, variable: str, index: Tensor, *, labels: Labels | None, held_out: str, seed: int
    ) -> "_Target":
        target = target_of(pairs, variable, place=index, labels=labels)
        held_out, groups = groups_of(pairs, target, held_out, place=index, labels=labels)
        return cls(target=target, held_out=held_out, half=halves_of(groups.numpy(), seed))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """The change at one site, judged on the half that it was not made on."""

    effect: np.ndarray
    random: np.ndarray
    changes: tuple[Change, Change]
    """Made on the first half, and on the second."""


def _at_site(
    chosen: Intervention,
    runs: ChangedRuns,
    site: Site,
    index: Tensor,
    base: Tensor,
    source: Tensor,
    at: _Target,
    *,
    unchanged: Tensor,
    placebos: int,
    steps: int,
    seed: int,
) -> _Found:
    generator = torch.Generator().manual_seed(seed)
    changes, versions = [], base.expand(1 + placebos, *base.shape).clone()
    for training in (at.half, ~at.half):
        pairs = training.nonzero()[:, 0]
        swap = Swap(
            base=base,
            source=source,
            clean=base if chosen.runs == "clean" else source,
            target=at.target,
            training=training.to(base.device),
            metric=lambda changed, pairs=pairs: runs.metric(site, index, changed[None], pairs)[0],
            seed=seed,
            steps=steps,
        )
        change = chosen.change(swap)
        changes.append(change)
        judged = ~swap.training
        versions[0, judged] = change.values[judged]
        for number in range(placebos):
            versions[1 + number, judged] = swap.placebo(change, generator)[judged]
    found = _effects(runs, site, index, base, versions, unchanged).double().cpu().numpy()
    return _Found(effect=found[0], random=found[1:].mean(0), changes=(changes[0], changes[1]))


@torch.no_grad()
def _effects(runs: ChangedRuns, site: Site, index: Tensor, base: Tensor, versions: Tensor, unchanged: Tensor) -> Tensor:
    """The change of the metric, shape [version, pair]; zero without a run for pairs that no version changes."""
    found = unchanged.new_zeros(versions.shape[:2])
    changed = (versions != base).any(-1).any(0).nonzero()[:, 0].cpu()
    if len(changed):
        parts = [runs.metric(site, index, part, changed) for part in versions[:, changed].split(VERSIONS)]
        found[:, changed] = torch.cat(parts) - unchanged[changed]
    return found


def _row(effect: np.ndarray, random: np.ndarray, gap: np.ndarray) -> dict[str, Any]:
    beyond = effect - random
    whole, over = mean_interval(effect), mean_interval(beyond)
    share = ratio_interval(beyond, gap)
    if not np.isfinite([share.low, share.high]).all():
        share = type(share).undefined()
    return {
        **whole.columns("effect", "ci"),
        "placebo": float(random.mean()),
        **over.columns("beyond_placebo"),
        **share.columns("share"),
        "p_value": float(sign_flip_p_values(beyond[:, None])[0]),
    }


def _directions(unread: NullSpaces, site: Site, one: _Found, gradients: Tensor, half: Tensor) -> dict[str, Any]:
    """Columns on how the directions lie to what the model reads; the means of the two halves."""
    found = []
    for training, change in zip((half, ~half), one.changes, strict=True):
        share, random, p_value = alignment(change.subspace, gradients[(~training).to(gradients.device)])
        found.append((change.subspace.shape[1], share, random, p_value, unread.share(site, change.subspace)))
    means = np.array(found, dtype=float).mean(0)
    # Twice the mean of two p-values is a valid p-value whatever their dependence (Vovk and Wang, 2020).
    combined = min(1.0, 2 * means[3]) if np.isfinite(means[3]) else np.nan
    names = ("rank", "aligned", "aligned_random", "aligned_p", "null_share")
    return dict(zip(names, (*means[:3], combined, means[4]), strict=True))
