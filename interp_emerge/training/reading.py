"""Read a folder of text files as documents, and divide them into training text and held-out text.

1. `read_folder` reads every file whose name ends like that of a text. Files with the same content count once, because
   a copy in the held-out text would make the held-out loss a training loss.
2. `split_documents` holds out whole documents. A document is a file. Where there are fewer than `FEW_FILES` files, it
   is a passage of a file: consecutive paragraphs, or lines, of at least `PASSAGE` characters.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import hash_of

SUFFIXES = (
    *(".txt", ".md", ".rst", ".tex", ".org", ".html", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".toml"),
    *(".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".rs", ".go", ".java", ".js", ".ts", ".rb", ".sh", ".sql"),
)
"""Endings of the names of files that are read."""
FEW_FILES = 20
PASSAGE = 4000
CLAIM = "recipe.json"
"""A folder with this file is a grown family. It is not read, since the family may be grown below its own text."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The texts of a folder.

    `names` are paths from the folder on, in alphabetical order, and `texts` their contents. `n_copies` counts files
    that were left out because an earlier file has the same content.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    n_copies: int

    @property
    def n_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.texts)

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that change when a name or a text does."""
        return hash_of([self.names, self.texts])


def read_folder(folder: str | Path) -> Texts:
    """The texts below a folder, or of one file.

    Raises:
        InputError: there is no such folder, it contains no text, or a file is not text in UTF-8 or cannot be read.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"there is no folder {folder}; name a folder of text files")
    paths = [folder] if folder.is_file() else _paths(folder)
    found: dict[str, str] = {}
    n_copies, known = 0, set()
    for path in paths:
        text = _read(path)
        if text in known:
            n_copies += 1
        elif text.strip():
            known.add(text)
            found[path.name if path == folder else path.relative_to(folder).as_posix()] = text
    if not found:
        raise InputError(
            f"{folder} contains no text; files are read whose names end in {', '.join(SUFFIXES[:4])}, {SUFFIXES[13]} "
            "and the like, and empty ones are left out"
        )
    return Texts(names=tuple(found), texts=tuple(found.values()), n_copies=n_copies)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Training documents and held-out documents. A document is a `unit`: a file, or a passage of a file."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    unit: str
    held_out_names: tuple[str, ...]
    """Files that are held out, or files with the numbers of their passages that are, as `name:number`."""


def split_documents(texts: Texts, *, share: float, seed: int = 0) -> Split:
    """Hold out about `share` of the characters, as whole documents drawn at random.

    Raises:
        InputError: there is only one document.
    """
    unit = "file" if len(texts.names) >= FEW_FILES else "passage"
    documents = dict(zip(texts.names, texts.texts, strict=True))
    if unit == "passage":
        cut = {name: passages(text) for name, text in documents.items()}
        documents = {f"{name}:{number}": part for name, parts in cut.items() for number, part in enumerate(parts)}
    if len(documents) < 2:
        raise InputError(
            f"the text has {texts.n_bytes:,} bytes, which is one passage, so none can be held out; give at least "
            f"{2 * PASSAGE:,} bytes with line breaks"
        )
    names = list(documents)
    held_out: set[str] = set()
    wanted, so_far = share * sum(map(len, documents.values())), 0
    for place in np.random.default_rng(seed).permutation(len(names))[:-1]:
        held_out.add(names[place])
        so_far += len(documents[names[place]])
        if so_far >= wanted:
            break
    return Split(
        training=tuple(text for name, text in documents.items() if name not in held_out),
        held_out=tuple(text for name, text in documents.items() if name in held_out),
        unit=unit,
        held_out_names=tuple(name for name in names if name in held_out),
    )


def passages(text: str) -> list[str]:
    """A text cut between paragraphs, or where these are long between lines, into parts of at least `PASSAGE`."""
    parts, current = [], ""
    for paragraph in _pieces(text):
        current += paragraph
        if len(current) >= PASSAGE:
            parts.append(current)
            current = ""
    if current.strip():
        parts = [*parts[:-1], parts[-1] + current] if parts else [current]
    return parts


def _pieces(text: str) -> list[str]:
    pieces = [paragraph + "\n\n" for paragraph in text.split("\n\n")]
    pieces[-1] = pieces[-1][:-2]
    return [line for piece in pieces for line in (piece.splitlines(keepends=True) if len(piece) > PASSAGE else [piece])]


def _paths(folder: Path) -> list[Path]:
    """Text files below a folder in alphabetical order; hidden ones and grown families are left out."""
    if not folder.is_dir():
        raise InputError(f"{folder} is neither a folder nor a file; name a folder of text files")
    found = []
    for place, folders, files in os.walk(folder):
        if CLAIM in files and Path(place) != folder:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 (byte {error.start}); save it in UTF-8, or move it out of the folder"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
