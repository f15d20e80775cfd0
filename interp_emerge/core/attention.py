"""What heads attend to, as plain numbers: the record that caching fills and figures draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from interp_emerge.core.errors import InputError, described

Mode = Literal["pattern", "value_weighted", "difference"]
UNITS: dict[str, str] = {
    "pattern": "attention weight; the weights of a query sum to 1",
    "value_weighted": "length of the vector that the head would write from this token, times the attention weight",
    "difference": "attention weight on the clean prompt minus that on the corrupted prompt",
}
"""What the numbers of each mode are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionWeights:
    """How much each head of one model attends from each position to each: on one prompt, or on average over pairs.

    `uniform` is the weight if a head attended equally to all tokens that it sees; it is the null of a pattern. `low`
    and `high` are the ends of 95% intervals over pairs. They are None where there is nothing of the kind.

    Raises:
        InputError: the arrays do not fit the heads and tokens, or a number is infinite. NaN is kept.
    """

    weights: np.ndarray
    """Shape [head, query, key]. Queries are the first positions among the keys, usually all of them."""
    heads: tuple[str, ...]
    tokens: tuple[str, ...]
    """The token at each position, or the name of a position that pairs are aligned by."""
    mode: Mode = "pattern"
    uniform: np.ndarray | None = None
    """Shape [head, query, key], or [1, query, key] if all heads see the same tokens."""
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    n_pairs: int = 1
    model: str = ""
    size: str = ""
    step: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("heads", "tokens"):
            object.__setattr__(self, name, _texts(getattr(self, name), name))
        if self.mode not in UNITS:
            raise InputError(f"mode cannot be {described(self.mode)}; give {', '.join(UNITS)}")
        n_heads, n_tokens = len(self.heads), len(self.tokens)
        for name in ("weights", "uniform", "low", "high"):
            given = getattr(self, name)
            if given is None and name != "weights":
                continue
            values = _numbers(given, name)
            first = (n_heads, 1) if name == "uniform" else (n_heads,)
            n_queries = values.shape[1] if name == "weights" and values.ndim == 3 else self.weights.shape[1]
            fits = values.ndim == 3 and values.shape[0] in first and values.shape[1:] == (n_queries, n_tokens)
            if not fits or n_queries > n_tokens:
                raise InputError(
                    f"{name} of shape {list(values.shape)} do not fit {n_heads} heads and {n_tokens} tokens; give "
                    f"shape [head, query, key] = [{n_heads}, {min(n_queries, n_tokens)}, {n_tokens}]"
                )
            object.__setattr__(self, name, values)
        if (self.low is None) != (self.high is None):
            raise InputError("an interval needs both ends; give low and high, or neither")

    @property
    def n_queries(self) -> int:
        return self.weights.shape[1]

    @property
    def label(self) -> str:
        """The model's name."""
        return self.model or "attention"


def _texts(given: object, name: str) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise InputError(f"{name} cannot be {described(given)}; give a list of texts")
    if not given:
        raise InputError(f"{name} is an empty list; give at least one")
    if name == "heads" and len(set(given)) < len(given):
        raise InputError("two heads have the same name; give each head once")
    return tuple(str(one) for one in given)


def _numbers(given: object, name: str) -> np.ndarray:
    try:
        values = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{name} cannot be {described(given)}; give an array of shape [head, query, key]") from None
    if np.isinf(values).any():
        raise InputError(f"{name} contain an infinite number; give finite numbers, or NaN for what is undefined")
    return values
