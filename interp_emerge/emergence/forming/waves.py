"""Progress measures of modular addition: they show that a model learns before its test loss falls.

Source: Nanda, Chan, Lieberum, Smith and Steinhardt, 2023, https://arxiv.org/abs/2301.05217. A model that adds modulo p
with waves has logits Σ_k α_k cos(w_k (a + b − c)), with w_k = 2πk/p and a few key frequencies k of 1 … (p − 1)/2. Let
L[a, b, c] be the logits of number c after the prompt `a b =`, minus their mean over c, which does not affect the loss.

1. `sum_waves`: F[k, c] = (1/p²) Σ_ab L[a, b, c] exp(−i w_k (a + b)). This is the discrete Fourier transform over
   s = a + b mod p of the mean of L over the p pairs with one sum. F[0, c] is the constant.
2. `frequency_shares`: share_k = 2 Σ_c |F[k, c]|² / Σ_c (mean over a, b of (L − F[0])²), the fraction of the variance of
   the logits over pairs that lies in cos(w_k (a + b)) and sin(w_k (a + b)).
3. `key_frequencies`: the frequencies whose share exceeds both the mean share and a null. For the null, the p² vectors
   of logits are assigned to pairs at random, `n_shuffles` times. The null is the 95th percentile of the largest share
   over frequencies. If a model has memorised its training pairs, all frequencies exceed it alike, since a table of some
   sums contains all waves. So the mean share has to be exceeded too.
4. *Restricted loss*: cross-entropy of F[0] plus only the waves of the key frequencies. *Excluded loss*: cross-entropy
   of L minus these waves, on training pairs. `restricted_loss` is over all pairs, as in the source.
   `restricted_test_loss` is over test pairs, to be compared with `test_loss`. As a null, `RANDOM_SETS` sets of the same
   number of other frequencies are used in the same way: `restricted_random` on test pairs and `excluded_random` on
   training pairs are means over these sets.
5. Gini coefficients (Hurley and Rickard, 2009, https://doi.org/10.1109/TIT.2009.2027527) over frequencies: 0 if all are
   equal, 1 − 2/(p − 1) if one has everything. They are computed for the shares, and for the norms of the Fourier
   components of the embeddings of the numbers.

As in the source, the waves are fitted to all pairs, test pairs included, so a restricted loss describes the model and
is not a prediction. The output c is not restricted to waves. The trigonometric identities that the source finds inside
the model (neurons, attention) are not checked. The constant F[0] takes the place of the source's bias correction.

Cost: one forward pass over p² prompts for each checkpoint, and 8 p³ bytes for a copy of the logits.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax
from tqdm.auto import tqdm

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.families.base import Family
from interp_emerge.stats.ranks import NULL_QUANTILE

UNITS = {
    "train_loss": "nats per pair",
    "test_loss": "nats per pair",
    "restricted_loss": "nats per pair",
    "restricted_test_loss": "nats per pair",
    "restricted_random": "nats per pair",
    "excluded_loss": "nats per pair",
    "excluded_random": "nats per pair",
    "n_key": "frequencies",
    "key_share": "fraction of the variance of the logits",
    "sum_share": "fraction of the variance of the logits",
    "gini_logits": "Gini coefficient",
    "gini_embedding": "Gini coefficient",
    "weight_norm": "Euclidean norm of all weights",
}
"""Every measure with its unit. `n_key` counts the key frequencies of the checkpoint itself. `key_share` is the sum of
`frequency_shares` over the frequencies that the losses use, and `sum_share` is the sum over all frequencies."""
PROMPTS_AT_ONCE = 4096
RANDOM_SETS = 10


@checked
@torch.no_grad()
def addition_logits(model: HookedModel, *, modulus: int) -> np.ndarray:
    """Logits of the numbers after every prompt `a b =`, shape [a, b, c]. Token ids 0 … p − 1 are numbers, and p is `=`.

    Example:
        >>> ie.emergence.forming.addition_logits(model, modulus=7).shape
        (7, 7, 7)

    Raises:
        InputError: the modulus is even or below 5, or the model has too few tokens or positions.
    """
    _require_modulus(modulus)
    a, b = np.divmod(np.arange(modulus**2), modulus)
    prompts = torch.from_numpy(np.stack([a, b, np.full(modulus**2, modulus)], axis=1))
    model.require_tokens(prompts)
    parts = [model.logits(rows)[:, :modulus].double().cpu() for rows in prompts.split(PROMPTS_AT_ONCE)]
    return torch.cat(parts).numpy().reshape(modulus, modulus, modulus)


def sum_waves(logits: np.ndarray) -> np.ndarray:
    """Fourier components F of logits over the sum of the inputs, complex, shape [frequency, c], the constant first."""
    modulus = len(logits)
    number = np.arange(modulus)
    order = (number[:, None] - number) % modulus  # the b that gives sum s with a, at [s, a]
    by_sum = logits[number[None, :], order].mean(1)
    by_sum = by_sum - by_sum.mean(-1, keepdims=True)
    return np.fft.rfft(by_sum, axis=0) / modulus


def frequency_shares(logits: np.ndarray) -> np.ndarray:
    """Fraction of the variance of logits in the waves of each frequency 1 … (p − 1)/2 of the sum, shape [frequency].

    Raises:
        InputError: the logits are not of shape [a, b, c], are not finite, or are equal for all pairs.
    """
    centred = _centred(logits)
    return _shares(centred, float((centred**2).sum(-1).mean()))


@checked
def key_frequencies(logits: np.ndarray, *, n_shuffles: int = 100, seed: int = 0) -> tuple[int, ...]:
    """Frequencies whose share exceeds the null and the mean share, ascending.

    Example:
        >>> logits = ie.emergence.forming.addition_logits(model, modulus=7)
        >>> ie.emergence.forming.key_frequencies(logits)  # this model does not add modulo 7

    Args:
        logits: shape [a, b, c].
        n_shuffles: number of shuffles in the null.
        seed: seed of the shuffles.

    Raises:
        InputError: the logits have another shape, are not finite, or are equal for all pairs; or there are fewer than
            20 shuffles.
    """
    if n_shuffles < 20:
        raise InputError(f"{n_shuffles} shuffles are too few for a 95th percentile; ask for at least 20")
    centred = _centred(logits)
    variance, modulus = float((centred**2).sum(-1).mean()), len(logits)
    shares, rng = _shares(centred, variance), np.random.default_rng(seed)
    rows = centred.reshape(modulus**2, modulus)
    largest = [_shares(rng.permutation(rows).reshape(centred.shape), variance).max() for _ in range(n_shuffles)]
    threshold = max(float(np.quantile(largest, NULL_QUANTILE)), float(shares.mean()))
    return tuple(int(index) + 1 for index in np.flatnonzero(shares > threshold))


def restricted_logits(logits: np.ndarray, frequencies: Sequence[int]) -> np.ndarray:
    """The part of the logits in the constant and the waves of the given frequencies of the sum, shape [a, b, c]."""
    return _waves(logits, (0, *_checked(frequencies, len(logits))))


def excluded_logits(logits: np.ndarray, frequencies: Sequence[int]) -> np.ndarray:
    """Logits minus the waves of the given frequencies of the sum, shape [a, b, c]."""
    return logits - _waves(logits, _checked(frequencies, len(logits)))


def other_frequencies(frequencies: Sequence[int], modulus: int, n: int, *, seed: int = 0) -> list[tuple[int, ...]]:
    """`n` random sets of other frequencies, each as large as the given set; no set if there are too few others."""
    rng, others = np.random.default_rng(seed), np.setdiff1d(np.arange(1, (modulus + 1) // 2), frequencies)
    if not 0 < len(frequencies) <= len(others):
        return []
    return [tuple(np.sort(rng.choice(others, len(frequencies), replace=False)).tolist()) for _ in range(n)]


def addition_losses(logits: np.ndarray) -> np.ndarray:
    """Cross-entropy of the correct sum after each pair, nats, shape [a, b]."""
    number = np.arange(len(logits))
    total = (number[:, None] + number) % len(logits)
    return -np.take_along_axis(log_softmax(logits, axis=-1), total[..., None], axis=-1)[..., 0]


def gini(values: np.ndarray) -> float:
    """Gini coefficient of nonnegative values: 0 if all are equal, 1 − 1/n if all but one of n values are 0."""
    ordered, n = np.sort(values), len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


@checked
def progress_measures(
    model: HookedModel,
    *,
    modulus: int,
    frequencies: Sequence[int] | None = None,
    train_pairs: np.ndarray | None = None,
    n_shuffles: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Progress measures of one checkpoint.

    Example:
        >>> ie.emergence.forming.progress_measures(model, modulus=7, frequencies=[1, 2])

    Args:
        model: model whose prompts are the token ids a, b and p.
        modulus: p, odd.
        frequencies: the key frequencies; by default those of this model.
        train_pairs: which pairs were trained on, bool, shape [a, b]; if left out, training and test losses are NaN.
        n_shuffles: number of shuffles in the null of the key frequencies.
        seed: seed of the nulls.

    Returns:
        One row for each measure: columns `measure`, `value`, `unit` (see `UNITS`).

    Raises:
        InputError: the modulus, frequencies or pairs do not fit, or the model gives all pairs the same logits.
    """
    logits = addition_logits(model, modulus=modulus)
    trained = _checked_pairs(train_pairs, modulus)
    own = key_frequencies(logits, n_shuffles=n_shuffles, seed=seed)
    chosen = own if frequencies is None else _checked(frequencies, modulus)
    shares = frequency_shares(logits)
    full, restricted = addition_losses(logits), addition_losses(restricted_logits(logits, chosen))
    others = other_frequencies(chosen, modulus, RANDOM_SETS, seed=seed)
    tested = None if trained is None else ~trained
    embedding = model.hf.get_input_embeddings().weight.detach().double().cpu().numpy()[:modulus]
    values = {
        "train_loss": _mean(full, trained),
        "test_loss": _mean(full, tested),
        "restricted_loss": float(restricted.mean()),
        "restricted_test_loss": _mean(restricted, tested),
        "restricted_random": _mean_over(
            others, lambda of: _mean(addition_losses(restricted_logits(logits, of)), tested)
        ),
        "excluded_loss": _mean(addition_losses(excluded_logits(logits, chosen)), trained),
        "excluded_random": _mean_over(others, lambda of: _mean(addition_losses(excluded_logits(logits, of)), trained)),
        "n_key": float(len(own)),
        "key_share": float(shares[np.array(chosen, dtype=int) - 1].sum()),
        "sum_share": float(shares.sum()),
        "gini_logits": gini(shares),
        "gini_embedding": gini(np.linalg.norm(np.fft.rfft(embedding, axis=0)[1:], axis=1)),
        "weight_norm": float(sum(p.detach().double().square().sum() for p in model.hf.parameters()) ** 0.5),
    }
    return pd.DataFrame({"measure": list(values), "value": list(values.values()), "unit": [UNITS[m] for m in values]})


