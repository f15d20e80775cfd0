"""Rates of success far below one over the number of prompts: sample until enough samples pass.

Greedy accuracy on N prompts cannot distinguish a rate of 1e-4 from 0. Sampling until r samples have passed can. If the
r-th pass is sample number K, the most likely rate is r / K, and (r − 1) / (K − 1) has no bias (Haldane, 1945,
https://doi.org/10.1093/biomet/33.3.222). The method and its use are from Hu et al. (2023, PassUntil,
https://arxiv.org/abs/2310.03262). They find log(−log rate) linear in the logarithm of the model's size. Then −log rate
is a falling power of size, and a task that no model passes greedily still improves predictably.

The relative error is about 1 / √r at any rate. The number of samples is about r / rate, at most `most`. The interval is
exact for sampling until r passes. If the samples run out first, it is that of Clopper and Pearson for a fixed number of
samples. With no pass at all it begins at 0, and only its upper end bounds the rate.

`answer_sampler` samples answers of one token, `continuation_sampler` answers of several tokens. Both know the one
correct answer, so the exact rate is its mean probability (`SeveralTokens.pass_rate`), and no sampling is needed: they
serve to check the method. Where many answers pass, or a program has to judge them, sampling is the only way, and the
caller gives a function that samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.scale.continuations.tasks import SeveralTokens
from interp_emerge.stats.intervals import TAIL, Interval
from interp_emerge.stats.significance import SIGNIFICANT

Sampler = Callable[[int, np.random.Generator], np.ndarray]
"""Takes a number of samples and a random generator; returns whether each sample passes, shape [sample]."""
FIRST_BATCH, LARGEST_BATCH = 64, 1 << 16
SMALLEST_P = 1e-16
"""Smaller p-values are written as an upper bound."""


@dataclass(frozen=True, kw_only=True)
class PassRate:
    """How many samples were taken and how many passed; `reached` if the wanted number passed."""

    passes: int
    samples: int
    reached: bool

    @property
    def rate(self) -> float:
        """The most likely rate, passes / samples."""
        return self.passes / self.samples

    @property
    def unbiased(self) -> float:
        """The rate without bias: (r − 1) / (K − 1) if r passes were reached; NaN for one pass."""
        if not self.reached:
            return self.rate
        return (self.passes - 1) / (self.samples - 1) if self.passes > 1 else float("nan")

    @property
    def interval(self) -> Interval:
        """The most likely rate with its exact 95% interval."""
        from scipy.stats import beta

        failures = self.samples - self.passes
        low = float(beta.ppf(TAIL, self.passes, failures + 1)) if self.passes else 0.0
        # Sampling that stops at a pass ends with a pass by design, so the last sample is not evidence.
        above = self.passes if self.reached else self.passes + 1
        high = float(beta.ppf(1 - TAIL, above, failures)) if failures else 1.0
        return Interval(self.rate, low, high)


@dataclass(frozen=True, kw_only=True)
class PassLaw:
    """The law log(−log rate) = intercept − exponent · log size: −log rate = exp(intercept) · size^(−exponent).

    `error` is the standard error of the exponent. `chi_square` is the sum of squared distances from the line, in
    standard errors; `p_value` is the probability of a sum at least as large if the law holds. As text it is a sentence.
    """

    exponent: float
    error: float
    intercept: float
    chi_square: float
    p_value: float
    n_points: int

    def __str__(self) -> str:
        judged = "does not hold" if self.p_value < SIGNIFICANT else "is not rejected"
        chance = f"p = {self.p_value:.2g}" if self.p_value >= SMALLEST_P else f"p < {SMALLEST_P:g}"
        fit = f"chi-square {self.chi_square:.3g} on {self.n_points - 2} degrees of freedom, {chance}"
        exponent = f"exponent {self.exponent:.2f}, standard error {self.error:.2f}"
        return f"the law {judged} over {self.n_points} points ({fit}; {exponent})"

    def predict(self, size: float) -> float:
        """The rate at a size."""
        return float(np.exp(-np.exp(self.intercept - self.exponent * np.log(size))))


@checked
def pass_until(sample: Sampler, *, passes: int = 20, most: int = 1_000_000, seed: int = 0) -> PassRate:
    """Samples until the wanted number of samples have passed, or until `most` samples are taken.

    Args:
        sample: draws samples and returns which pass; called for growing batches of up to 65,536 samples.
        passes: wanted number of passes, r.
        most: largest number of samples; rates far below r / most are not resolved.
        seed: seed of the samples.

    Raises:
        InputError: fewer than one pass is wanted, fewer samples than passes are allowed, or the sampler returns the
            wrong number of values.
    """
    if not 1 <= passes <= most:
        raise InputError(f"{passes} passes cannot be reached in at most {most} samples; ask for at least 1 pass and "
                         "allow at least as many samples as passes")  # fmt: skip
    rng, taken, seen, batch = np.random.default_rng(seed), 0, 0, FIRST_BATCH
    while taken < most:
        wanted = min(batch, most - taken)
        found = np.asarray(sample(wanted, rng), dtype=bool)
        if found.shape != (wanted,):
            raise InputError(f"the sampler returned values of shape {found.shape}; it has to return {wanted} values")
        if seen + found.sum() >= passes:
            last = int(np.flatnonzero(found)[passes - seen - 1])
            return PassRate(passes=passes, samples=taken + last + 1, reached=True)
        seen, taken, batch = seen + int(found.sum()), taken + wanted, min(2 * batch, LARGEST_BATCH)
    return PassRate(passes=seen, samples=taken, reached=False)


@checked
@torch.no_grad()
def answer_sampler(model: HookedModel, pairs: PromptPairs, *, temperature: float = 1.0) -> Sampler:
    """A sampler that draws a clean prompt, then a token from the model's logits after it; a correct answer passes.

    One forward pass for each prompt serves all samples.

    Raises:
        InputError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"the temperature is {temperature:g}; give one above 0")
    require_pairs(model, pairs)
    answers = pairs.answers
    low, high = np.zeros((2, *answers.shape))  # entries without an answer keep an empty range
    runs = (
        (of_all[rows], logits)
        for of_all, group in pairs.by_length()
        for rows, logits in model.logits_in_chunks(group.clean)
    )
    for rows, logits in runs:
        # One prompt at a time: a vocabulary in double precision takes more memory than the run.
        for row, last in zip(rows.tolist(), logits[:, -1], strict=True):
            cumulative = (last.double() / temperature).softmax(-1).cumsum(-1).cpu()
            for place, answer in enumerate(answers[row].tolist()):
                if answer >= 0:
                    # Rounding must not leave a gap below 1 that no token covers.
                    low[row, place] = float(cumulative[answer - 1] / cumulative[-1]) if answer else 0.0
                    high[row, place] = float(cumulative[answer] / cumulative[-1])

    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        chosen, points = rng.integers(len(low), size=n), rng.random(n)[:, None]
        return ((low[chosen] <= points) & (points < high[chosen])).any(1)

    return sample


