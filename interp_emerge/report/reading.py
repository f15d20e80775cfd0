"""Reads what a study wrote to disk, and checks it before it is put on the page."""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from interp_emerge.abilities.tables import ABILITY
from interp_emerge.core.errors import InputError
from interp_emerge.tables.io import read_described
from interp_emerge.tables.schema import Table

ROUNDING = 1e-3
"""The largest distance of a rounded attention value from the range [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a study's numbers were made, with its question and answer."""

    question: str
    answer: tuple[str, ...]
    command: str
    versions: dict[str, str]
    models: tuple[dict[str, Any], ...]
    settings: dict[str, Any]
    started: str | None = None
    finished: str | None = None


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Attention patterns of some heads on one prompt; `patterns` is [head][query][key], as fractions of attention."""

    name: str
    title: str
    tokens: list[str]
    heads: list[str]
    patterns: list[list[list[float]]]
    run: tuple[str, int] | None = None
    """Size and seed of the training run, if the file names them."""
    step: int | None = None
    """Training step of `patterns`."""
    earlier: dict[int, list[list[list[float]]]] = field(default_factory=dict)
    """The patterns of the same heads on the same prompt at earlier steps."""


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """One file of a study: its path relative to the study, its size in bytes, a hash of its content."""

    path: str
    n_bytes: int
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyRecord:
    """Everything that a report is made from, as read from disk."""

    provenance: Provenance
    described: dict[str, Table]
    """The tables that the study wrote, by name, as their files describe them."""
    rows: dict[str, pd.DataFrame]
    """The rows of these tables, by name."""
    attention: list[Attention]
    files: list[StudyFile]

    def has(self, table: Table) -> bool:
        """Whether the study has written the table."""
        return table.name in self.rows

    def table(self, table: Table) -> pd.DataFrame:
        """The table's rows; an empty table if the study has not written it.

        Raises:
            InputError: the study wrote the table without one of its columns.
        """
        if not self.has(table):
            return table.empty
        try:
            return table.check(self.rows[table.name])
        except InputError as error:
            raise InputError(f"{error}; run the study again") from error


def read_study(directory: Path) -> StudyRecord:
    """A study's tables, provenance, attention patterns and list of files; sizes from small to large throughout.

    Raises:
        InputError: there is no `provenance.json`, or a file is not as a study writes it.
    """
    provenance = read_provenance(directory / "provenance.json")
    folder = directory / "tables"
    read = [read_described(path) for path in sorted(folder.glob("*.parquet"))]
    rows = {table.name: frame for table, frame in read}
    order = _sizes(rows.get(ABILITY.name, ABILITY.empty))
    kept = [*sorted(folder.glob("*.*")), *sorted((directory / "circuits").glob("*.json"))]
    return StudyRecord(
        provenance=provenance,
        described={table.name: table for table, _ in read},
        rows={name: _by_size(frame, order) for name, frame in rows.items()},
        attention=[read_attention(path) for path in sorted((directory / "attention").glob("*.json"))],
        files=[_described(path, directory) for path in kept if not path.name.startswith(".")],
    )


def _is_list_of(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def read_provenance(path: Path) -> Provenance:
    """The provenance of a study.

    Raises:
        InputError: the file is missing, lacks a field, or has one of another kind.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} holds no study: {path.name} is missing; run the study first")
    record = _json(path)
    required = ("question", "answer", "command", "versions", "models", "settings")
    absent = [field for field in required if field not in record]
    if absent:
        raise InputError(f"{path} lacks {absent[0]!r}; run the study again")
    fits = {
        "answer": _is_list_of(record["answer"], str),
        "models": record["models"] and _is_list_of(record["models"], dict),
        "versions": isinstance(record["versions"], dict),
        "settings": isinstance(record["settings"], dict),
        **{name: isinstance(record.get(name), str | None) for name in ("started", "finished")},
    }
    if wrong := [name for name, right in fits.items() if not right]:
        raise InputError(f"{path} has an unusable {wrong[0]!r}; run the study again")
    for name in ("family", "size", "step", "seed", "revision"):
        if any(name not in model for model in record["models"]):
            raise InputError(f"{path} names a model without {name!r}; run the study again")
    return Provenance(
        question=str(record["question"]),
        answer=tuple(str(sentence) for sentence in record["answer"]),
        command=str(record["command"]),
        versions={str(name): str(version) for name, version in record["versions"].items()},
        models=tuple(record["models"]),
        settings=dict(record["settings"]),
        started=record.get("started"),
        finished=record.get("finished"),
    )


def read_attention(path: Path) -> Attention:
    """Attention patterns: for each head a square with one row and one column for each token.

    The counts are checked, because wrong counts would silently give a wrong picture.

    Raises:
        InputError: a field is missing, the counts do not agree, or a value is not a fraction.
    """
    record = _json(path)
    absent = [field for field in ("title", "tokens", "heads", "patterns") if field not in record]
    if absent:
        raise InputError(f"{path} lacks {absent[0]!r}; run the study again")
    tokens, heads = record["tokens"], record["heads"]
    earlier = {int(one["step"]): one["patterns"] for one in record.get("earlier", [])}
    for patterns in (record["patterns"], *earlier.values()):
        _require_squares(path, tokens, heads, patterns)
    named = "size" in record and "seed" in record
    return Attention(
        name=path.stem,
        title=str(record["title"]),
        tokens=tokens,
        heads=heads,
        patterns=record["patterns"],
        run=(str(record["size"]), int(record["seed"])) if named else None,
        step=record.get("step"),
        earlier=earlier,
    )


def _require_squares(path: Path, tokens: list[str], heads: list[str], patterns: list[Any]) -> None:
    """Raise unless there is a pattern for each head, and each is a square of fractions with the tokens as its sides."""
    if len(heads) != len(patterns) or not heads:
        raise InputError(
            f"{path} names {len(heads)} heads and holds {len(patterns)} patterns; there must be one for each head"
        )
    for head, pattern in zip(heads, patterns, strict=True):
        if len(pattern) != len(tokens) or any(len(row) != len(tokens) for row in pattern):
            raise InputError(
                f"{path}: the pattern of {head} is not {len(tokens)} × {len(tokens)}, one row and column for each token"
            )
        for value in (value for row in pattern for value in row):
            if not isinstance(value, int | float) or not -ROUNDING <= value <= 1 + ROUNDING:
                raise InputError(f"{path}: {head} holds {value!r}, which is not a fraction of attention in [0, 1]")


def _json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); run the study again") from error
    if not isinstance(record, dict):
        raise InputError(
            f"{path} holds a {type(record).__name__}, not an object with named fields; run the study again"
        )
    return record


def _sizes(ability: pd.DataFrame) -> list[str]:
    """The family's sizes from small to large."""
    return ability.groupby("size")["n_parameters"].min().sort_values(kind="stable").index.tolist()


def _by_size(table: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """The rows from the smallest size to the largest; sizes with an unknown number of parameters come last."""
    if "size" not in table.columns:
        return table
    place = table["size"].map({size: place for place, size in enumerate(order)}).astype(float).fillna(math.inf)
    return table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)


def _described(path: Path, directory: Path) -> StudyFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return StudyFile(path=path.relative_to(directory).as_posix(), n_bytes=len(content), digest=digest)
