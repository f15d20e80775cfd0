"""A family of one's own, described by a short TOML file.

    name = "mine"
    revisions = "step{step}"          # how revisions are named; for repositories of the hub
    steps = [0, 1000, 2000]           # left out: the hub is asked, or the directories are read
    tokens_per_step = 2097152         # or a table by size
    prepend_bos = true                # what stood first in every training text

    [sizes]                           # in ascending order
    small = "org/model-small"         # a repository of the hub, or a directory that begins with ./ or / or ~
    large = ["org/model-large-seed0", "org/model-large-seed1"]    # one for each seed

    [source]
    authors = "Doe et al."
    year = 2026
    url = "https://example.org/paper"

`summary`, `license`, `gated`, `tokenizer` and `parameters` (a table by size) are as for a family on the shelf. Of
directories only `name`, `summary`, `sizes`, `tokens_per_step`, `prepend_bos` and `source` are given; the rest is read.
"""

import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interp_emerge.core.errors import InputError, ModelError, UnknownNameError
from interp_emerge.core.source import Source
from interp_emerge.families._disk.directory import DirectoryFamily
from interp_emerge.families._disk.folders import Checkpoint, Key, find_checkpoints
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families.base import Family

OF_REPOSITORIES = ("revisions", "steps", "parameters", "license", "gated", "tokenizer")
"""Fields that directories do not need: the checkpoints are read."""


class OwnSource(BaseModel):
    """Who described the models, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    authors: str
    year: int
    url: str


class OwnFamily(BaseModel):
    """What a TOML file says of a family."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field("", pattern=r"^[\w.-]*$")
    summary: str = ""
    sizes: dict[str, str | list[str]] = Field(min_length=1)
    revisions: str | list[str] = "step{step}"
    steps: list[int] | dict[str, list[int]] | None = None
    tokens_per_step: int | dict[str, int] | None = None
    parameters: dict[str, int] = {}
    prepend_bos: bool | int | str | None = None
    license: str = ""
    gated: bool = False
    tokenizer: str = ""
    source: OwnSource | None = None


def read_own_family(path: Path) -> Family:
    """The family that a TOML file describes.

    Raises:
        InputError: the file is not TOML, has an unknown field or a value that is not allowed, or mixes repositories
            with directories.
        ModelError: a directory that it names has no model.
    """
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} is not a TOML file of a family: {error}") from error
    if unknown := [field for field in written if field not in OwnFamily.model_fields]:
        raise UnknownNameError(f"field in {path}", unknown[0], OwnFamily.model_fields)
    try:
        own = OwnFamily(**written)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:2]) or "the file"
        raise InputError(f"{path}: {place} is not valid ({first['msg']})") from error
    source = Source(**own.source.model_dump()) if own.source else Source("own file", 0, str(path.resolve()))
    named = {"name": own.name or path.stem, "summary": own.summary or f"described by {path.name}", "source": source}
    runs = {size: [one] if isinstance(one, str) else list(one) for size, one in own.sizes.items()}
    local = [run for several in runs.values() for run in several if run.startswith((".", "/", "~"))]
    places = [run for several in runs.values() for run in several]
    if twice := [place for place in places if places.count(place) > 1]:
        raise InputError(f"{path}: {twice[0]!r} is given for two sizes or seeds; give each model once")
    if not local:
        rest = own.model_dump(exclude={"name", "summary", "source", "sizes"})
        return DescribedFamily(path, **named, repositories=runs, **rest)
    if len(local) < sum(map(len, runs.values())):
        raise InputError(f"{path}: sizes are partly directories and partly repositories; give one kind")
    if ignored := [field for field in OF_REPOSITORIES if field in own.model_fields_set]:
        raise InputError(f"{path}: {ignored[0]} is for repositories of the hub; leave it out for directories")
    if isinstance(own.tokens_per_step, dict):
        raise InputError(f"{path}: tokens_per_step by size is for repositories; give one number for directories")
    return PlacesFamily(path, runs, **named, tokens_per_step=own.tokens_per_step, prepend_bos=own.prepend_bos)


class DescribedFamily(HubFamily):
    """Repositories of the hub that a file describes."""

    def __init__(self, path: Path, **described: Any) -> None:
        super().__init__(**described)
        self._path = path.resolve()

    @property
    def address(self) -> str:
        return str(self._path)


class PlacesFamily(DirectoryFamily):
    """Checkpoints below several directories, one for each size and seed."""

    def __init__(
        self, path: Path, runs: Mapping[str, list[str]], *, prepend_bos: bool | int | str | None = None, **named: Any
    ) -> None:
        super().__init__(path.parent, **named)
        if prepend_bos is not None:
            self.prepend_bos = prepend_bos
        self._path = path.resolve()
        self._places = {
            (size, seed): (path.parent / Path(place).expanduser()).resolve()
            for size, several in runs.items()
            for seed, place in enumerate(several)
        }
        self.read()

    @property
    def address(self) -> str:
        return str(self._path)

    @cached_property
    def _checkpoints(self) -> dict[Key, Checkpoint]:
        found: dict[Key, Checkpoint] = {}
        for (size, seed), place in self._places.items():
            if not place.is_dir():
                raise ModelError(f"{place}, the directory of {size}, does not exist")
            below = find_checkpoints(place)
            if len({(one, of_seed) for one, of_seed, _ in below}) > 1:
                raise ModelError(f"{place} holds several sizes or seeds; name the directory of each apart")
            found |= {(size, seed, step): checkpoint for (_, _, step), checkpoint in below.items()}
        return found

    def _top(self, checkpoint: Path) -> Path:
        """The directory of the run that a checkpoint belongs to."""
        return next(place for place in self._places.values() if checkpoint.resolve().is_relative_to(place))

    def _location(self, checkpoint: Path) -> str:
        return checkpoint.resolve().relative_to(self._top(checkpoint).parent).as_posix()
