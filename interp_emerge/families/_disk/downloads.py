"""Checkpoints of the hub: which of their files are in the local cache, and downloading those that are not.

Only configuration, tokenizer and safetensors are downloaded. The size is known, and logged, before a download begins.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from interp_emerge.core.errors import ModelError
from interp_emerge.core.memory import format_bytes
from interp_emerge.families._disk.loading import TOKENIZER_FILES, WEIGHTS, has_tokenizer
from interp_emerge.families._disk.network import REMEDY_OF_ONE, why_unreachable

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
CHECKPOINT_FILES = [CONFIG, WEIGHTS, INDEX, *TOKENIZER_FILES]
PICKLES = ["*.bin", "*.pt", "*.pth"]
HUB_ERRORS = (HfHubHTTPError, OSError, RevisionResolutionError, HFValidationError)
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Download:
    """What downloading a checkpoint would bring."""

    repository: str
    revision: str
    commit: str
    bytes_by_file: dict[Path, int]
    """Bytes of each file that is not in the cache, by the path that it will have there."""

    @property
    def bytes(self) -> int:
        """Bytes to download."""
        return sum(self.bytes_by_file.values())


def cached_snapshot(repository: str, revision: str) -> Path | None:
    """Directory of a revision in the local cache, named by its commit; None if not even its configuration is there."""
    config = try_to_load_from_cache(repository, CONFIG, revision=revision, cache_dir=constants.HF_HUB_CACHE)
    return Path(config).parent if isinstance(config, str) else None


def cached_revisions(repository: str) -> list[str]:
    """Names of the revisions of a repository that the local cache has heard of."""
    refs = repository_path(repository) / "refs"
    return sorted(str(path.relative_to(refs)) for path in refs.rglob("*") if path.is_file())


def repository_path(repository: str) -> Path:
    """Where the local cache keeps a repository."""
    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def missing_files(snapshot: Path, *, tokenizer: bool = True) -> list[str]:
    """What a checkpoint in the cache lacks: its weights, shards that its index names, its tokenizer."""
    missing = []
    if (snapshot / INDEX).is_file():
        missing += [name for name in _shards(snapshot / INDEX) if not (snapshot / name).is_file()]
    elif not any(path.is_file() for path in snapshot.glob(WEIGHTS)):
        missing.append("model.safetensors")
    if tokenizer and not has_tokenizer(snapshot):
        missing.append("tokenizer.json")
    return missing


def _shards(index: Path) -> list[str]:
    try:
        return sorted({*json.loads(index.read_text())["weight_map"].values()})
    except (OSError, ValueError, KeyError, AttributeError):
        return [index.name]


def plan_download(repository: str, revision: str) -> Download:
    """What would be downloaded of a revision; only names and sizes are asked for.

    Raises:
        ModelError: the hub cannot be reached, refuses, lacks the revision, or has no safetensors there.
    """
    require_network(repository, revision)
    try:
        wanted = [*CHECKPOINT_FILES, *PICKLES]
        files = snapshot_download(
            repository, revision=revision, allow_patterns=wanted, cache_dir=constants.HF_HUB_CACHE, dry_run=True
        )
    except HUB_ERRORS as error:
        raise refused(error, repository, revision) from error
    names = [file.filename for file in files]
    if not any(Path(name).match(WEIGHTS) for name in names):
        pickled = next((name for name in names if any(Path(name).match(kind) for kind in PICKLES)), "")
        only = f"pickled weights only ({pickled}), which can run code" if pickled else "no weights in safetensors"
        raise ModelError(f"{repository} at {revision!r} has {only}; convert them where that is safe (docs/families.md "
                         "shows how) and load the directory")  # fmt: skip
    fetched = [file for file in files if file.will_download and not any(Path(file.filename).match(p) for p in PICKLES)]
    commit = files[0].commit_hash
    folder = repository_path(repository) / "snapshots" / commit
    sizes = {folder / file.filename: file.file_size or 0 for file in fetched}
    return Download(repository=repository, revision=revision, commit=commit, bytes_by_file=sizes)


def download(repository: str, revision: str, files: list[str], *, size: int | None = None) -> Path:
    """Directory of a revision in the local cache, after these of its files were downloaded.

    If their size in bytes is given, it is logged first and progress is shown.

    Raises:
        ModelError: the hub cannot be reached, refuses, or has no such repository or revision.
    """
    require_network(repository, revision)
    if size:
        log.warning("downloading %s of %s at %s", format_bytes(size), repository, revision)
    try:
        with _progress(shown=bool(size)):
            return Path(
                snapshot_download(repository, revision=revision, allow_patterns=files, cache_dir=constants.HF_HUB_CACHE)
            )
    except HUB_ERRORS as error:
        raise refused(error, repository, revision) from error


@contextmanager
def _progress(*, shown: bool) -> Iterator[None]:
    """While open, the hub's bars of progress are shown, though they were switched off with those of transformers."""
    if not shown or not are_progress_bars_disabled():
        yield
        return
    enable_progress_bars()
    try:
        yield
    finally:
        disable_progress_bars()


def require_network(repository: str, revision: str) -> None:
    """Raise a `ModelError` within a second if nothing can be downloaded now."""
    if constants.is_offline_mode():
        raise ModelError(f"{repository} at {revision!r} is not in the cache, and HF_HUB_OFFLINE is set; unset it to "
                         "download")  # fmt: skip
    if reason := why_unreachable():
        raise ModelError(f"{repository} at {revision!r} is neither in the cache nor can it be downloaded; "
                         f"{REMEDY_OF_ONE} ({reason})")  # fmt: skip


def refused(error: Exception, repository: str, revision: str) -> ModelError:
    """The error to raise where the hub did not give a file."""
    if isinstance(error, GatedRepoError):
        return gated(repository)
    if isinstance(error, RevisionNotFoundError | RevisionResolutionError):
        return ModelError(f"the hub has no {repository} with a revision {revision!r}; see https://huggingface.co/"
                          f"{repository}/tree/main for those it has")  # fmt: skip
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return ModelError(f"the hub has no {repository}, or it is private; check the name at https://huggingface.co/"
                          f"{repository}, or log in with `hf auth login`")  # fmt: skip
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return ModelError(f"{repository} at {revision!r} is neither in the cache nor can it be downloaded; {REMEDY_OF_ONE} "
                      f"({reason})")  # fmt: skip


def gated(repository: str) -> ModelError:
    """The error of a repository whose licence has to be accepted first."""
    return ModelError(f"{repository} is gated: accept its licence at https://huggingface.co/{repository}, then log in "
                      "here with `hf auth login` and run this again")  # fmt: skip


def is_complete(snapshot: Path | None, *, tokenizer: bool = True) -> bool:
    """Whether a snapshot in the cache can be loaded without a download."""
    return snapshot is not None and not missing_files(snapshot, tokenizer=tokenizer)
