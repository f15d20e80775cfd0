"""Attention weights as a tidy table: one row for each head, query and key that the head sees."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from interp_emerge.core.attention import AttentionWeights
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.tables.schema import MODEL_COLUMNS, Table

MOST_ROWS = 20_000_000
ATTENTION = Table(
    name="attention",
    row="a head that attends from one position (query) to another (key)",
    about={"model": "name of the model", **MODEL_COLUMNS},
    filled={
        "head": "name of the head",
        "query": "position that attends, from 0",
        "key": "position that is attended to, from 0",
        "query_token": "token at the query, or name of the position that pairs are aligned by",
        "key_token": "token at the key, in the same way",
        "weight": "attention weight, in the unit of the view's mode; NaN if undefined",
        "uniform": "weight if the head attended equally to all tokens that it sees; empty unless the mode is pattern",
        "ci_low": "lower end of the 95% interval over pairs; empty for a single prompt",
        "ci_high": "upper end of the 95% interval over pairs",
        "n_pairs": "number of pairs that are averaged",
    },
)


def rows_of(frames: Sequence[AttentionWeights], heads: Iterable[str] | None) -> pd.DataFrame:
    """The table of some heads, by default all.

    Raises:
        UnknownNameError: no model has the head.
        InputError: the table would have more than 20 million rows.
    """
    known = dict.fromkeys(head for frame in frames for head in frame.heads)
    wanted = [*known] if heads is None else [heads] if isinstance(heads, str) else [*heads]
    for name in wanted:
        if name not in known:
            raise UnknownNameError("head of this view", name, known)
    chosen = [[at for at, head in enumerate(frame.heads) if head in wanted] for frame in frames]
    n = sum(int(_shown(frame).sum()) * len(at) for frame, at in zip(frames, chosen, strict=True))
    if n > MOST_ROWS:
        raise InputError(f"the table of {len(wanted):,} heads has {n:,} rows; name fewer, as in to_frame(heads=[...])")
    parts = [_frame(frame, at) for frame, at in zip(frames, chosen, strict=True) if at]
    return ATTENTION.shaped(pd.concat(parts, ignore_index=True))


def _shown(frame: AttentionWeights) -> np.ndarray:
    """Which cells are rows, shape [query, key]: none after the query, if no head attends there."""
    later = np.triu(np.ones(frame.weights.shape[1:], dtype=bool), 1)
    # NaN counts as something: a cell that is undefined stays in the table.
    return ~later if not (frame.weights[:, later] != 0).any() else np.ones_like(later)


def _frame(frame: AttentionWeights, at: list[int]) -> pd.DataFrame:
    shown = _shown(frame)
    queries, keys = np.nonzero(shown)
    tokens = np.array(frame.tokens, dtype=object)

    def values(numbers: np.ndarray | None) -> np.ndarray | float:
        if numbers is None:
            return np.nan
        return np.broadcast_to(numbers, frame.weights.shape)[at][:, shown].ravel()

    return pd.DataFrame(
        {
            "model": frame.label,
            "size": frame.size,
            "step": frame.step,
            "seed": frame.seed,
            "head": np.repeat([frame.heads[one] for one in at], len(queries)),
            "query": np.tile(queries, len(at)),
            "key": np.tile(keys, len(at)),
            "query_token": np.tile(tokens[queries], len(at)),
            "key_token": np.tile(tokens[keys], len(at)),
            "weight": values(frame.weights),
            "uniform": values(frame.uniform),
            "ci_low": values(frame.low),
            "ci_high": values(frame.high),
            "n_pairs": frame.n_pairs,
        }
    )
