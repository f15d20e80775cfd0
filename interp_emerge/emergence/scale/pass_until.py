"""Measures very small rates of success by sampling until enough samples pass.

Greedy accuracy on N prompts cannot distinguish a rate far below 1/N from 0. Sampling until r samples have passed can.
If the r-th pass is sample number K, the most likely rate is r / K, and (r − 1) / (K − 1) is an estimate without bias
(Haldane, 1945, https://doi.org/10.1093/biomet/33.3.222). The method and its use are from Hu et al. (2023, PassUntil,
https://arxiv.org/abs/2310.03262). They find that log(−log rate) is linear in the logarithm of the model's size. Then
−log rate is a falling power of the size, and even a task that no model passes greedily improves predictably.

The relative error is about 1 / √r at any rate. The number of samples is about r / rate, at most `most`. The interval is
exact for sampling until r passes. If the samples run out first, it is the interval of Clopper and Pearson for a fixed
number of samples. If no sample passes, it starts at 0, and only its upper end is informative.

`answer_sampler` samples answers of one token, and `continuation_sampler` samples answers of several tokens. For both
the correct answers are known, so the exact rate is their mean probability (as in `SeveralTokens.pass_rate`), and
sampling is not needed: the two samplers serve to check the method. If many answers are correct, or a program has to
check them, sampling is the only way. Then the caller gives a function that samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.emergence.scale.continuations.tasks import SeveralTokens
from interp_emerge.stats.intervals import TAIL, Interval
from interp_emerge.stats.significance import SIGNIFICANT

Sampler = Callable[[int, np.random.Generator], np.ndarray]
"""Takes a number of samples and a random generator; returns whether each sample passes, shape [sample]."""
FIRST_BATCH, LARGEST_BATCH = 64, 1 << 16
SMALLEST_P = 1e-16
"""A smaller p-value is written as 'p < 1e-16'."""


@dataclass(frozen=True, kw_only=True)
class PassRate(Record):
    """How many samples were taken and how many of them passed. `reached` says whether the wanted number passed."""

    passes: int
    samples: int
    reached: bool

    @property
    def rate(self) -> float:
        """The most likely rate, passes / samples."""
        return self.passes / self.samples

    @property
    def unbiased(self) -> float:
        """The rate without bias, (r − 1) / (K − 1), NaN for r = 1; if r was not reached, passes / samples."""
        if not self.reached:
            return self.rate
        return (self.passes - 1) / (self.samples - 1) if self.passes > 1 else float("nan")

    @property
    def interval(self) -> Interval:
        """The most likely rate with its exact 95% interval."""
        from scipy.stats import beta

        failures = self.samples - self.passes
        low = float(beta.ppf(TAIL, self.passes, failures + 1)) if self.passes else 0.0
        # Sampling that stops at a pass always ends with a pass, so the last sample carries no information.
        above = self.passes if self.reached else self.passes + 1
        high = float(beta.ppf(1 - TAIL, above, failures)) if failures else 1.0
        return Interval(self.rate, low, high)


@dataclass(frozen=True, kw_only=True)
class PassLaw(Record):
    """The law log(−log rate) = intercept − exponent · log size: −log rate = exp(intercept) · size^(−exponent).

    `error` is the standard error of the exponent. `chi_square` is the sum of squared distances from the line, in
    standard errors. `p_value` is the probability of a sum at least as large if the law holds. `str` makes a sentence.
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
        """The rate that the law gives at a size."""
        return float(np.exp(-np.exp(self.intercept - self.exponent * np.log(size))))


@checked
def pass_until(sample: Sampler, *, passes: int = 20, most: int = 1_000_000, seed: int = 0) -> PassRate:
    """Samples until the wanted number of samples have passed, or until `most` samples are taken.

    Example:
        >>> ie.emergence.scale.pass_until(lambda n, rng: rng.random(n) < 0.01, passes=20)

    Args:
        sample: draws samples and returns which of them pass. It is called for growing batches of up to 65,536 samples.
        passes: wanted number of passes, r.
        most: largest number of samples. At rates below about r / `most`, fewer than r samples pass.
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
    """A sampler that draws a clean prompt and then a token from the model's logits after it; a correct answer passes.

    It needs one forward pass for each prompt, whatever the number of samples.

    Example:
        >>> draw = ie.emergence.scale.answer_sampler(model, pairs)
        >>> ie.emergence.scale.pass_until(draw, passes=10, most=10_000).rate

    Raises:
        InputError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"the temperature is {temperature:g}; give one above 0")
    require_pairs(model, pairs)
    answers = pairs.answers
    low, high = np.zeros((2, *answers.shape))  # entries without an answer keep an empty interval
    runs = (
        (of_all[rows], logits)
        for of_all, group in pairs.by_length()
        for rows, logits in model.logits_in_chunks(group.clean)
    )
    for rows, logits in runs:
        # One prompt at a time: logits of a batch in double precision would take more memory than the run.
        for row, last in zip(rows.tolist(), logits[:, -1], strict=True):
            cumulative = (last.double() / temperature).softmax(-1).cumsum(-1).cpu()
            for place, answer in enumerate(answers[row].tolist()):
                if answer >= 0:
                    # Without the division, rounding could leave a gap below 1 that belongs to no token.
                    low[row, place] = float(cumulative[answer - 1] / cumulative[-1]) if answer else 0.0
                    high[row, place] = float(cumulative[answer] / cumulative[-1])

    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        chosen, points = rng.integers(len(low), size=n), rng.random(n)[:, None]
        return ((low[chosen] <= points) & (points < high[chosen])).any(1)

    return sample


@checked
def continuation_sampler(found: SeveralTokens, length: int | None = None) -> Sampler:
    """A sampler that draws a prompt and then `length` tokens at temperature 1; the true continuation passes.

    A sample has failed as soon as one of its tokens is not the true one. So only probabilities given the true tokens so
    far are needed, and `several_tokens` has already computed them: no further run is needed.

    Example:
        >>> found = ie.emergence.scale.continuations.several_tokens(model, pairs)
        >>> draw = ie.emergence.scale.continuation_sampler(found, length=2)
        >>> ie.emergence.scale.pass_until(draw, passes=5, most=10_000)

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
    """The law of `PassLaw`, fitted as a line to log(−log rate) over log size.

    Each point is weighted by its standard error. The relative error of a rate is √((1 − rate) / passes), and the error
    of log(−log rate) is this relative error divided by −log rate.

    Example:
        >>> draw = lambda rate: lambda n, rng: rng.random(n) < rate
        >>> rates = [ie.emergence.scale.pass_until(draw(rate)) for rate in (0.01, 0.1, 0.5)]
        >>> ie.emergence.scale.pass_law(np.array([1e6, 1e7, 1e8]), rates)

    Raises:
        InputError: there are fewer than 3 points, the numbers of sizes and rates differ, a size is not above 0, all
            sizes are equal, or a rate is 0 or 1, for which log(−log rate) does not exist.
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
