"""Ridge regression and class means with a shared covariance, in closed form.

All strengths of a split share the moments of its training prompts, and all labels share one Cholesky factor. A factor
that fails in float32 is computed in float64.
"""

import torch
from torch import Tensor

from interp_emerge.core.errors import InputError
from interp_emerge.probing.engines.problems import Fit, Problem

ROUNDING = 1e-5
"""Added to the diagonal of what is left of a larger matrix, as a fraction of that one's largest entry, if needed."""
LEAST_WITHIN = 1e-3
"""Smallest variance within classes, as a share of all variance: rounding in float32 leaves up to 1e-6 of it."""


def fit_ridge(problem: Problem) -> Fit:
    """Least squares on classes as ones and zeros, or on real values.

    Minimises the mean square error plus strength · ‖weights‖², intercept free: scikit-learn's `Ridge` with
    alpha = strength · prompts.
    """
    mean, second = problem.moments()
    covariance = second - mean[..., :, None] * mean[..., None, :]
    n = problem.n_training
    y = problem.one_hot
    weights = torch.einsum("tn,ank->atkn", problem.training.to(y.dtype), y)
    cross = (weights.flatten(0, 2) @ problem.x).unflatten(1, weights.shape[:3])
    y_mean = weights.sum(-1) / n[:, None]
    cross = (cross / n[:, None, None] - y_mean[..., None] * mean[:, None, :, None]).mT
    sites, arms, splits, strengths = problem.shape
    found = problem.x.new_empty(sites, arms, splits, strengths, *cross.shape[-2:])
    shared = bool((problem.strengths == problem.strengths[:, :1]).all())
    for split in range(splits):
        for strength in range(strengths):
            if shared:
                factor = cholesky(covariance[:, split], problem.strengths[:, 0, split, strength])
                right = cross[:, :, split].permute(0, 2, 1, 3).flatten(2)
                solved = torch.cholesky_solve(right.to(factor.dtype), factor).to(right.dtype)
                found[:, :, split, strength] = solved.unflatten(2, (arms, -1)).permute(0, 2, 1, 3)
                continue
            for arm in range(arms):
                factor = cholesky(covariance[:, split], problem.strengths[:, arm, split, strength])
                right = cross[:, arm, split]
                found[:, arm, split, strength] = torch.cholesky_solve(right.to(factor.dtype), factor).to(right.dtype)
    bias = y_mean[None, :, :, None] - torch.einsum("std,satpdk->satpk", mean, found)
    return Fit(weight=found, bias=bias)


def fit_centroids(problem: Problem) -> Fit:
    """Scores by which a class wins if its mean is nearest: Gaussians of one width around each class mean.

    The width is the mean variance within classes, so that the scores are log-probabilities up to a constant.
    """
    counts, sums = problem.counts, problem.sums()
    means = sums / counts.clamp_min(1)[..., None]
    squares = torch.einsum("tn,sn->st", problem.training.to(problem.x.dtype), problem.x.square().sum(-1))
    between = (counts[..., None] * means.square()).sum((-1, -2))
    within = (squares[:, None] - between).clamp_min(1e-8 * squares.amax())
    width = within / (problem.n_training * problem.x.shape[-1])
    return _nearest(problem, (means / width[..., None, None]).mT.unsqueeze(3), means)


def fit_shared_covariance(problem: Problem) -> Fit:
    """Class means, with the covariance within classes divided out (linear discriminant analysis).

    The strength is the share of the mean variance within classes that is added to every direction's. That variance
    counts as at least a thousandth of the variance of all prompts, since equal activations within classes have none.
    """
    counts, sums = problem.counts, problem.sums()
    means = sums / counts.clamp_min(1)[..., None]
    mean, second = problem.moments()
    _, arms, splits, strengths = problem.shape
    found = problem.x.new_empty(*problem.shape, *means.mT.shape[-2:])
    for arm in range(arms):
        for split in range(splits):
            of_class = means[:, arm, split] * (counts[arm, split] / problem.n_training[split]).sqrt()[:, None]
            within = second[:, split] - of_class.mT @ of_class
            total = (second[:, split].diagonal(dim1=-2, dim2=-1) - mean[:, split].square()).mean(-1)
            level = torch.maximum(within.diagonal(dim1=-2, dim2=-1).mean(-1), (LEAST_WITHIN * total).clamp_min(1e-8))
            for strength in range(strengths):
                added = level * problem.strengths[:, arm, split, strength]
                factor = cholesky(within, added, part_of=second[:, split])
                right = means[:, arm, split].mT
                found[:, arm, split, strength] = torch.cholesky_solve(right.to(factor.dtype), factor).to(right.dtype)
    return _nearest(problem, found, means)


def _nearest(problem: Problem, weight: Tensor, means: Tensor) -> Fit:
    """The scores w · x − w · mean / 2 of each class; a class without training prompts never wins."""
    strengths = problem.strengths.shape[-1]
    weight = weight.expand(-1, -1, -1, strengths, -1, -1)
    bias = -torch.einsum("satkd,satpdk->satpk", means, weight) / 2
    absent = (problem.counts == 0)[None, :, :, None]
    return Fit(weight=weight.masked_fill(absent[..., None, :], 0), bias=bias.masked_fill(absent, -1e4))


def cholesky(matrix: Tensor, added: Tensor, *, part_of: Tensor | None = None) -> Tensor:
    """Cholesky factor of each matrix with a number added to its diagonal, in float64 where float32 does not do.

    `part_of` is a larger matrix from which another one was subtracted in float32, if there was one.

    Raises:
        InputError: a matrix is not positive in float64 either.
    """
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    factor, failed = torch.linalg.cholesky_ex(matrix + added[:, None, None] * eye)
    if not failed.any():
        return factor
    wide = matrix.double() + added.double().clamp_min(1e-10)[:, None, None] * eye.double()
    factor, failed = torch.linalg.cholesky_ex(wide)
    if failed.any() and part_of is not None:
        # Nothing is left of the larger matrix but the rounding of single precision, which may be below zero.
        rounding = ROUNDING * part_of.double().diagonal(dim1=-2, dim2=-1).amax(-1)
        factor, failed = torch.linalg.cholesky_ex(wide + rounding[:, None, None] * eye.double())
    if failed.any():
        raise InputError("the activations' covariance is not positive; check them for values that are not finite")
    return factor
