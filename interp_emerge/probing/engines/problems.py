"""Many fits on the same activations as one problem, and what they give.

A problem has several *arms* (the true labels, shuffled ones, a control task), *splits* (which prompts train) and
*strengths* of regularisation. All of them are fitted together, for a block of sites.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp_emerge.core.memory import CPU_BUDGET

Features = Float[Tensor, "site prompt feature"]
Strengths = Float[Tensor, "site arm split strength"]
Training = Bool[Tensor, "split prompt"]
TOLERANCE, ROUGH = 1e-3, 1e-2
"""Newton decrements at which an iterative fit has converged: its loss is within 5e-7 nats of the minimum, or within
5e-5, which is enough to choose a strength by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Labels to fit on features, for all sites, arms, splits and strengths at once."""

    x: Features
    """Float32. Centred, with a mean square of one over the features of a site: see `Basis`."""
    labels: Tensor
    """Classes, int64, or real values, float32, shape [arm, prompt]."""
    n_classes: int
    """0 for real values."""
    training: Training
    strengths: Strengths
    budget: int = CPU_BUDGET
    tolerance: float = TOLERANCE

    @property
    def n_outputs(self) -> int:
        """How many scores a prompt has: one for each class, or one real value."""
        return max(1, self.n_classes)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sites, arms, splits, strengths."""
        return (len(self.x), len(self.labels), len(self.training), self.strengths.shape[-1])

    @property
    def n_training(self) -> Float[Tensor, " split"]:
        """How many prompts train in each split."""
        return self.training.sum(1).to(self.x.dtype)

    @cached_property
    def one_hot(self) -> Float[Tensor, "arm prompt output"]:
        """One for the class of each prompt; for real values the values."""
        if not self.n_classes:
            return self.labels[..., None].to(self.x.dtype)
        return torch.nn.functional.one_hot(self.labels, self.n_classes).to(self.x.dtype)

    @cached_property
    def counts(self) -> Float[Tensor, "arm split output"]:
        """How many training prompts each class has."""
        return torch.einsum("tn,ank->atk", self.training.to(self.x.dtype), self.one_hot)

    def sums(self) -> Float[Tensor, "site arm split output feature"]:
        """The sum of the features over the training prompts of each class."""
        weights = torch.einsum("tn,ank->atkn", self.training.to(self.x.dtype), self.one_hot)
        flat = weights.flatten(0, 2)
        return (flat @ self.x).unflatten(1, weights.shape[:3])

    def moments(self) -> tuple[Float[Tensor, "site split feature"], Float[Tensor, "site split feature feature"]]:
        """Mean and mean outer product of the features of each split's training prompts.

        Prompts that are in the same splits are summed once, so the cost does not grow with the number of splits.
        """
        patterns, of_prompt = torch.unique(self.training, dim=1, return_inverse=True)
        shape = (len(self.x), len(self.training), self.x.shape[2])
        first, second = self.x.new_zeros(shape), self.x.new_zeros((*shape, shape[2]))
        for pattern in range(patterns.shape[1]):
            members = self.x[:, of_prompt == pattern]
            one, two = members.sum(1), members.mT @ members
            for split in patterns[:, pattern].nonzero()[:, 0].tolist():
                first[:, split] += one
                second[:, split] += two
        n = self.n_training
        return first / n[:, None], second / n[:, None, None]

    def on(self, prompts: slice) -> "Problem":
        """The same problem on some of the prompts; the others must not be in any split."""
        return replace(self, x=self.x[:, prompts], labels=self.labels[:, prompts], training=self.training[:, prompts])


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Linear scores: features times `weight` plus `bias`."""

    weight: Float[Tensor, "site arm split strength feature output"]
    bias: Float[Tensor, "site arm split strength output"]

    def scores(
        self, x: Features, *, arm: slice = slice(None), split: int
    ) -> Float[Tensor, "site arm strength prompt output"]:
        """Scores of some prompts by the probes of one split."""
        weight, bias = self.weight[:, arm, split], self.bias[:, arm, split]
        sites, arms, strengths, features, outputs = weight.shape
        flat = weight.permute(0, 3, 1, 2, 4).reshape(sites, features, -1)
        found = (x @ flat).unflatten(2, (arms, strengths, outputs)).permute(0, 2, 3, 1, 4)
        return found + bias[..., None, :]


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """The principal axes of the activations of each site: fits work in them and lose nothing.

    With fewer prompts than features the activations span as many dimensions as there are prompts. All penalties are on
    the norm of the weights, so no fit leaves that span. One scale makes the mean square of a site's features one, so
    that a strength of regularisation means the same at every site. No label is used.
    """

    mean: Float[Tensor, "site feature"]
    scale: Float[Tensor, " site"]
    axes: Float[Tensor, "site feature axis"]

    @classmethod
    def of(cls, activations: Features) -> tuple["Basis", Float[Tensor, "site prompt axis"]]:
        """The basis and the activations in it."""
        n, width = activations.shape[1:]
        mean = activations.mean(1, dtype=torch.float64).to(activations.dtype)
        centred = activations - mean[:, None]
        scale = (centred.flatten(1).norm(dim=1) / (n * width) ** 0.5).clamp_min(torch.finfo(torch.float32).tiny)
        centred /= scale[:, None, None]
        if n >= width:
            axes = torch.linalg.eigh(centred.mT @ centred)[1]
            return cls(mean=mean, scale=scale, axes=axes), centred @ axes
        wide = centred.double()
        squares, left = torch.linalg.eigh(wide @ wide.mT)
        kept = squares > 1e-10 * squares.amax(-1, keepdim=True)
        lengths = torch.where(kept, squares, 1).sqrt()
        axes = torch.where(kept[:, None], wide.mT @ left / lengths[:, None], 0)
        turned = torch.where(kept[:, None], left * lengths[:, None], 0)
        return cls(mean=mean, scale=scale, axes=axes.to(activations.dtype)), turned.to(activations.dtype)

    def weights(
        self, weight: Float[Tensor, "site axis output"], bias: Float[Tensor, "site output"]
    ) -> tuple[Tensor, Tensor]:
        """The same linear scores as functions of the activations as they were read."""
        raw = self.axes @ weight / self.scale[:, None, None]
        return raw, bias - torch.einsum("sd,sdk->sk", self.mean, raw)
