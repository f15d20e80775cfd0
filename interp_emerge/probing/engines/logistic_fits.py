"""Logistic regression, binary or multinomial, for many labels, splits and strengths at once.

Minimises the mean log loss over training prompts plus strength / 2 · ‖weights‖², intercept free: scikit-learn's
objective with C = 1 / (strength · prompts). L-BFGS (Liu and Nocedal, 1989, https://doi.org/10.1007/BF01589116) runs on
all problems in step:

1. In the principal axes of the activations the Hessian of each problem is close to a diagonal, the mean of p (1 − p)
   times the mean square of each axis, plus the strength. It preconditions every step.
2. A step is tried at length one, and shortened to a third until each problem's loss falls enough (Armijo).
3. A problem has converged when its decrement √(gᵀ H⁻¹ g) is below the problem's tolerance: its loss is then above
   the minimum by about half the square of that. Problems that have converged at every site drop out.

An iteration takes two matrix products over all problems, which is why many problems together are fast. Losses are
summed in float64. Classes that a split's training prompts lack get no probability.
"""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from interp_emerge.core.memory import BYTES_A_FLOAT
from interp_emerge.probing.engines.problems import Fit, Problem

MOST_STEPS = 120
"""Steps after which a problem stops. Only weak penalties on many classes get there: 1e-4 on 20 classes of 200 prompts
does, 1e-3 takes about 110 steps, 1e-2 about 50, and two classes 5 to 30."""
MEMORY = 8
"""Earlier steps that L-BFGS remembers."""
ARMIJO, SHORTER, MOST_SHORTENINGS = 1e-4, 0.3, 12
ROUNDING = 2e-7
"""Relative rounding error of a mean loss in single precision."""
ABSENT = -1e4
"""Score of a class without a training prompt: its probability is zero in single precision."""
log = logging.getLogger(__name__)


