"""A family on the Hugging Face hub: one repository a size, one revision a checkpoint."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel, ModelSpec
from interp_emerge.core.source import Source
from interp_emerge.families._checkpoints import load_checkpoint
from interp_emerge.families.base import Family


class HubFamily(Family):
    """Repositories whose revisions are called `stepN`.

    What is in the local cache is used without asking the network. With `HF_HUB_OFFLINE=1` only the steps that are in
    the cache count as there.
    """

    def __init__(
        self, *, name: str, summary: str, source: Source, repositories: dict[str, str], steps: Sequence[int]
    ) -> None:
        self.name, self.summary, self.source = name, summary, source
        self._repositories, self._steps = repositories, list(steps)

    @property
    def sizes(self) -> list[str]:
        return list(self._repositories)

    def seeds(self, size: str) -> list[int]:
        return [0]

    def steps(self, size: str, seed: int = 0) -> list[int]:
        if not constants.is_offline_mode():
            return list(self._steps)
        cached = self._cached_steps(self._repositories[size])
        if not cached:
            raise ModelError(f"no checkpoint of {self._repositories[size]} is in the cache, and HF_HUB_OFFLINE is set; "
                             "unset it to download")  # fmt: skip
        return cached

    def _cached_steps(self, repository: str) -> list[int]:
        references = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "refs"
        names = os.listdir(references) if references.is_dir() else []
        found = {int(match[1]) for name in names if (match := re.fullmatch(r"step(\d+)", name))}
        return [step for step in self._steps if step in found]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        repository = self._repositories[size]
        config, _cached = _find_config(repository, f"step{step}")
        commit = config.parent.name
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=repository, revision=commit)

    def _load(self, spec: ModelSpec, device: str) -> HookedModel:
        _config, cached = _find_config(spec.location, spec.revision)
        return load_checkpoint(
            spec,
            spec.location,
            device,
            tokenizer=spec.location,
            revision=spec.revision,
            local_files_only=cached and _has_weights(_config.parent),
        )


def _find_config(repository: str, revision: str) -> tuple[Path, bool]:
    """Path of a revision's configuration in the cache, and whether it was there already."""
    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision, local_files_only=True)), True
    except (LocalEntryNotFoundError, OSError):
        pass
    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision)), False
    except RevisionNotFoundError as error:
        raise ModelError(f"{repository} has no revision {revision!r}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"{repository} at {revision!r} is neither in the cache nor can it be downloaded; check the "
                         "network, or set HF_HUB_OFFLINE=1 to use cached checkpoints only") from error  # fmt: skip


def _has_weights(snapshot: Path) -> bool:
    return any(snapshot.glob("*.safetensors"))