@checked
def measure_progress(
    family: Family,
    *,
    modulus: int,
    train_pairs: np.ndarray | None = None,
    sizes: Sequence[str] | None = None,
    frequencies: Sequence[int] | None = None,
    n_shuffles: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Progress measures of every checkpoint of a family.

    Example:
        >>> ie.emergence.forming.measure_progress(family, modulus=7, sizes=["3k"], frequencies=[1])

    Args:
        family: models whose prompts are the token ids a, b and p.
        modulus: p, odd.
        train_pairs: as in `progress_measures`.
        sizes: names of sizes; by default all.
        frequencies: the key frequencies of all checkpoints; by default those of the last checkpoint of each run.
        n_shuffles: number of shuffles in the null of the key frequencies.
        seed: seed of the nulls.

    Returns:
        One row for each checkpoint and measure: columns `size`, `seed` (of the training run), `step`, `measure`,
        `value`, `unit`.

    Raises:
        UnknownNameError: the family lacks a size.
        InputError: as for `progress_measures`.
    """
    runs = [(size, run) for size in (family.sizes if sizes is None else sizes) for run in family.seeds(size)]
    cells = [(size, run, step) for size, run in runs for step in family.steps(size, run)]
    chosen, parts = {}, []
    for size, run, step in tqdm(cells, desc="checkpoints", delay=2, leave=False):
        if (size, run) not in chosen:
            last = addition_logits(family.load(size, "last", run), modulus=modulus)
            own = frequencies is None
            chosen[size, run] = key_frequencies(last, n_shuffles=n_shuffles, seed=seed) if own else frequencies
        measured = progress_measures(
            family.load(size, step, run),
            modulus=modulus,
            frequencies=chosen[size, run],
            train_pairs=train_pairs,
            n_shuffles=n_shuffles,
            seed=seed,
        )
        parts.append(measured.assign(size=size, seed=run, step=step))
    return pd.concat(parts, ignore_index=True)[["size", "seed", "step", "measure", "value", "unit"]]


def _waves(logits: np.ndarray, frequencies: Sequence[int]) -> np.ndarray:
    """The part of the logits in the waves of some frequencies of the sum, 0 for the constant, shape [a, b, c]."""
    modulus, number = len(logits), np.arange(len(logits))
    components = sum_waves(logits)
    kept = np.zeros_like(components)
    kept[list(frequencies)] = components[list(frequencies)]
    by_sum = np.fft.irfft(kept * modulus, n=modulus, axis=0)
    return by_sum[(number[:, None] + number) % modulus]


def _shares(centred: np.ndarray, variance: float) -> np.ndarray:
    return 2 * (np.abs(sum_waves(centred)[1:]) ** 2).sum(1) / variance


def _centred(logits: np.ndarray) -> np.ndarray:
    """Logits minus their mean over outputs, which does not affect the loss, and minus their mean over pairs."""
    if logits.ndim != 3 or len(set(logits.shape)) > 1:
        raise InputError(f"logits of addition need shape [p, p, p] for inputs a, b and output c, not {logits.shape}")
    _require_modulus(len(logits))
    centred = logits - logits.mean(-1, keepdims=True)
    centred = centred - centred.mean((0, 1))
    scale = float(np.abs(logits).max())
    if not np.isfinite(scale):
        raise InputError("the logits are not finite; the checkpoint is damaged or training has diverged")
    if np.abs(centred).max() <= 1e-12 * scale:
        raise InputError(
            "the model gives every pair the same logits, so there are no waves to measure; give a trained model"
        )
    return centred


def _checked(frequencies: Sequence[int], modulus: int) -> tuple[int, ...]:
    highest = (modulus - 1) // 2
    for frequency in frequencies:
        if not 1 <= frequency <= highest:
            raise InputError(f"frequency {frequency} does not exist for modulus {modulus}; give 1 to {highest}")
    return tuple(sorted({int(frequency) for frequency in frequencies}))


def _checked_pairs(train_pairs: np.ndarray | None, modulus: int) -> np.ndarray | None:
    if train_pairs is None:
        return None
    if train_pairs.shape != (modulus, modulus) or train_pairs.dtype != bool:
        raise InputError(f"train_pairs is {train_pairs.dtype} of shape {list(train_pairs.shape)}; give bool of shape "
                         f"[{modulus}, {modulus}], True where a pair was trained on")  # fmt: skip
    if train_pairs.all() or not train_pairs.any():
        raise InputError(
            "train_pairs leaves no training pairs or no test pairs; give an array with both, or leave it out"
        )
    return train_pairs


def _require_modulus(modulus: int) -> None:
    if modulus < 5 or modulus % 2 == 0:
        raise InputError(f"addition modulo {modulus} is not supported; give an odd modulus of at least 5")


def _mean_over(sets: Sequence[Sequence[int]], measure: Callable[[Sequence[int]], float]) -> float:
    return float(np.mean([measure(of) for of in sets])) if sets else np.nan


def _mean(losses: np.ndarray, rows: np.ndarray | None) -> float:
    return np.nan if rows is None else float(losses[rows].mean())
