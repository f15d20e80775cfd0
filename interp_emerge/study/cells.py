"""Results of a study on disk, one file for each cell, so that an interrupted study continues where it stopped.

A cell's name is the hash of everything that changes its numbers: the stage, its inputs, the weights, and the versions
of this package, torch and transformers. A cell is complete or absent. A cell that was computed before is read, not
computed again.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from interp_emerge.core.circuit import Circuit
from interp_emerge.core.files import hash_of, write_atomically
from interp_emerge.core.model import HookedModel
from interp_emerge.core.spec import ModelSpec
from interp_emerge.core.tokens.lexicon import FirstTokens
from interp_emerge.families.base import Family
from interp_emerge.study.fetching import Fetching

ONE_THREAD_BELOW = 10_000_000
"""Models with fewer non-embedding parameters use one thread. With two threads, these wait for each other longer than
they work: a study of the bundled family took 423 seconds of processor time with two (busy machine), 145 with one."""
log = logging.getLogger(__name__)


@contextmanager
def same_threads() -> Iterator[None]:
    """Restore the number of torch's threads at the end."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class MissingCell(LookupError):  # noqa: N818 (an expected answer to a reader, not an error)
    """`Cells` that are read-only were asked for a cell that is not on disk."""


@dataclass(frozen=True)
class Cells:
    """A directory of cells; if it is `read_only`, a missing cell raises `MissingCell`."""

    root: Path
    read_only: bool = False

    def path(self, stage: str, inputs: dict[str, Any]) -> Path:
        """The path of the cell for these inputs, whether it exists or not."""
        key = hash_of({"stage": stage, "inputs": inputs, "versions": package_versions()})
        return self.root / stage / f"{key}.parquet"

    def has(self, stage: str, inputs: dict[str, Any]) -> bool:
        """Whether the cell is on disk."""
        return self.path(stage, inputs).is_file()

    def get(self, stage: str, inputs: dict[str, Any], compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The cell's table, read if it is on disk, otherwise computed and written."""
        path = self.path(stage, inputs)
        if path.is_file():
            try:
                return pd.read_parquet(path)
            except (OSError, ValueError) as error:
                log.warning("%s cannot be read (%s); it is computed again", path, error)
        self._require_writing(path)
        write_atomically(path, compute().to_parquet(index=False))
        return pd.read_parquet(path)

    def get_several(
        self, stage: str, inputs: dict[str, Any], names: Sequence[str], compute: Callable[[], Sequence[pd.DataFrame]]
    ) -> list[pd.DataFrame]:
        """Tables that are computed together, each in its own cell; if one is missing, all are computed."""
        keys = [{**inputs, "table": name} for name in names]
        if all(self.has(stage, key) for key in keys):
            return [self.get(stage, key, pd.DataFrame) for key in keys]
        self._require_writing(self.path(stage, keys[0]))
        made = compute()
        return [self.get(stage, key, lambda table=table: table) for key, table in zip(keys, made, strict=True)]

    def get_text(self, stage: str, inputs: dict[str, Any], compute: Callable[[], str]) -> str:
        """A cell that holds text instead of a table."""
        path = self.path(stage, inputs).with_suffix(".json")
        if not path.is_file():
            self._require_writing(path)
            write_atomically(path, compute().encode())
        return path.read_text()

    def get_circuit(self, inputs: dict[str, Any], compute: Callable[[], Circuit]) -> Circuit:
        """The circuit for these inputs, read if it is on disk, otherwise computed and written."""
        path = self.path("circuit", inputs).with_suffix(".json")
        if not path.is_file():
            self._require_writing(path)
            compute().save(path)
        return Circuit.load(path)

    def _require_writing(self, path: Path) -> None:
        if self.read_only:
            raise MissingCell(path)


class Models:
    """Models of a family; only the one that was used last stays in memory."""

    def __init__(
        self,
        family: Family,
        *,
        device: str = "",
        dtype: str = "",
        threads: int = 0,
        prepend_bos: FirstTokens = None,
        fetching: Fetching | None = None,
    ) -> None:
        self.family, self._device, self._dtype = family, device, dtype
        self.fetching = Fetching(family) if fetching is None else fetching
        self.prepend_bos = family.prepend_bos if prepend_bos is None else prepend_bos
        self._threads = threads or torch.get_num_threads()
        self._held: tuple[tuple[str, int, int], HookedModel] | None = None

    def spec(self, size: str, step: int, seed: int) -> ModelSpec:
        """The name and revision of a model, which is not loaded."""
        return self.family.spec(size, step, seed)

    def get(self, size: str, step: int, seed: int) -> HookedModel:
        """The model, loaded unless it is in memory; sets torch's number of threads to suit its size."""
        key = (size, step, seed)
        if self._held is None or self._held[0] != key:
            self._held = None
            self._held = key, self._load(size, step, seed)
            self.fetching.begin()
            small = self._held[1].n_parameters < ONE_THREAD_BELOW
            torch.set_num_threads(1 if small else self._threads)
        return self._held[1]

    def _load(self, size: str, step: int, seed: int) -> HookedModel:
        self.fetching.require(size, step, seed)
        how: dict[str, Any] = {"device": self._device, "dtype": self._dtype, "prepend_bos": self.prepend_bos}
        return self.family.load(size, step, seed, **how)


@cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    found = {}
    for package in ("interp-emerge", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