def fit_logistic(problem: Problem) -> Fit:
    """Weights and biases of every site, arm, split and strength.

    Binary probes have a score for the second class only; the score of the first is zero. Problems are handled in
    groups that fit the budget.
    """
    sites, arms, splits, strengths = problem.shape
    n, width = problem.x.shape[1:]
    outputs = 1 if problem.n_classes == 2 else problem.n_classes
    index = torch.cartesian_prod(*(torch.arange(size) for size in (arms, splits, strengths))).reshape(-1, 3)
    each = BYTES_A_FLOAT * sites * outputs * (6 * n + (2 * MEMORY + 6) * width)
    group = max(1, problem.budget // each)
    weight = problem.x.new_empty(sites, arms * splits * strengths, width, outputs)
    bias = problem.x.new_empty(sites, arms * splits * strengths, outputs)
    left = 0
    for part in torch.arange(len(index)).split(group):
        solver = _Solver.of(problem, index[part], outputs)
        found, missed = solver.run(problem.tolerance)
        left += missed
        weight[:, part], bias[:, part] = found[:, :-1].permute(0, 2, 1, 3), found[:, -1]
    if left:
        log.info("%d of %d fits have not converged after %d steps", left, sites * len(index), MOST_STEPS)
    if problem.n_classes == 2:
        weight = torch.cat([torch.zeros_like(weight), weight], -1)
        bias = torch.cat([torch.zeros_like(bias), bias], -1)
    absent = (problem.counts == 0)[None, :, :, None].expand(-1, -1, -1, strengths, -1).flatten(1, 3)
    if problem.n_classes == 2:
        return _shaped(problem, weight, bias)
    return _shaped(problem, weight.masked_fill(absent[:, :, None], 0), bias.masked_fill(absent, ABSENT))


def _shaped(problem: Problem, weight: Tensor, bias: Tensor) -> Fit:
    sizes = problem.shape[1:]
    return Fit(weight=weight.unflatten(1, sizes), bias=bias.unflatten(1, sizes))


@dataclass(kw_only=True, eq=False)
class _Solver:
    """L-BFGS on a group of problems; tensors have shape [site, feature or prompt, problem, output]."""

    x: Tensor
    """Features and a last one that is always one, [site, prompt, feature + 1]."""
    target: Tensor
    """One for the class of a prompt, [prompt, problem, output]."""
    rows: Tensor
    """Weight of each prompt in the mean loss, [prompt, problem]."""
    strength: Tensor
    """[site, problem]"""
    squares: Tensor
    """Mean square of each feature over all prompts, relative to a split's, [site, feature, problem]."""
    absent: Tensor
    """Classes without a training prompt, [problem, output]."""

    @classmethod
    def of(cls, problem: Problem, index: Tensor, outputs: int) -> "_Solver":
        arm, split, strength = index.to(problem.x.device).T
        x = torch.cat([problem.x, problem.x.new_ones(*problem.x.shape[:2], 1)], -1)
        rows = (problem.training[split].to(x.dtype) / problem.n_training[split, None]).T
        target = problem.one_hot[arm].permute(1, 0, 2)
        binary = outputs == 1
        return cls(
            x=x,
            target=target[..., 1:] if binary else target,
            rows=rows,
            strength=problem.strengths[:, arm, split, strength],
            squares=x.square().mean(1)[..., None].expand(-1, -1, len(index)),
            absent=torch.zeros(len(index), 1, dtype=torch.bool, device=x.device)
            if binary
            else problem.counts[arm, split] == 0,
        )

    def run(self, tolerance: float) -> tuple[Tensor, int]:
        """The weights, with the bias as the last feature, and how many problems have not converged."""
        sites, _, width = self.x.shape
        shape = (sites, width, *self.absent.shape)
        result = self.x.new_zeros(shape)
        active = torch.arange(shape[2], device=self.x.device)
        w, scores = result.clone(), self.x.new_zeros(sites, self.x.shape[1], *shape[2:])
        loss, probability = self._loss(w, scores)
        gradient = self._gradient(w, probability)
        done = torch.zeros(sites, shape[2], dtype=torch.bool, device=self.x.device)
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        for _ in range(MOST_STEPS):
            diagonal = self._diagonal(probability)
            decrement = _dot(gradient, gradient / diagonal).clamp_min(0).sqrt()
            done = decrement < tolerance
            finished = done.all(0)
            if finished.all():
                break
            if finished.float().mean() >= 0.25:
                result[:, :, active] = w
                keep = (~finished).nonzero()[:, 0]
                active = active[keep]
                self._keep(keep)
                w, scores, gradient, probability, diagonal = (
                    one[:, :, keep] for one in (w, scores, gradient, probability, diagonal)
                )
                loss, done = loss[:, keep], done[:, keep]
                steps = [(s[:, :, keep], y[:, :, keep], rho[:, keep]) for s, y, rho in steps]
            direction = -_two_loops(gradient, steps, diagonal)
            slope = _dot(gradient, direction)
            uphill = slope >= 0
            direction = torch.where(uphill[:, None, :, None], -gradient / diagonal, direction)
            slope = torch.where(uphill, _dot(gradient, direction), slope)
            direction = direction.masked_fill(done[:, None, :, None], 0)
            along = self._product(direction)
            length = torch.ones_like(slope)
            moved, at, value, new_probability = self._moved(w, scores, direction, along, length)
            for _try in range(MOST_SHORTENINGS):
                poor = (value > loss + ARMIJO * length * slope + ROUNDING * loss.abs()) & ~done
                if not poor.any():
                    break
                length = torch.where(poor, SHORTER * length, length)
                moved, at, value, new_probability = self._moved(w, scores, direction, along, length)
            else:
                length = torch.where(value > loss, 0, length)
                if not length.masked_fill(done, 0).any():
                    break
                moved, at, value, new_probability = self._moved(w, scores, direction, along, length)
            new_gradient = self._gradient(moved, new_probability)
            s, y = moved - w, new_gradient - gradient
            curvature = _dot(s, y)
            usable = curvature > 1e-10 * _dot(s, s).clamp_min(1e-30)
            steps.append((s, y, torch.where(usable, 1 / curvature.clamp_min(1e-30), 0)))
            steps = steps[-MEMORY:]
            w, scores, loss, gradient, probability = moved, at, value, new_gradient, new_probability
        result[:, :, active] = w
        return result, int((~done).sum())

    def _keep(self, keep: Tensor) -> None:
        self.target, self.rows = self.target[:, keep], self.rows[:, keep]
        self.strength, self.squares, self.absent = self.strength[:, keep], self.squares[:, :, keep], self.absent[keep]

    def _moved(
        self, w: Tensor, scores: Tensor, direction: Tensor, along: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights and scores after a step, and the loss and probabilities there."""
        size = length[:, None, :, None]
        moved, at = w + size * direction, scores + size * along
        return moved, at, *self._loss(moved, at)

    def _product(self, w: Tensor) -> Tensor:
        return (self.x @ w.flatten(2)).unflatten(2, w.shape[2:])

    def _loss(self, w: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each problem, [site, problem], and the probability of each class, [site, prompt, problem, output]."""
        if scores.shape[-1] == 1:
            each = (softplus(scores) - scores * self.target)[..., 0]
            probability = scores.sigmoid()
        else:
            masked = scores.masked_fill(self.absent, ABSENT)
            total = masked.logsumexp(-1, keepdim=True)
            each = (total - (masked * self.target).sum(-1, keepdim=True))[..., 0]
            probability = (masked - total).exp()
        mean = (each * self.rows).sum(1, dtype=torch.float64).to(scores.dtype)
        return mean + self.strength / 2 * w[:, :-1].square().sum((1, 3)), probability

    def _gradient(self, w: Tensor, probability: Tensor) -> Tensor:
        residual = (probability - self.target).mul_(self.rows[..., None]).masked_fill_(self.absent, 0)
        found = (self.x.mT @ residual.flatten(2)).unflatten(2, residual.shape[2:])
        found[:, :-1] += self.strength[:, None, :, None] * w[:, :-1]
        return found

    def _diagonal(self, probability: Tensor) -> Tensor:
        spread = torch.einsum("snqk,nq->sqk", probability * (1 - probability), self.rows).clamp_min(1e-4)
        found = spread[:, None] * self.squares[..., None]
        found[:, :-1] += self.strength[:, None, :, None]
        return found.clamp_min(1e-8)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 3))


def _two_loops(gradient: Tensor, steps: list[tuple[Tensor, Tensor, Tensor]], diagonal: Tensor) -> Tensor:
    """The product of L-BFGS's inverse Hessian and the gradient."""
    q, factors = gradient, []
    for s, y, rho in reversed(steps):
        factor = rho * _dot(s, q)
        factors.append(factor)
        q = q - factor[:, None, :, None] * y
    r = q / diagonal
    for (s, y, rho), factor in zip(steps, reversed(factors), strict=True):
        r = r + (factor - rho * _dot(y, r))[:, None, :, None] * s
    return r
