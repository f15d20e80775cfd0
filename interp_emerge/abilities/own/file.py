"""Prompt pairs in a file: JSON lines or CSV, read row by row, with the number of the line in every error.

A row has `clean`, `corrupt`, `answer` and `foil`, and possibly `template`, `split`, `position.NAME`, `variable.NAME`.
The first line of a JSON-lines file may describe the ability instead: an object with `name`, `chance` and so on.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from interp_emerge.abilities.own.csv_rows import rows_of_csv
from interp_emerge.core.errors import InputError, counted
from interp_emerge.core.files import hash_bytes
from interp_emerge.core.memory import format_bytes

ENDINGS = (".jsonl", ".csv")
MOST_BYTES = 256 << 20
"""Largest file that is read: rows are held in memory."""
REQUIRED = ("clean", "corrupt", "answer", "foil")
PREFIXES = {"position.": "positions", "variable.": "variables"}
MOST_WHOLE = 2**53
"""Whole numbers up to this one are the same in every reader of JSON."""
Text = str
Texts = Text | list[Text]


class FileHeader(BaseModel):
    """The first line of a JSON-lines file, if it describes the ability."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field("", pattern=r"^\w[\w .\-]{0,63}$", description="name of the ability, by default the file's name")
    summary: str = Field("", description="one line that says what the ability is")
    source: str = Field("", description="where the prompts come from")
    chance: FiniteFloat | None = Field(
        None, ge=0, lt=1, description="accuracy of the best guess without the ability; undefined if not given"
    )
    ceiling: FiniteFloat = Field(1.0, gt=0, le=1, description="accuracy of a perfect model")
    control: bool = Field(False, description="whether every size learns it smoothly")

    @model_validator(mode="after")
    def _chance_is_below_the_ceiling(self) -> "FileHeader":
        if self.chance is not None and self.chance >= self.ceiling:
            raise ValueError(f"chance {self.chance:g} is not below the ceiling {self.ceiling:g}")
        return self


class FileRow(BaseModel):
    """One row of a file of prompt pairs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    clean: str = Field(min_length=1, description="prompt after which `answer` is correct")
    corrupt: str = Field(min_length=1, description="prompt after which `foil` is correct, with as many tokens")
    answer: Texts = Field(description="the text that is correct after the clean prompt, or a list of them")
    foil: Texts = Field(description="the same for the corrupted prompt")
    template: str = Field("", description="name of the wording")
    split: Literal["", "discovery", "evaluation"] = Field(
        "", description="which half the row belongs to; empty in all rows: they are divided at random"
    )
    positions: dict[str, int | str | list[str | int] | dict[str, str | list[str | int]]] = Field(
        {}, description="position.NAME: an index, a text, or [text, occurrence]"
    )
    variables: dict[str, int | FiniteFloat | str | bool] = Field({}, description="variable.NAME: a number or a label")

    @model_validator(mode="after")
    def _numbers_fit(self) -> "FileRow":
        for name, value in self.variables.items():
            if isinstance(value, int) and abs(value) > MOST_WHOLE:
                raise ValueError(f"variable.{name} is beyond 2^53")
            if isinstance(value, float) and not _is_kept(value):
                raise ValueError(f"variable.{name} is {value!r}, a number with a point or exponent that single "
                                 "precision does not hold; give a whole number up to 2^53, a number nearer to "
                                 "1, or a label")  # fmt: skip
        for name, texts in (("answer", self.answer), ("foil", self.foil)):
            if not texts or any(not text for text in texts):
                raise ValueError(f"{name} is empty; give at least one text, none of them empty")
        return self


def _is_kept(value: float) -> bool:
    """Whether single precision, in which real numbers are kept, holds a number: whole ones exactly, others nearly."""
    if abs(value) >= MOST_WHOLE:
        return False
    (kept,) = struct.unpack("f", struct.pack("f", value))
    return kept == value if value.is_integer() else kept != 0


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """The rows of a file with their line numbers, what its header says, and the hash of its bytes."""

    header: FileHeader
    rows: Sequence[FileRow]
    lines: Sequence[int]
    digest: str


def read_file(path: Path) -> FileContent:
    """The content of a file of prompt pairs.

    Raises:
        InputError: the file is missing, too large, not UTF-8, or has no rows; or a row is not as `FileRow` says. The
            message names the first bad line and says how many more there are.
    """
    content = _bytes_of(path)
    digest, text = hash_bytes(content), _text_of(path, content)
    header, rows, lines, bad = FileHeader.model_validate({}), [], [], []
    described = 0
    for line, given in (rows_of_csv if path.suffix.lower() == ".csv" else _rows_of_json)(text, bad.append):
        try:
            if path.suffix.lower() == ".jsonl" and _is_header(given) and (described or not (rows or bad)):
                if described:
                    raise ValueError(f"has no prompts, and line {described} describes the ability already; give one "
                                     "such line, and a pair in every other")  # fmt: skip
                described = line
                header = FileHeader(**given)
                continue
            rows.append(FileRow(**_nested(given)))
            lines.append(line)
        except (ValidationError, ValueError) as error:
            bad.append(f"line {line}: {_in_one_line(error, given)}")
    if not bad:
        bad = _disagreements(rows, lines)
    if bad:
        more = f" ({counted(len(bad) - 1, 'other line')} {'is' if len(bad) == 2 else 'are'} bad too)" if bad[1:] else ""
        raise InputError(f"{path}, {bad[0]}{more}")
    if not rows:
        raise InputError(f"{path} has no rows; give at least one pair: {', '.join(REQUIRED)}")
    return FileContent(header=header, rows=rows, lines=lines, digest=digest)


def _bytes_of(path: Path) -> bytes:
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; give a file of prompt pairs that ends in "
                         f"{' or '.join(ENDINGS)}")  # fmt: skip
    if not path.is_file():
        raise InputError(f"{path} is {'not a file' if path.exists() else 'not there'}; give a file of prompt pairs")
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise InputError(f"{path} has {format_bytes(size)}, more than {format_bytes(MOST_BYTES)}; give fewer rows")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def _text_of(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as "
                         "UTF-8") from error  # fmt: skip


def _rows_of_json(text: str, bad: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of JSON lines; lines without text are skipped."""
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        try:
            given = json.loads(written, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
        except RecursionError:
            bad(f"line {line}: its lists are nested too deeply; give texts and lists of texts")
        except ValueError as error:
            bad(f"line {line}: not JSON ({error}); give one object on each line")
        else:
            if isinstance(given, dict):
                yield line, given
            else:
                bad(f'line {line}: holds {json.dumps(given)[:40]}, not an object; give {{"clean": ..., ...}}')


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"key {key!r} stands twice")
        seen[key] = value
    return seen


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _is_header(given: Mapping[str, Any]) -> bool:
    return not any(key in given for key in REQUIRED)


