"""What is used: what happens to the ability when a site's value of a variable is exchanged, steered or erased.

1. Pairs are divided into halves; equal clean prompts are in one half. The directions are found on one half and judged
   on the other, and the reverse.
2. The run is continued from the changed site (`continuing`). The effect is the metric of the changed run minus that of
   the corrupted run, or the metric of the clean run minus that of the changed one: positive if the value is used.
3. Placebos change the same site in random directions, as many and, for every prompt, as far. What is used is the
   effect beyond the mean of the placebos.
4. *Completeness* says whether the variable was changed: a probe that is fitted on the other half reads the changed
   activations. *Selectivity* says whether other variables were left alone (Canby et al., 2024,
   https://arxiv.org/abs/2408.15510). Their harmonic mean is *reliability*.

Cost: for each site a part of a run for one change and for every placebo; `das` also runs `steps` times with gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import BoundMetric, MetricFunction, bind_metric
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import record as record_run
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, require_whole
from interp_emerge.core.memory import BYTES_A_FLOAT, items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.activations import Recorder, read_activations
from interp_emerge.probing.engines.continuing import Continuation, require_changeable
from interp_emerge.probing.engines.directions import NullSpaces, alignment
from interp_emerge.probing.engines.folds import equal_up_to, halves_of
from interp_emerge.probing.engines.sites import LAST, Places, Site, sites_of
from interp_emerge.probing.engines.swaps import Change, Swap
from interp_emerge.probing.engines.validating import Validation
from interp_emerge.probing.engines.variables import Labels, Target, target_of
from interp_emerge.stats.intervals import mean_interval, ratio_interval
from interp_emerge.stats.significance import false_discovery, sign_flip_p_values
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, TEST_COLUMNS, Table

USE_SCORES = Table(
    name="use_scores",
    row="the effect of exchanging or erasing one variable at one site of one model",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "variable": "what is exchanged or erased",
        "method": "intervention",
        "site": "kind of activation",
        "layer": "layer, from 0",
        "head": "head, or key-value head for keys and values; -1 for kinds without heads",
        "position": "position in the prompt",
        "metric": "metric in which the effect is measured",
        "effect": "rise of the metric of the corrupted run, or fall of that of the clean run",
        **INTERVAL_COLUMNS,
        "placebo": "mean effect of changes in random directions, as many and as far",
        "beyond_placebo": "effect minus placebo",
        "beyond_placebo_low": "lower end of its 95% interval over prompts",
        "beyond_placebo_high": "upper end of its 95% interval over prompts",
        "share": "beyond_placebo as a fraction of the gap between clean and corrupted run; empty where the gap is zero",
        "share_low": "lower end of its 95% interval over prompts",
        "share_high": "upper end of its 95% interval over prompts",
        **TEST_COLUMNS,
        "rank": "number of directions, the mean of the two halves",
        "completeness": "share of the variable's change that a probe of the other half reads; from 0 to 1",
        "selectivity": "share of other variables' decoded values that stay as they were; empty without other variables",
        "reliability": "harmonic mean of completeness and selectivity",
        "aligned": "share of the metric's mean gradient at the site that lies in the directions",
        "aligned_random": "the same for random directions",
        "aligned_p": "probability that random directions hold as much of the gradient",
        "null_share": "share of the directions in the null space of the attention, heads and unembedding that read the "
        "site; an upper bound, since MLPs read too",
        "n_pairs": "number of pairs",
    },
)


@dataclass(frozen=True, kw_only=True, eq=False)
class UseScores:
    """The effect of a change at each site, and that of its placebos, for each pair."""

    frame: pd.DataFrame
    per_pair: np.ndarray
    """Effect, in the metric's unit, shape [pair, site]."""
    placebos: np.ndarray
    """Mean effect of the placebos, shape [pair, site]."""
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
    labels: Labels | None = None,
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
        pairs: clean and corrupted prompts of one length; the variable has to differ between the two.
        variable: what the clean prompts' labels are: see `ie.probe`.
        method: an intervention by name: interchange, das, steering, leace or amnesic.
        metric: name of a metric, or a function of logits and pairs.
        sites: kinds of activations; all that `ie.probe` reads but mlp_hidden.
        positions: names in the pairs, `last` or numbers.
        labels: a table of more variables.
        placebos: number of random changes to compare each change with.
        steps: steps of methods that learn their directions.
        seed: seed of the halves and of the placebos.
        record: gets the activations of a run; by default runs the model.
        budget: bytes that a chunk of changed runs may need.

    Raises:
        UnknownNameError: no method, metric, site, position or variable has the name.
        InputError: the labels do not fit, pairs have several lengths or are fewer than 20, or a site cannot be changed.
    """
    chosen = shelf[method]
    if not isinstance(chosen, Intervention):
        function = {"known": "ie.probe", "read": "ie.lens"}[chosen.asks]
        raise InputError(f"{method!r} changes no activation; call {function}(model, pairs, method={method!r})")
    require_pairs(model, pairs)
    require_whole(placebos, "placebos", least=1)
    require_whole(steps, "steps", least=1)
    pairs.require_one_length("an exchange of activations")
    if len(pairs) < 20:
        raise InputError(f"{len(pairs)} pairs are too few to find directions on one half and judge them on the other; "
                         "give at least 20")  # fmt: skip
    places = Places.of(pairs, positions)
    wanted = sites_of(model, sites, places)
    for site in wanted:
        require_changeable(site)
    bound = bind_metric(metric, model, pairs, budget=budget)
    reading: dict[str, Any] = {"places": places, "recorder": record, "budget": budget}
    sides = {side: read_activations(model, pairs, wanted, side=side, **reading) for side in ("clean", "corrupt")}
    other = "corrupt" if chosen.runs == "clean" else "clean"
    half = halves_of(equal_up_to(pairs, pairs.lengths - 1), seed)
    sign = 1 if chosen.runs == "corrupt" else -1
    rows, effects, random_effects = [], [], []
    with model.running():
        runs, unread = _Runs(model, pairs, chosen.runs, bound, budget), NullSpaces(model)
        gap = _Runs(model, pairs, other, bound, budget).unchanged().sub(runs.unchanged()).mul(sign).double().numpy()
        for site in tqdm(wanted, desc=f"{method} of {variable}", delay=2, leave=False):
            index = places.index[site.position]
            target = target_of(pairs, variable, place=index, labels=labels)
            base, source = sides[chosen.runs][site].to(model.device), sides[other][site].to(model.device)
            one = _at_site(
                chosen, runs, site, index, base, source, target, half, placebos=placebos, steps=steps, seed=seed
            )
            effect, random = sign * one.effect, sign * one.random
            effects.append(effect)
            random_effects.append(random)
            validation = Validation.of(pairs, target, sides["clean"][site].to(model.device), index, half)
            about = {"variable": variable, "method": method, **site.columns, "metric": bound.name}
            measured = validation.judge(base, one.changes, toward_labels=chosen.runs == "corrupt")
            directions = _directions(unread, site, one, runs, index, base, half)
            rows.append(about | _row(effect, random, gap) | measured | directions | {"n_pairs": len(pairs)})
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
    return UseScores(frame=frame[[*USE_SCORES.filled]], per_pair=per_pair, placebos=of_placebos, origin=origin)


class _Runs:
    """Continuations of one run of all pairs, in chunks that fit the budget."""

    def __init__(
        self, model: HookedModel, pairs: PromptPairs, side: str, metric: BoundMetric, budget: int | None
    ) -> None:
        self.model = model
        tokens = getattr(pairs, side).to(model.device)
        each = BYTES_A_FLOAT * tokens.shape[1] * model.d_model * 4 * (len(model.decoder.blocks) + 4)
        n = items_that_fit(each, len(pairs), device=model.device, budget=budget)
        self.chunks = [slice(start, min(start + n, len(pairs))) for start in range(0, len(pairs), n)]
        self._tokens, self._metric = tokens, metric
        self._open: dict[int, Continuation] = {}

    def _continuation(self, number: int) -> Continuation:
        if number not in self._open:
            if len(self.chunks) > 1:
                self._open.clear()
            self._open[number] = Continuation(self.model, self._tokens[self.chunks[number]])
        return self._open[number]

    @torch.no_grad()
    def unchanged(self) -> Tensor:
        """The metric of the run as it is, shape [pair]."""
        return torch.cat([self._read(self.model.decoder.run(self._tokens[rows])[None, :, -1], rows)[0].cpu()
                          for rows in self.chunks])  # fmt: skip

    def metric(self, site: Site, index: Tensor, values: Tensor) -> Tensor:
        """The metric with activations of a site replaced, shape [version, pair]; values [version, pair, feature]."""
        parts = []
        for number, rows in enumerate(self.chunks):
            last = self._continuation(number).last(site, index[rows], values[:, rows])
            parts.append(self._read(last, rows))
        return torch.cat(parts, 1)

    def _read(self, streams: Tensor, rows: slice) -> Tensor:
        tokens, metric = self._metric[rows].reading()
        if tokens is not None:
            tokens = tokens.to(streams.device).expand(len(streams), -1, -1)
        return metric(self.model.decoder.logits(streams, tokens))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """The change at one site, judged on the half that it was not made on."""

    effect: np.ndarray
    random: np.ndarray
    changes: tuple[Change, Change]
    """Made on the first half, and on the second."""


def _at_site(
    chosen: Intervention,
    runs: _Runs,
    site: Site,
    index: Tensor,
    base: Tensor,
    source: Tensor,
    target: Target,
    half: Tensor,
    *,
    placebos: int,
    steps: int,
    seed: int,
) -> _Found:
    generator = torch.Generator().manual_seed(seed)
    changes, values, random = [], torch.empty_like(base), base.new_empty(placebos, *base.shape)
    for training in (half, ~half):
        swap = Swap(
            base=base,
            source=source,
            clean=base if chosen.runs == "clean" else source,
            target=target,
            training=training.to(base.device),
            metric=lambda changed: runs.metric(site, index, changed[None])[0],
            seed=seed,
            steps=steps,
        )
        change = chosen.change(swap)
        changes.append(change)
        judged = ~swap.training
        values[judged] = change.values[judged]
        for number in range(placebos):
            random[number, judged] = swap.placebo(change, generator)[judged]
    with torch.no_grad():
        versions = torch.cat([base[None], values[None], random])
        found = torch.cat([runs.metric(site, index, part) for part in versions.split(4)]).double().cpu().numpy()
    return _Found(effect=found[1] - found[0], random=(found[2:] - found[0]).mean(0), changes=(changes[0], changes[1]))


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


def _directions(
    unread: NullSpaces, site: Site, one: _Found, runs: _Runs, index: Tensor, base: Tensor, half: Tensor
) -> dict[str, Any]:
    """Columns on how the directions lie to what the model reads; the means of the two halves."""
    with torch.enable_grad():
        at = base.clone().requires_grad_()
        (gradients,) = torch.autograd.grad(runs.metric(site, index, at[None]).sum(), at)
    found = []
    for training, change in zip((half, ~half), one.changes, strict=True):
        share, random, p_value = alignment(change.subspace, gradients[(~training).to(base.device)])
        found.append((change.subspace.shape[1], share, random, p_value, unread.share(site, change.subspace)))
    means = np.array(found, dtype=float).mean(0)
    # Twice the mean of two p-values is a valid p-value whatever their dependence (Vovk and Wang, 2020).
    combined = min(1.0, 2 * means[3]) if np.isfinite(means[3]) else np.nan
    names = ("rank", "aligned", "aligned_random", "aligned_p", "null_share")
    return dict(zip(names, (*means[:3], combined, means[4]), strict=True))
