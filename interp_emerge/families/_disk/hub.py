"""A family on the Hugging Face hub: one repository for each size, one revision for each checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families._disk.loading import TOKENIZER_FILES, WEIGHTS, has_tokenizer, has_weights, load_checkpoint
from interp_emerge.families.base import Family

CONFIG = "config.json"
CHECKPOINT_FILES = [CONFIG, WEIGHTS, f"{WEIGHTS}.index.json", *TOKENIZER_FILES]


class HubFamily(Family):
    """Repositories whose revisions are called `stepN`.

    A checkpoint in the local cache is used without a network request. With `HF_HUB_OFFLINE=1`, `steps` lists only
    cached steps.
    """

    def __init__(
        self, *, name: str, summary: str, source: Source, repositories: dict[str, str], steps: Sequence[int]
    ) -> None:
        self.name, self.summary, self.source = name, summary, source
        self.repositories, self.published_steps = repositories, tuple(steps)

    @property
    def sizes(self) -> list[str]:
        return list(self.repositories)

    def spec(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> ModelSpec:
        if constants.is_offline_mode() and step in self.published_steps:
            cached = self.steps(size, seed)
            if step not in cached:
                raise ModelError(f"step {step} of {self.repositories[size]} is not in the cache, and HF_HUB_OFFLINE is "
                                 f"set; unset it to download, or take one of "
                                 f"{', '.join(map(str, cached))}")  # fmt: skip
        return super().spec(size, step, seed)

    def _seeds(self, size: str) -> list[int]:
        return [0]

    def _steps(self, size: str, seed: int) -> list[int]:
        if not constants.is_offline_mode():
            return list(self.published_steps)
        repository = self.repositories[size]
        cached = [step for step in self.published_steps if _is_complete(_cached(repository, f"step{step}"))]
        if not cached:
            raise ModelError(f"no checkpoint of {repository} is in the cache, and HF_HUB_OFFLINE is set; "
                             "unset it to download")  # fmt: skip
        return cached

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        repository, revision = self.repositories[size], f"step{step}"
        snapshot = _cached(repository, revision) or _download(repository, revision, [CONFIG])
        commit = snapshot.name
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=repository, revision=commit)

    def _load(self, spec: ModelSpec, device: str) -> HookedModel:
        snapshot = _cached(spec.location, spec.revision)
        if snapshot is None or not _is_complete(snapshot):
            snapshot = _download(spec.location, spec.revision, CHECKPOINT_FILES)
        if not has_tokenizer(snapshot):
            raise ModelError(f"{spec.location} has no tokenizer at {spec.revision}; give a directory that has one")
        return load_checkpoint(spec, snapshot, device, tokenizer=snapshot)


def _cached(repository: str, revision: str) -> Path | None:
    """Directory of a revision in the local cache, named by its commit; None if it is not cached."""
    config = try_to_load_from_cache(repository, CONFIG, revision=revision)
    return Path(config).parent if isinstance(config, str) else None


def _is_complete(snapshot: Path | None) -> bool:
    return snapshot is not None and has_weights(snapshot) and has_tokenizer(snapshot)


def _download(repository: str, revision: str, files: list[str]) -> Path:
    """Directory of a revision in the local cache, after these of its files were downloaded."""
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=files))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError(f"the hub has no {repository} with a revision {revision!r}") from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"{repository} at {revision!r} is neither in the cache nor can it be downloaded; check the "
                         "network, or set HF_HUB_OFFLINE=1 to use cached checkpoints only") from error  # fmt: skip
