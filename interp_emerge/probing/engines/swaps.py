"""An exchange or erasure at one site: what an intervention is given, and the changed activations that it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp_emerge.probing.engines.least_squares import fit_ridge
from interp_emerge.probing.engines.problems import Basis, Problem
from interp_emerge.probing.engines.variables import Target

Values = Float[Tensor, "prompt feature"]
Subspace = Float[Tensor, "feature direction"]
SHARE = 0.25
"""Largest share of a site's dimensions that a subspace may have; a larger one is close to the whole site."""
STRENGTH = 0.01
"""Regularisation of the probe whose weights span the subspace."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """Changed activations, and the subspace in which they are changed."""

    values: Values
    """All prompts, shape [prompt, feature]."""
    subspace: Subspace
    """Orthonormal directions that contain the change."""
    free: Values
    """The change that would be made in the subspace of all directions; a placebo takes another part of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Swap:
    """One site of a model on some pairs. Subspaces are found on half of the pairs and judged on the others."""

    base: Values
    """Activations of the run that is changed."""
    source: Values
    """Activations of the other run of each pair."""
    clean: Values
    """Activations of the clean run, which the labels describe; `base` or `source`."""
    target: Target
    training: Bool[Tensor, " prompt"]
    """The pairs on which the subspace is found."""
    metric: Callable[[Values], Float[Tensor, " prompt"]]
    """From changed activations of the training pairs to the metric of each, with gradients."""
    seed: int
    steps: int = 60
    """Steps of methods that learn their subspace."""
    _kept: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @cached_property
    def one_hot(self) -> Tensor:
        """The labels as numbers, shape [prompt, class]; one column for real values."""
        labels = self.target.labels.to(self.base.device)
        if not self.target.n_classes:
            return ((labels - labels.mean()) / labels.std())[:, None].to(self.base.dtype)
        return torch.nn.functional.one_hot(labels, self.target.n_classes).to(self.base.dtype)

    @property
    def most_directions(self) -> int:
        """The largest number of directions of a subspace at this site."""
        return max(1, int(SHARE * self.base.shape[1]))

    def read_by_probe(self) -> Subspace:
        """Orthonormal directions that a linear probe reads, fitted on the clean activations of the training pairs.

        There is one direction fewer than classes, and at most a quarter of the dimensions: those with the largest
        spread of scores.
        """
        rank = min(self.most_directions, max(1, self.target.n_classes - 1))
        return subspace_of(self.clean[self.training], self.one_hot[self.training], rank)

    def placebo(self, change: Change, generator: torch.Generator) -> Values:
        """The base with a change in random directions, as many as the subspace has and as long for every prompt."""
        drawn = torch.randn(change.subspace.shape, generator=generator).to(self.base)
        random = torch.linalg.qr(drawn)[0]
        moved = change.free @ random @ random.T
        wanted = (change.values - self.base).norm(dim=1, keepdim=True)
        return self.base + moved * (wanted / moved.norm(dim=1, keepdim=True).clamp_min(1e-12))


def subspace_of(activations: Values, targets: Tensor, rank: int) -> Subspace:
    """Orthonormal directions that a ridge probe of these targets, shape [prompt, target], reads in activations."""
    basis, x = Basis.of(activations[None])
    problem = Problem(
        x=x,
        labels=targets.T,
        n_classes=0,
        training=torch.ones(1, x.shape[1], dtype=torch.bool, device=x.device),
        strengths=x.new_full((1, targets.shape[1], 1, 1), STRENGTH),
    )
    weight = fit_ridge(problem).weight[0, :, 0, 0, :, 0].T
    spread = (x[0].square().mean(0) + 1e-12).sqrt()
    _, sizes, right = torch.linalg.svd(spread[:, None] * weight, full_matrices=False)
    rank = max(1, min(rank, int((sizes > 1e-5 * sizes[0]).sum())))
    # The left vectors over the spread are the same, but for their rounding, which a tiny spread would blow up.
    directions = basis.axes[0] @ (weight @ right[:rank].T)
    return torch.linalg.qr(directions)[0]
