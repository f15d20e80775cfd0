"""A limit on the disk that a run's downloads may take, and what is removed to keep it.

A file beside the hub's cache records each download of a run before it begins, so that a run that was killed still knows
which checkpoints are its own. When room is needed, the weights of the run's own checkpoints are removed, least recently
used first. Checkpoints that were in the cache before are not touched unless that was asked for. Configurations,
tokenizers and the names of revisions stay, since they are small and say what the checkpoint was.
"""

import json
import logging
import re
import time
from pathlib import Path
from threading import RLock
from typing import Any

from huggingface_hub import constants

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import hash_of, write_atomically
from interp_emerge.core.memory import format_bytes
from interp_emerge.families._disk.downloads import Download
from interp_emerge.families._disk.loading import WEIGHTS

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
log = logging.getLogger(__name__)


def read_size(text: str) -> int:
    """Bytes, from text such as `20GB` or `1.5 GiB`.

    Example:
        >>> ie.families.read_size("1.5 GB")
        1500000000

    Raises:
        InputError: the text is not a positive size.
    """
    match = SIZE.fullmatch(text)
    size = round(float(match[1]) * UNITS[(match[2] or "").lower()]) if match else 0
    if size <= 0:
        raise InputError(f"disk budget {text!r} is not a size; give one such as 20GB or 500MiB")
    return size


class DiskBudget:
    """The downloads of a run, and at most `limit` bytes of them on disk at any time; without a limit all are kept."""

    def __init__(self, record: Path, limit: int | None = None, *, evict_cached: bool = False) -> None:
        self.limit, self.evict_cached = limit, evict_cached
        self._record, self._lock, self._in_use = record, RLock(), ""
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            read = json.loads(record.read_text())
            self._entries = {str(key): dict(entry) for key, entry in read["downloads"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            log.debug("%s records no earlier downloads", record)

    @classmethod
    def of_run(cls, directory: Path, limit: int | None = None, *, evict_cached: bool = False) -> "DiskBudget":
        """The budget of a run whose results are in this directory; recorded beside the hub's cache."""
        beside = Path(constants.HF_HUB_CACHE).parent / "interp_emerge" / "downloads"
        return cls(beside / f"{hash_of(str(directory.resolve()))}.json", limit, evict_cached=evict_cached)

    @property
    def held(self) -> int:
        """Bytes on disk of the checkpoints that count towards the limit."""
        return sum(self._bytes(entry) for entry in self._counted().values())

    @property
    def checkpoints(self) -> list[str]:
        """`REPOSITORY@COMMIT` of the counted checkpoints that are on disk."""
        return [key for key, entry in self._counted().items() if self._bytes(entry)]

    def use(self, repository: str, snapshot: Path) -> None:
        """Note that a checkpoint in the cache is used now; it is not removed before another one is used."""
        with self._lock:
            key = f"{repository}@{snapshot.name}"
            files = [path for path in snapshot.glob(WEIGHTS) if path.is_file()]
            found = {"own": False, "files": [str(path) for path in files], "bytes": 0, "began": 0.0}
            self._in_use = key
            self._write(key, {**found, **self._entries.get(key, {}), "used": time.time()})

    def admit(self, download: Download, *, ahead: bool = False) -> bool:
        """Make room for a download and record it; False if `ahead` and there is no room beside the one in use.

        Raises:
            InputError: there is no room, and the download cannot wait.
        """
        with self._lock:
            key = f"{download.repository}@{download.commit}"
            if not ahead:
                self._in_use = key
            if not self._make_room(download.bytes, key):
                if ahead:
                    return False
                raise InputError(
                    f"{download.repository} at {download.revision!r} needs {format_bytes(download.bytes)} of disk, but "
                    f"the disk budget is {format_bytes(self.limit or 0)}; raise it, or leave this size out"
                )
            files = [str(path) for path in download.bytes_by_file if path.match(WEIGHTS)]
            earlier = self._entries.get(key, {"own": True, "files": []})
            listed = [*dict.fromkeys([*(earlier["files"] if earlier["own"] else []), *files])]
            now = time.time()
            entry = {"own": True, "files": listed, "bytes": download.bytes, "began": now, "used": now}
            self._write(key, entry)
            return True

    def _counted(self) -> dict[str, dict[str, Any]]:
        return {key: entry for key, entry in self._entries.items() if entry["own"] or self.evict_cached}

    def _make_room(self, needed: int, for_key: str) -> bool:
        if self.limit is None:
            return True
        candidates = sorted(
            (entry["used"], key)
            for key, entry in self._counted().items()
            if key not in (self._in_use, for_key) and self._bytes(entry)
        )
        free = self.limit - self.held
        possible = free + sum(self._bytes(self._entries[key]) for _, key in candidates)
        if needed > possible:
            return False
        for _, key in candidates:
            if needed <= self.limit - self.held:
                break
            self._remove(key)
        return True

    def _bytes(self, entry: dict[str, Any]) -> int:
        done = sum(Path(name).stat().st_size for name in entry["files"] if Path(name).is_file())
        return done + sum(path.stat().st_size for path in self._unfinished(entry))

    def _unfinished(self, entry: dict[str, Any]) -> list[Path]:
        """Parts of this download that a killed run left behind; none once its files are complete."""
        files = [Path(name) for name in entry["files"]]
        if not entry["own"] or all(path.is_file() for path in files):
            return []
        blobs = _snapshots_beside(files[0]).parent / "blobs"
        return [path for path in blobs.glob("*.incomplete") if path.stat().st_mtime >= entry["began"] - 1]

    def _remove(self, key: str) -> None:
        """Remove a checkpoint's weights; what other snapshots of the repository share stays."""
        entry = self._entries[key]
        log.info("removing the weights of %s to keep the disk budget", key)
        for path in [*map(Path, entry["files"]), *self._unfinished(entry)]:
            if not (path.is_file() or path.is_symlink()):
                continue
            content = path.resolve()
            path.unlink()
            if content != path and content.is_file():
                others = (other for other in _snapshots_beside(path).rglob("*") if other.is_symlink())
                if all(other.resolve() != content for other in others):
                    content.unlink()
        del self._entries[key]
        self._save()

    def _write(self, key: str, entry: dict[str, Any]) -> None:
        if self._entries.get(key) != entry:
            self._entries[key] = entry
            self._save()

    def _save(self) -> None:
        write_atomically(self._record, json.dumps({"downloads": self._entries}, indent=1).encode())


def _snapshots_beside(file: Path) -> Path:
    """The directory of all snapshots of a file's repository; the file may lie in a subfolder of its snapshot."""
    return next((parent for parent in file.parents if parent.name == "snapshots"), file.parents[1])