def _nested(given: Mapping[str, Any]) -> dict[str, Any]:
    """A row with `position.NAME` and `variable.NAME` as two dicts."""
    row: dict[str, Any] = {"positions": {}, "variables": {}}
    for key, value in given.items():
        _require_writable_text(key, value)
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
        if prefix is None:
            if key in PREFIXES.values():
                raise ValueError(f"the key {key!r} is unknown; write position.NAME and variable.NAME")
            row[key] = value
            continue
        name = key.removeprefix(prefix)
        if not name.strip():
            raise ValueError(f"{key!r} has no name behind the dot")
        row[PREFIXES[prefix]][name] = value
    return row


def _require_writable_text(key: str, value: Any) -> None:
    """Raise unless every text in a value can be encoded: half of a surrogate pair cannot."""
    texts = [key, value] if isinstance(value, str) else [key, *(one for one in _items(value) if isinstance(one, str))]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{key!a} holds half of a character (a lone surrogate)") from None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [*value.values()] if isinstance(value, dict) else []


def _in_one_line(error: Exception, given: Mapping[str, Any]) -> str:
    """What is wrong with a row: the field, and what to give."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    prefixes = {of: prefix for prefix, of in PREFIXES.items()}
    name = prefixes[place[0]] + place[1] if place[:1] and place[0] in prefixes and place[1:] else ".".join(place[:1])
    if first["type"] == "missing":
        foil = " (no metric but those of the difference reads it: any wrong answer will do)" if name == "foil" else ""
        return f"lacks {name!r}; give {', '.join(REQUIRED)}{foil}"
    if first["type"] == "extra_forbidden":
        known = [*REQUIRED, "template", "split", "position.NAME", "variable.NAME"]
        known = [*FileHeader.model_fields] if _is_header(given) else known
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        return (
            f"has the unknown key {name!r}{f'; did you mean {near[0]!r}?' if near else ''} (known: {', '.join(known)})"
        )
    if first["type"] == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"]))
    if name == "name":
        return (
            f"name {str(given.get(name))[:40]!r} cannot name an ability; use letters, digits, spaces, '_', '-' and '.'"
        )
    if name in ("answer", "foil"):
        return f"{name} is {json.dumps(given.get(name))[:40]}; give a text or a list of texts"
    if name.startswith("position."):
        return f'{name} is {json.dumps(given.get(name))[:40]}; give an index, a text, or ["text", occurrence]'
    if name.startswith("variable."):
        return f"{name} is {json.dumps(given.get(name))[:40]}; give a number or a label"
    message = first["msg"]
    return f"{name} is {json.dumps(given.get(name))[:40]}; {message[:1].lower()}{message[1:]}"


def _disagreements(rows: Sequence[FileRow], lines: Sequence[int]) -> list[str]:
    """What differs between the first row and others that has to be alike in all."""
    bad = []
    for row, line in zip(rows[1:], lines[1:], strict=True):
        first = rows[0]
        for kind, prefix in (("positions", "position."), ("variables", "variable.")):
            here, there = {*getattr(row, kind)}, {*getattr(first, kind)}
            if odd := sorted(here ^ there):
                verb = "lacks" if odd[0] in there else "has"
                also = "which line {} has" if verb == "lacks" else "which line {} lacks"
                bad.append(f"line {line}: {verb} {prefix}{odd[0]}, {also.format(lines[0])}; give every row the same")
        for name, value in row.variables.items():
            if name in first.variables and isinstance(value, str) != isinstance(first.variables[name], str):
                bad.append(f"line {line}: variable.{name} is {value!r} and in line {lines[0]} "
                           f"{first.variables[name]!r}; give only numbers or only labels")  # fmt: skip
        if bool(row.split) != bool(first.split):
            bad.append(f"line {line}: split is {row.split!r} and in line {lines[0]} {first.split!r}; give every row "
                       "discovery or evaluation, or none")  # fmt: skip
    return bad
