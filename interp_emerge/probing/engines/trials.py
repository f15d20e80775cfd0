"""One decoder on a block of sites: held-out predictions, the choice of strength, code lengths, noise.

1. Each fold is held out in turn. The next fold chooses the strength: probes are fitted on the others with every
   strength, for all arms and sites together. The probe with the chosen strength is fitted on all but the held-out fold.
2. The final probe, which is saved, is fitted on all pairs with the median of the chosen strengths.
3. The online code (Voita and Titov, 2020, https://arxiv.org/abs/2003.12298) sends the labels in blocks of whole
   groups, each with a probe fitted on the blocks before; the first block costs log2(classes) bits a label. A probe
   fitted on t labels gives a class the probability (t p + 1) / (t + classes). All strengths code; the shortest code
   counts, plus the bits that name its strength. The same probes give the learning curve.
4. Noise is added to the held-out activations: Gaussian, equal in all directions, in units of the root mean square of
   the site's features. *Fragility* is the noise at which half of the accuracy above the majority class is lost.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.folds import in_random_order, inner_folds
from interp_emerge.probing.engines.problems import ROUGH, TOLERANCE, Basis, Features, Fit, Problem
from interp_emerge.probing.engines.variables import Target

NOISES = 2.0 ** np.arange(-8, 9, 0.5)
"""Sizes of the noise that are tried."""
DRAWS = 8
"""Draws of noise for each prompt."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """The labels of all arms and the folds, for one variable at one position."""

    target: Target
    arms: tuple[str, ...]
    """`true` first."""
    labels: Tensor
    """Shape [arm, prompt]."""
    folds: Tensor
    """The fold of each prompt, shape [prompt]."""
    groups: Tensor
    """The group of each prompt, shape [prompt]; prompts of one group are never in training and in test."""
    seed: int

    @property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1

    def only_true(self) -> "Design":
        """The same without the control arms."""
        return replace(self, arms=self.arms[:1], labels=self.labels[:1])

    @cached_property
    def training(self) -> Tensor:
        """For each fold the prompts outside it, shape [fold, prompt]."""
        return self.folds != torch.arange(self.n_folds)[:, None]

    @cached_property
    def choosing(self) -> Tensor:
        """For each fold the prompts on which its strength is chosen, shape [fold, prompt]."""
        return inner_folds(self.folds, self.groups, self.seed)

    @cached_property
    def base(self) -> np.ndarray:
        """What the training labels alone give, shape [arm, prompt].

        1 where the majority class is right; for real values the squared error of the mean.
        """
        found, labels = np.empty(self.labels.shape), self.labels.numpy()
        for fold in range(self.n_folds):
            held = (self.folds == fold).numpy()
            for arm in range(len(labels)):
                known, asked = labels[arm, ~held], labels[arm, held]
                if self.target.n_classes:
                    found[arm, held] = asked == np.bincount(known, minlength=self.target.n_classes).argmax()
                else:
                    found[arm, held] = (asked - known.mean()) ** 2
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """What a decoder has reached on a block of sites."""

    hits: np.ndarray
    """1 for a correct held-out prediction, else 0; for real values its squared error; shape [site, arm, prompt]."""
    fragility: np.ndarray
    """Noise at which the probe fails, shape [site]."""
    strength: np.ndarray
    """Strength of the final probe, shape [site]."""
    weight: Tensor
    """Final probe, as a function of the activations as they were read, shape [site, feature, output]."""
    bias: Tensor
    """Shape [site, output]."""
    bits: np.ndarray
    """Length of the online code of the labels, shape [site]; NaN without probabilities."""
    learning: np.ndarray
    """Accuracy on the prompts that are left after training on the first ones, shape [site, portion]."""
    learnt_on: np.ndarray
    """Numbers of training prompts of the learning curve, shape [portion]."""


def try_decoder(decoder: Decoder, activations: Features, design: Design, *, budget: int, full: bool = True) -> Trial:
    """Fit and judge a decoder at a block of sites; without `full`, held-out predictions and the final probe only."""
    make = Basis.of if decoder.features == "axes" else plain_basis
    basis, x = make(activations)
    strengths = x.new_tensor(decoder.strengths)
    labels = design.labels.to(x.device)
    labels = labels if design.target.n_classes else labels.to(x.dtype)
    sites, arms, folds = len(x), len(design.arms), design.n_folds

    def problem(
        training: Tensor, strength: Tensor, which: slice = slice(None), tolerance: float = TOLERANCE
    ) -> Problem:
        wanted = labels[which]
        return Problem(
            x=x,
            labels=wanted,
            n_classes=design.target.n_classes,
            training=training.to(x.device),
            strengths=strength.expand(sites, len(wanted), len(training), -1),
            budget=budget,
            tolerance=tolerance,
        )

    chosen = torch.zeros(sites, arms, folds, dtype=torch.int64, device=x.device)
    if len(strengths) > 1:
        inner = decoder.fit(problem(design.training & ~design.choosing, strengths, tolerance=ROUGH))
        for fold in range(folds):
            held = design.choosing[fold].to(x.device)
            losses = _losses(decoder, inner.scores(x[:, held], split=fold), labels[:, held])
            best = losses.amin(-1, keepdim=True)
            near = losses <= best + 1e-6 * best.abs()
            chosen[:, :, fold] = near.shape[-1] - 1 - near.flip(-1).int().argmax(-1)
    outer = decoder.fit(problem(design.training, strengths[chosen][..., None]))
    hits = x.new_empty(sites, arms, x.shape[1])
    noisy = x.new_zeros(sites, len(NOISES), x.shape[1])
    for fold in range(folds):
        held = (design.folds == fold).to(x.device)
        scores = outer.scores(x[:, held], split=fold)[:, :, 0]
        hits[:, :, held] = _hits(scores, labels[:, held])
        if full:
            noisy[:, :, held] = _with_noise(scores[:, 0], outer.weight[:, 0, fold, 0], labels[0, held], design.seed)
    middle = chosen[:, 0].sort(-1).values[:, folds // 2]
    everything = torch.ones(1, x.shape[1], dtype=torch.bool)
    last = decoder.fit(problem(everything, strengths[middle][:, None, None, None], slice(0, 1)))
    weight, bias = basis.weights(last.weight[:, 0, 0, 0], last.bias[:, 0, 0, 0])
    code = _online_code(decoder, x, labels[:1], design, budget) if full else _no_code(sites)
    return Trial(
        hits=hits.cpu().double().numpy(),
        fragility=_fragility(design, hits[:, 0], noisy, full=full),
        strength=strengths[middle].cpu().double().numpy(),
        weight=weight,
        bias=bias,
        bits=code[0],
        learning=code[1],
        learnt_on=code[2],
    )


def plain_basis(activations: Features) -> tuple[Basis, Features]:
    """The activations' own units, each scaled to a spread of one, as a basis."""
    mean = activations.mean(1, dtype=torch.float64).to(activations.dtype)
    spread = activations.std(1, correction=0)
    inverse = torch.where(spread > 1e-6 * spread.amax(-1, keepdim=True), 1 / spread, 0)
    basis = Basis(mean=mean, scale=activations.new_ones(len(activations)), axes=torch.diag_embed(inverse))
    return basis, (activations - mean[:, None]) * inverse[:, None]


