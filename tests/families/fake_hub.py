"""A hub of directories: what the package asks of huggingface_hub is answered from them, and every download is noted."""

import hashlib
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from interp_emerge.families._disk import downloads, network, revisions


class FakeHub:
    """Repositories by name and revision; each revision is a directory of files."""

    def __init__(self) -> None:
        self.content: dict[tuple[str, str], Path] = {}
        self.gated: set[str] = set()
        self.downloaded: list[tuple[str, str]] = []
        self.listed: list[str] = []
        self.most_held = 0
        """The largest number of checkpoints with weights that were in the cache at one time."""
        self.stops_after: int | None = None
        """Number of downloads after which the process is killed, as far as it can tell."""

    def add(self, repository: str, revision: str, directory: Path) -> None:
        self.content[repository, revision] = directory

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "FakeHub":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(downloads, "snapshot_download", self.snapshot_download)
        monkeypatch.setattr(revisions, "HfApi", lambda: SimpleNamespace(list_repo_refs=self.list_repo_refs))
        for module in (network, downloads):
            monkeypatch.setattr(module, "why_unreachable", lambda: "")
        monkeypatch.setattr(revisions, "why_offline", lambda: "")
        return self

    def list_repo_refs(self, repository: str) -> SimpleNamespace:
        self.listed.append(repository)
        names = [revision for name, revision in self.content if name == repository]
        return SimpleNamespace(branches=[SimpleNamespace(name=name) for name in names], tags=[])

    def snapshot_download(
        self, repository: str, *, revision: str, allow_patterns: Sequence[str], cache_dir: str, dry_run: bool = False
    ) -> object:
        key = self._find(repository, revision)
        commit = commit_of(*key)
        folder = Path(cache_dir) / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / commit
        source = self.content[key]
        files = [path for path in sorted(source.iterdir()) if any(fnmatch(path.name, one) for one in allow_patterns)]
        if dry_run:
            return [
                SimpleNamespace(
                    filename=path.name,
                    file_size=path.stat().st_size,
                    commit_hash=commit,
                    will_download=not (snapshot / path.name).is_file(),
                )
                for path in files
            ]
        if any("safetensors" in one for one in allow_patterns):
            if self.stops_after is not None and len(self.downloaded) >= self.stops_after:
                raise KeyboardInterrupt
            self.downloaded.append(key)
        for path in files:
            put(path, folder, snapshot)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / key[1]).write_text(commit)
        self.most_held = max(self.most_held, len(held(Path(cache_dir))))
        return str(snapshot)

    def _find(self, repository: str, revision: str) -> tuple[str, str]:
        if repository in self.gated:
            raise GatedRepoError("gated", response=answer(403))
        if not any(name == repository for name, _ in self.content):
            raise RepositoryNotFoundError("none", response=answer(401))
        for key in self.content:
            if key[0] == repository and revision in (key[1], commit_of(*key)):
                return key
        raise RevisionNotFoundError("none", response=answer(404))


def put(path: Path, folder: Path, snapshot: Path) -> None:
    """A file in the cache as a download leaves it: the content among the blobs, and a link to it."""
    blob = folder / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
    blob.parent.mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True, exist_ok=True)
    if not blob.exists():
        shutil.copy(path, blob)
    if not (snapshot / path.name).exists():
        (snapshot / path.name).symlink_to(blob)


def held(cache: Path) -> list[Path]:
    """Checkpoints in a cache that have weights."""
    return [path.parent for path in cache.glob("*/snapshots/*/model.safetensors") if path.is_file()]


def commit_of(repository: str, revision: str) -> str:
    return hashlib.sha1(f"{repository}@{revision}".encode(), usedforsecurity=False).hexdigest()


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co"))