@checked
def continuation_sampler(found: SeveralTokens, length: int | None = None) -> Sampler:
    """A sampler that draws a prompt, then `length` tokens at temperature 1; the true continuation passes.

    A sample can pass only while all its tokens so far are the true ones. So each token is drawn given the true tokens
    before it, and the run of `several_tokens` is the only one that is needed.

    Raises:
        InputError: the continuations are shorter than `length`, or `length` is below 1.
    """
    longest = found.truth.shape[1]
    wanted = longest if length is None else length
    if not 1 <= wanted <= longest:
        raise InputError(f"the continuations have {longest} tokens; ask for 1 to {longest} of them, not {wanted}")
    probabilities = np.exp(found.log_prob[:, :wanted])

    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        chosen, passed = rng.integers(len(probabilities), size=n), np.ones(n, dtype=bool)
        for position in range(probabilities.shape[1]):
            left = passed.nonzero()[0]
            passed[left] = rng.random(len(left)) < probabilities[chosen[left], position]
        return passed

    return sample


@checked
def pass_law(sizes: np.ndarray, rates: Sequence[PassRate]) -> PassLaw:
    """Fits a line to log(−log rate) over log size, each point weighted by its standard error.

    The relative error of a rate is √((1 − rate) / passes); the error of log(−log rate) is that divided by −log rate.

    Raises:
        InputError: there are fewer than 3 points, the numbers of sizes and rates differ, or a rate is 0 or 1, for which
            log(−log rate) does not exist.
    """
    from scipy.stats import chi2

    sizes = np.asarray(sizes, dtype=np.float64)
    if len(rates) < 3 or sizes.shape != (len(rates),) or (sizes <= 0).any():
        raise InputError(f"a line through {len(rates)} rates at sizes of shape {sizes.shape} cannot be tested; give at "
                         "least 3 rates and a size above 0 for each")  # fmt: skip
    p = np.array([rate.rate for rate in rates])
    if ((p <= 0) | (p >= 1)).any():
        raise InputError(
            f"a rate of {p[(p <= 0) | (p >= 1)][0]:g} has no log(−log rate); take more samples or leave it out"
        )
    y = np.log(-np.log(p))
    errors = np.sqrt((1 - p) / np.array([rate.passes for rate in rates])) / -np.log(p)
    x, weights = np.log(sizes), errors**-2.0
    middle = np.average(x, weights=weights)
    spread = (weights * (x - middle) ** 2).sum()
    if not spread > 0:
        raise InputError(f"all rates are at the size {sizes[0]:g}; a line needs at least two sizes")
    slope = float((weights * (x - middle) * y).sum() / spread)
    intercept = float(np.average(y, weights=weights) - slope * middle)
    distance = float((weights * (y - intercept - slope * x) ** 2).sum())
    return PassLaw(
        exponent=-slope,
        error=float(spread**-0.5),
        intercept=intercept,
        chi_square=distance,
        p_value=float(chi2.sf(distance, len(p) - 2)),
        n_points=len(p),
    )