def _losses(decoder: Decoder, scores: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each strength, shape [site, arm, strength]; scores are [site, arm, strength, prompt, output]."""
    if not scores.is_floating_point() or labels.is_floating_point():
        return (scores[..., 0] - labels[None, :, None]).square().mean(-1)
    wanted = labels[None, :, None, :, None].expand(*scores.shape[:-1], 1)
    if decoder.probabilities:
        return -scores.log_softmax(-1).gather(-1, wanted)[..., 0].mean(-1)
    target = torch.zeros_like(scores).scatter_(-1, wanted, 1)
    return (scores - target).square().sum(-1).mean(-1)


def _hits(scores: Tensor, labels: Tensor) -> Tensor:
    """1 where the highest score is the label's; for real values the squared error. Scores are [..., prompt, output]."""
    if labels.is_floating_point():
        return (scores[..., 0] - labels).square()
    return (scores.argmax(-1) == labels).to(scores.dtype)


def _with_noise(scores: Tensor, weight: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Share of draws of noise of each size with a correct prediction, shape [site, noise, prompt].

    Noise in the activations is noise in the scores, with the covariance weightᵀ weight. For real values the squared
    error that the noise adds is known.
    """
    covariance = weight.mT @ weight
    if labels.is_floating_point():
        added = covariance[:, 0, 0, None] * scores.new_tensor(NOISES).square()
        return (scores[..., 0] - labels).square()[:, None] + added[..., None]
    values, vectors = torch.linalg.eigh(covariance.double())
    root = (vectors * values.clamp_min(0).sqrt()[:, None]).to(scores.dtype)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(DRAWS, *scores.shape[1:], generator=generator).to(scores.device)
    found = []
    for noise in NOISES:
        right = scores.new_zeros(scores.shape[:2])
        for draw in draws:
            right += (scores + float(noise) * draw @ root.mT).argmax(-1) == labels
        found.append(right / DRAWS)
    return torch.stack(found, 1)


def _fragility(design: Design, hits: Tensor, noisy: Tensor, *, full: bool) -> np.ndarray:
    """The noise at which half of what the probe has over the majority class or the mean is lost, shape [site]."""
    if not full:
        return np.full(len(hits), np.nan)
    better = 1 if design.target.n_classes else -1
    base = better * design.base[0].mean()
    start = better * hits.mean(-1).cpu().double().numpy()
    curve = better * noisy.mean(-1).cpu().double().numpy()
    found = np.full(len(hits), np.nan)
    for site in range(len(hits)):
        if start[site] <= base:
            continue
        half = (start[site] + base) / 2
        below = np.flatnonzero(curve[site] <= half)
        if not len(below):
            found[site] = NOISES[-1]
        elif below[0] == 0:
            found[site] = NOISES[0]
        else:
            high, low = curve[site, below[0] - 1], curve[site, below[0]]
            step = (high - half) / max(high - low, 1e-12)
            found[site] = NOISES[below[0] - 1] * (NOISES[below[0]] / NOISES[below[0] - 1]) ** step
    return found


def _no_code(sites: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.full(sites, np.nan), np.empty((sites, 0)), np.empty(0)


def cuts_of(ends: Tensor, portions: tuple[float, ...], n_classes: int) -> list[int]:
    """Numbers of prompts after which the online code fits a new probe; the last is all of them.

    `ends` are the numbers of prompts after which a group is complete. A portion that ends inside a group ends with it.
    """
    n = int(ends[-1])
    found = {int(ends[ends >= math.ceil(portion * n)][0]) for portion in portions}
    return [cut for cut in sorted(found) if cut >= max(2, n_classes) or cut == n]


def _online_code(
    decoder: Decoder, x: Tensor, labels: Tensor, design: Design, budget: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bits of the online code, [site], accuracy after each portion, [site, portion], and the portions' sizes."""
    n_classes, n, sites = design.target.n_classes, x.shape[1], len(x)
    if not n_classes or not decoder.probabilities:
        return _no_code(sites)
    order, ends = in_random_order(design.groups, design.seed)
    order, cuts = order.to(x.device), cuts_of(ends, decoder.portions, n_classes)
    seen = cuts[:-1]
    if not seen:
        return np.full(sites, n * math.log2(n_classes)), np.empty((sites, 0)), np.empty(0)
    most = seen[-1]
    training = torch.arange(most, device=x.device) < torch.tensor(seen, device=x.device)[:, None]
    strengths = x.new_tensor(decoder.strengths)
    fit: Fit = decoder.fit(
        Problem(
            x=x[:, order[:most]],
            labels=labels[:, order[:most]],
            n_classes=n_classes,
            training=training,
            strengths=strengths.expand(sites, 1, len(seen), -1),
            budget=budget,
            tolerance=ROUGH,
        )
    )
    bits = x.new_full((sites, len(strengths)), seen[0] * math.log2(n_classes), dtype=torch.float64)
    right = x.new_empty(sites, len(strengths), len(seen), dtype=torch.float64)
    for portion, (start, end) in enumerate(zip(seen, cuts[1:], strict=True)):
        wanted = labels[0, order[start:]]
        scores = fit.scores(x[:, order[start:]], split=portion)[:, 0].double()
        probability = scores.softmax(-1).gather(-1, wanted[None, None, :, None].expand(*scores.shape[:-1], 1))[..., 0]
        coded = ((start * probability + 1) / (start + n_classes)).log2()
        bits -= coded[..., : end - start].sum(-1)
        right[..., portion] = (scores.argmax(-1) == wanted).double().mean(-1)
    best = bits.argmin(-1)
    at = torch.arange(sites, device=x.device)
    named = math.log2(len(strengths))
    return (bits[at, best] + named).cpu().numpy(), right[at, best].cpu().numpy(), np.array(seen)
