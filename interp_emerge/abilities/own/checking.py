"""How many rows of a file of prompt pairs a tokenizer can express, and why not the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from interp_emerge.abilities.base import WITHOUT_TOKENIZER
from interp_emerge.abilities.own.file import FileRow
from interp_emerge.abilities.own.file_ability import PARTS, FileAbility, pair_of
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckedRows(Record):
    """What a tokenizer makes of a file of prompt pairs."""

    shares: pd.DataFrame
    """One row. Columns `tokenizer`, `rows`, `expressible`, `share` (of the rows), `discovery` and `evaluation` (rows
    that can be drawn for each), `several_tokens` (rows with an answer or foil of several tokens), `appended` (rows
    whose answers and foils share first tokens, which are appended to the prompts), `shortest` and `longest` (tokens of
    a prompt), `constant_guess` (accuracy of always giving the most frequent answer; a guess that uses the prompt can be
    better, so this is no chance level)."""
    failures: pd.DataFrame
    """One row for each row that the tokenizer cannot express: `tokenizer`, `line` (in the file), `why`."""
    missing: tuple[str, ...] = ()
    """Words of these rows that the tokenizer has no token for, in the order of the file."""


@checked
def check_rows(ability: FileAbility, model: HookedModel, *, name: str = "") -> CheckedRows:
    """Which rows of a file the model's tokenizer can express.

    Example:
        >>> row = {"clean": " Mary met John", "corrupt": " Mary met Anna", "answer": " and", "foil": " ."}
        >>> pd.DataFrame([row]).to_csv("mine.csv", index=False)
        >>> ie.abilities.check_rows(ie.load_ability("mine.csv"), model)

    Args:
        ability: an ability from a file, as `ie.load_ability("mine.jsonl")` returns it.
        model: the model whose tokenizer is asked, with what stands first in its prompts.
        name: what the tables call the tokenizer; by default the model.

    Raises:
        InputError: the model has no tokenizer.
    """
    if model.tokenizer is None:
        raise InputError(f"{model.spec} has no tokenizer; {WITHOUT_TOKENIZER}")
    named, rows = name or str(model.spec), ability.content.rows
    left_out = ability.failures(model)
    usable = [row for index, row in enumerate(rows) if index not in left_out]
    pairs = PromptPairs.from_rows(map(pair_of, usable), model=model) if usable else None
    shares = {
        "tokenizer": named,
        "rows": len(rows),
        "expressible": len(usable),
        "share": len(usable) / len(rows),
        **{part: ability.n_rows(start, model) for part, start in zip(PARTS, (DISCOVERY, EVALUATION), strict=True)},
        "several_tokens": 0 if pairs is None else _several(pairs),
        "appended": 0 if pairs is None else int((pairs.appended > 0).sum()),
        "shortest": None if pairs is None else int(pairs.lengths.min()),
        "longest": None if pairs is None else int(pairs.lengths.max()),
        "constant_guess": None if pairs is None else _constant_guess(usable),
    }
    failures = [(named, ability.content.lines[row], why) for row, why in left_out.items()]
    columns = pd.Index(["tokenizer", "line", "why"])
    texts = [text for row in left_out for text in _texts(rows[row])]
    missing = tuple(dict.fromkeys(word for text in texts for word in model.lexicon.missing(text)))
    return CheckedRows(shares=pd.DataFrame([shares]), failures=pd.DataFrame(failures, columns=columns), missing=missing)


def _texts(row: FileRow) -> list[str]:
    """Every text of a row that is given to the tokenizer."""
    following = [[of] if isinstance(of, str) else [*of] for of in (row.answer, row.foil)]
    return [row.clean, row.corrupt, *(text for of in following for text in of)]


def _several(pairs: PromptPairs) -> int:
    if pairs.completions is None:
        return 0
    lengths = [(ids >= 0).sum(-1).amax(1) for ids in (pairs.completions.answers, pairs.completions.foils)]
    return int((((lengths[0] > 1) | (lengths[1] > 1)) | (pairs.appended > 0)).sum())


def _constant_guess(rows: Sequence[FileRow]) -> float:
    """The share of rows among whose answers the most frequent answer is."""
    given = Counter(text for row in rows for text in {*([row.answer] if isinstance(row.answer, str) else row.answer)})
    return max(given.values()) / len(rows)
