"""Whether a change has changed its variable, and nothing else: probes of the other half read the changed activations.

The probe that judges a change is fitted on the half of the pairs on which the change was not made, and reads it there:
it is an opinion of its own about where the variable lies.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.probing.engines.least_squares import fit_ridge
from interp_emerge.probing.engines.problems import Basis, Problem
from interp_emerge.probing.engines.swaps import Change
from interp_emerge.probing.engines.variables import Target, target_of
from interp_emerge.stats.intervals import Interval, mean_interval

STRENGTH = 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """Probes at one site, fitted on each half of the pairs."""

    target: Target
    half: Tensor
    own: tuple[Tensor, Tensor]
    """Weight with the bias as its last row, fitted on the first half and on the second, [feature + 1, class] each."""
    others: Mapping[str, tuple[Tensor, Tensor]]
    """The same for the other variables of the pairs."""

    @classmethod
    def of(cls, pairs: PromptPairs, target: Target, clean: Tensor, index: Tensor, half: Tensor) -> "Validation":
        """Probes of the variable and of the others that the pairs name, on clean activations, [pair, feature]."""
        others = {}
        for name in pairs.variables:
            try:
                other = target_of(pairs, name, place=index)
            except InputError:  # it has one value, or too many
                continue
            same = other.n_classes == target.n_classes and bool((other.labels == target.labels).all())
            if name != target.variable and other.n_classes and not same:
                others[name] = _probes(clean, other, half)
        return cls(target=target, half=half, own=_probes(clean, target, half), others=others)

    def judge(self, base: Tensor, changes: tuple[Change, Change], *, source: Tensor | None = None) -> dict[str, float]:
        """Completeness, selectivity and reliability of a change, from 0 to 1, and what there was to exchange.

        An exchange is complete if the variable reads as the clean prompt's. An erasure is complete if it reads no
        better than by guessing. A value that the base does not have cannot be changed: completeness is then undefined.

        Args:
            base: the activations that were changed, shape [pair, feature].
            changes: made on the first half, and on the second.
            source: the activations that gave the values, shape [pair, feature]; None for an erasure.
        """
        if not self.target.n_classes:
            undefined = dict.fromkeys(("completeness", "selectivity", "reliability"), float("nan"))
            return undefined | Interval.undefined().columns("differs")
        toward_labels = source is not None
        labels = self.target.labels.to(base.device)
        before, after, kept, given = [], [], [], []
        for made_on, change, judge in zip((self.half, ~self.half), changes, (1, 0), strict=True):
            rows = (~made_on).to(base.device)
            before.append(_decoded(base[rows], self.own[judge]) == labels[rows])
            after.append(_decoded(change.values[rows], self.own[judge]) == labels[rows])
            if source is not None:
                given.append(_decoded(source[rows], self.own[judge]) == labels[rows])
            kept += [
                _decoded(base[rows], probes[judge]) == _decoded(change.values[rows], probes[judge])
                for probes in self.others.values()
            ]
        start, end = float(torch.cat(before).double().mean()), float(torch.cat(after).double().mean())
        guess = float(torch.bincount(labels).max() / len(labels))
        span = 1 - start if toward_labels else start - guess
        moved = end - start if toward_labels else start - end
        completeness = min(1.0, max(0.0, moved / span)) if span > 0 else float("nan")
        selectivity = float(torch.cat(kept).double().mean()) if kept else float("nan")
        total = completeness + selectivity
        reliability = 2 * completeness * selectivity / total if total > 0 else (0.0 if total == 0 else float("nan"))
        differs = Interval.undefined()
        if given:
            differs = mean_interval((torch.cat(given).double() - torch.cat(before).double()).cpu().numpy())
        found = {"completeness": completeness, "selectivity": selectivity, "reliability": reliability}
        return found | differs.columns("differs")


def _probes(clean: Tensor, target: Target, half: Tensor) -> tuple[Tensor, Tensor]:
    basis, x = Basis.of(clean[None])
    problem = Problem(
        x=x,
        labels=(target.labels if target.n_classes else target.labels.float()).to(x.device)[None],
        n_classes=target.n_classes,
        training=torch.stack([half, ~half]).to(x.device),
        strengths=x.new_full((1, 1, 2, 1), STRENGTH),
    )
    fit = fit_ridge(problem)
    found = []
    for split in (0, 1):
        weight, bias = basis.weights(fit.weight[:, 0, split, 0], fit.bias[:, 0, split, 0])
        found.append(torch.cat([weight[0], bias]))
    return found[0], found[1]


def _decoded(activations: Tensor, probe: Tensor) -> Tensor:
    return (activations @ probe[:-1] + probe[-1]).argmax(-1)
