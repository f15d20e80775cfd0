"""How far a direction has turned: the cosine of two directions, plain and after whitening by the activations.

Activations spread much more in some directions than in others, so two directions may have a small plain cosine and yet
tell the same prompts apart, or the reverse. The *Mahalanobis cosine* (2026, https://arxiv.org/abs/2606.19603) is the
cosine after the activations were whitened by their covariance Σ. A direction v of activation space, such as a
difference of class means, becomes Σ^(-1/2) v. The weight w of a probe, which reads w · x, becomes Σ^(1/2) w, and the
cosine of two weights is then the correlation of what the two probes read.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record

SHRINKAGE = 1e-6
"""Share of the mean variance that is added to every direction's, so that a flat direction can be whitened."""


@dataclass(frozen=True)
class Turn(Record):
    """The cosine between two directions, from -1 to 1; NaN if one of them is zero."""

    plain: float
    mahalanobis: float


@checked
def compare_directions(
    one: Tensor,
    other: Tensor,
    activations: Tensor,
    *,
    of: Literal["weights", "directions"] = "weights",
) -> Turn:
    """The plain and the Mahalanobis cosine of two directions at a site, for example of two checkpoints of one run.

    Both belong to one basis: to one training run, or to one model. Between runs or sizes the basis is another one, and
    neither cosine means anything.

    Example:
        >>> import torch
        >>> runs = [family.load("25k", step=step) for step in (500, 5000)]
        >>> probes = [ie.probe(run, names, variable="receiver", layers=[1]) for run in runs]
        >>> weights = [one.probe_at("resid_post.1@last").weight[:, 0] for one in probes]
        >>> ie.probing.compare_directions(*weights, torch.randn(200, len(weights[0]))).mahalanobis  # or recorded ones

    Args:
        one: a direction, shape [feature].
        other: the other one, shape [feature].
        activations: activations at the site, whose covariance is used, shape [prompt, feature]; more prompts than
            features.
        of: `weights` of probes, which read activations, or `directions` in which activations move.

    Raises:
        UnknownNameError: `of` is neither.
        InputError: the widths differ, there are not more prompts than features, or a value is not finite.
    """
    for name, values, axes in (("one", one, 1), ("other", other, 1), ("activations", activations, 2)):
        if values.ndim != axes:
            wanted = "[feature], one column of a probe's weight" if axes == 1 else "[prompt, feature]"
            raise InputError(f"{name} has shape {[*values.shape]}; give {wanted}")
    widths = [len(one), len(other), activations.shape[1]]
    if len({*widths}) > 1:
        raise InputError(f"directions of {widths[0]} and {widths[1]} features, and activations of {widths[2]}: give "
                         "all of one site")  # fmt: skip
    if len(activations) <= widths[2]:
        raise InputError(f"{len(activations)} prompts do not determine the covariance of {widths[2]} features; give "
                         "more prompts than features")  # fmt: skip
    if not all(bool(torch.isfinite(values).all()) for values in (one, other, activations)):
        raise InputError("a direction or an activation is not finite; give finite ones")
    covariance = activations.detach().double().T.cov()
    first, second = (_of_length_one(values.detach().double().to(covariance.device)) for values in (one, other))
    if of == "weights":
        return Turn(
            _cosine(first, second, first, second), _cosine(first, second, covariance @ first, covariance @ second)
        )
    added = (SHRINKAGE * covariance.diagonal().mean()).clamp_min(torch.finfo(torch.float64).tiny)
    factor = torch.linalg.cholesky(covariance + added * torch.eye(widths[2], dtype=torch.float64, device=added.device))
    solved = torch.cholesky_solve(torch.stack([first, second], 1), factor)
    return Turn(_cosine(first, second, first, second), _cosine(first, second, solved[:, 0], solved[:, 1]))


def _of_length_one(direction: Tensor) -> Tensor:
    """The direction, scaled so that squares of its entries neither vanish nor overflow; zero stays zero."""
    largest = direction.abs().max()
    return torch.nn.functional.normalize(direction / largest, dim=0) if largest > 0 else direction


def _cosine(first: Tensor, second: Tensor, changed_first: Tensor, changed_second: Tensor) -> float:
    """The cosine in the inner product that a matrix gives, from the vectors and their products with the matrix."""
    lengths = (first @ changed_first) * (second @ changed_second)
    return float((first @ changed_second) / lengths.sqrt()) if lengths > 0 else float("nan")
