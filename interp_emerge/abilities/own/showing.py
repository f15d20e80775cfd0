"""Prompt pairs as a table and as HTML."""

from collections.abc import Iterable
from copy import copy
from html import escape
from typing import TYPE_CHECKING

import pandas as pd
import torch

from interp_emerge.abilities.own.encoding import Encoding
from interp_emerge.core.model import HookedModel

if TYPE_CHECKING:
    from interp_emerge.abilities.pairs import PromptPairs

SHOWN = 10
"""Number of pairs in the HTML of a notebook."""
BETWEEN = " | "


def frame_of(pairs: "PromptPairs") -> pd.DataFrame:
    """The table of `PromptPairs.to_frame`."""
    rows = []
    whole = pairs.completions
    sequences = {
        "answer": (pairs.answers[:, :, None] if whole is None else whole.answers).tolist(),
        "foil": (pairs.foils[:, :, None] if whole is None else whole.foils).tolist(),
    }
    appended, clean, corrupt = pairs.appended.tolist(), pairs.prompts("clean"), pairs.prompts("corrupt")
    for row, n in enumerate(pairs.lengths.tolist()):
        shared = clean[row][n - appended[row] : n]
        rows.append(
            {
                "pair": row,
                "template": pairs.templates[row] if pairs.templates else "",
                "n_tokens": n,
                "appended": appended[row],
                "clean": _read(pairs.encoding, clean[row][:n]),
                "corrupt": _read(pairs.encoding, corrupt[row][:n]),
                **{
                    name: BETWEEN.join(
                        _read(pairs.encoding, [*shared, *one]) for one in of[row] if any(token >= 0 for token in one)
                    )
                    for name, of in sequences.items()
                },
                **{f"position {name}": int(places[row]) for name, places in pairs.positions.items()},
                **{
                    f"variable {name}": pairs.labels[name][int(values[row])]
                    if name in pairs.labels
                    else values[row].item()
                    for name, values in pairs.variables.items()
                },
            }
        )
    return pd.DataFrame(rows)


def with_names(pairs: "PromptPairs", model: HookedModel) -> "PromptPairs":
    """The same pairs, shown with the model's names of their tokens. Which models may use them stays as it is."""
    if model.tokenizer is None or pairs.encoding is not None:
        return pairs
    arrays = [torch.tensor(pairs.prompts("clean")), torch.tensor(pairs.prompts("corrupt")), pairs.answers, pairs.foils]
    if pairs.completions is not None:
        arrays += [pairs.completions.answers, pairs.completions.foils]
    ids = {int(token) for of in arrays for token in of.unique() if token >= 0}
    named = copy(pairs)
    object.__setattr__(named, "encoding", Encoding.names_only(model, ids))
    return named


def html_of(pairs: "PromptPairs") -> str:
    """The first pairs as an HTML table. Every text is escaped."""
    shown = frame_of(pairs[: min(SHOWN, len(pairs))])
    left = len(pairs) - len(shown)
    more = f"<p>{left:,} more</p>" if left else ""
    return f"<p>{escape(repr(pairs))}</p>{shown.to_html(index=False, escape=True, border=0)}{more}"


def _read(encoding: Encoding | None, ids: Iterable[int]) -> str:
    ids = [token for token in ids if token >= 0]
    return " ".join(map(str, ids)) if encoding is None else encoding.text(ids)
