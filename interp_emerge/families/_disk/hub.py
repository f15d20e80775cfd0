"""A family on the Hugging Face hub, described by data: a repository for each size and seed, a revision a checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import constants

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.core.tokens.lexicon import FirstTokens
from interp_emerge.families._disk.budget import DiskBudget
from interp_emerge.families._disk.downloads import (
    CHECKPOINT_FILES,
    CONFIG,
    cached_revisions,
    cached_snapshot,
    download,
    gated,
    is_complete,
    missing_files,
    plan_download,
)
from interp_emerge.families._disk.loading import TOKENIZER_FILES, Place, has_tokenizer, load_checkpoint
from interp_emerge.families._disk.revisions import Pattern, Revision, list_revisions, read_revisions
from interp_emerge.families.base import Family, Fault

UNKNOWN_STEP = 0
"""The step of a model of which only the end of training was published, and not after how many steps."""


class HubFamily(Family):
    """Repositories on the hub, with revisions named after training steps.

    A checkpoint in the local cache is used without a network request. With `HF_HUB_OFFLINE=1`, `steps` lists only
    cached steps.

    Args:
        name: the family's name.
        summary: one line on what it is.
        source: the paper or the page that describes it.
        repositories: by size, in ascending order; one repository, or one for each seed in the order of seeds 0, 1, …
        revisions: pattern of the revisions' names (see `revisions.Pattern`), or several, the first having precedence.
            A name without `{step}` is the only revision of a repository.
        steps: the published steps, of all sizes or by size. None: the hub is asked. For a single revision, the number
            of steps it was trained for, if that is known.
        holes: steps that were not published, by size and seed.
        tokens_per_step: number of tokens in a training batch, of all sizes or by size; None if unknown.
        tokens: number of training tokens at the end, by size, for sizes of which the batch is not known.
        parameters: number of parameters by size, embeddings included, as published.
        license: SPDX name of the licence, or the name that the hub shows.
        gated: whether the licence has to be accepted on the hub before a download.
        prepend_bos: what stood first in every training text; None if that is not known.
        tokenizer: repository of the tokenizer, if repositories come without one.
        faults: checkpoints that are known to be wrong.
    """

    downloads = True

    def __init__(
        self,
        *,
        name: str,
        summary: str,
        source: Source,
        repositories: Mapping[str, str | Sequence[str]],
        revisions: str | Sequence[str] = "step{step}",
        steps: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        holes: Mapping[tuple[str, int], Sequence[int]] | None = None,
        tokens_per_step: int | Mapping[str, int] | None = None,
        tokens: Mapping[str, int] | None = None,
        parameters: Mapping[str, int] | None = None,
        license: str = "",  # noqa: A002 (the word that the hub uses)
        gated: bool = False,
        prepend_bos: FirstTokens = None,
        tokenizer: str = "",
        faults: Sequence[Fault] = (),
    ) -> None:
        self.name, self.summary, self.source = name, summary, source
        self.repositories = {size: (one,) if isinstance(one, str) else tuple(one) for size, one in repositories.items()}
        self.patterns = [Pattern(text) for text in ([revisions] if isinstance(revisions, str) else revisions)]
        self._published = steps
        self._holes, self._tokens = holes or {}, tokens or {}
        self._batch = tokens_per_step
        self.tokens_per_step = tokens_per_step if isinstance(tokens_per_step, int) else None
        self._parameters = dict(parameters or {})
        self.license, self.gated, self.prepend_bos = license, gated, prepend_bos
        self.tokenizer_repository, self.known_faults = tokenizer, tuple(faults)

    @property
    def sizes(self) -> list[str]:
        return list(self.repositories)

    def repository(self, size: str, seed: int = 0) -> str:
        """Name of the repository of a training run on the hub.

        Raises:
            UnknownNameError: no such size or seed.
        """
        self._require_run(size, seed)
        return self.repositories[size][seed]

    def published_steps(self, size: str, seed: int = 0) -> list[int]:
        """Steps that were published, whether they are in the cache or not, ascending.

        Raises:
            UnknownNameError: no such size or seed.
            ModelError: they have to be asked for, and the hub cannot be reached.
        """
        self._require_run(size, seed)
        return [*self._revisions(size, seed)]

    def revision(self, size: str, step: int, seed: int = 0) -> str:
        """Name of the revision of a checkpoint.

        Raises:
            UnknownNameError: no such size, seed or step.
        """
        self._require_run(size, seed)
        return self._revision(size, step, seed).name

    def spec(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> ModelSpec:
        if constants.is_offline_mode() and isinstance(step, int):
            self._require_run(size, seed)
            cached = self.steps(size, seed)
            if step not in cached and step in self._known_steps(size, seed):
                self._raise_not_cached(size, step, seed, cached)
        return super().spec(size, step, seed)

    def tokens(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> int | None:
        """Number of training tokens: steps times the batch, else from the revision's name, else as published."""
        taken = self._existing_step(size, step, seed)
        batch = self._batch if isinstance(self._batch, int) else (self._batch or {}).get(size)
        if batch is not None and (taken or not self._is_single):
            return taken * batch
        if not self._is_single:
            return self._revision(size, taken, seed).tokens
        return self._tokens.get(size)

    @property
    def counts_tokens(self) -> bool:
        named = any(not pattern.names_by_step for pattern in self.patterns)
        return self._batch is not None or named or bool(self._tokens)

    def published_parameters(self, size: str) -> int | None:
        return self._parameters.get(size)

    def batch_tokens(self, size: str) -> int | None:
        return self._batch if isinstance(self._batch, int) or self._batch is None else self._batch.get(size)

    def published_tokens(self, size: str) -> int | None:
        batch, steps = self.batch_tokens(size), self._known_steps(size, 0)
        return max(steps) * batch if batch and any(steps) else self._tokens.get(size)

    def is_here(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> bool:
        taken = self._existing_step(size, step, seed)
        return self._is_cached(self.repositories[size][seed], self._revision(size, taken, seed).name)

    def bytes_to_download(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> int:
        """Bytes that loading this checkpoint would download; 0 if it is in the cache. Asks the hub for file sizes."""
        taken = self._existing_step(size, step, seed)
        repository, revision = self.repositories[size][seed], self._revision(size, taken, seed).name
        if self._is_cached(repository, revision):
            return 0
        with self._explaining():
            return plan_download(repository, revision).bytes

    def fetch(
        self,
        size: str,
        step: int | Literal["last"] = "last",
        seed: int = 0,
        *,
        disk: DiskBudget | None = None,
        ahead: bool = False,
    ) -> bool:
        """Download a checkpoint unless it is in the cache; False if it was left for later because the disk is full.

        Args:
            size: name of a size.
            step: training step, or `"last"`.
            seed: seed of the training run.
            disk: what may be kept on disk; older downloads of the run are removed to make room.
            ahead: whether the checkpoint is not needed yet; then nothing in use is removed for it.

        Raises:
            ModelError: it is not in the cache and cannot be downloaded.
            InputError: it is larger than the disk budget.
        """
        taken = self._existing_step(size, step, seed)
        repository, revision = self.repositories[size][seed], self._revision(size, taken, seed).name
        snapshot = cached_snapshot(repository, revision)
        if not self._is_complete(snapshot):
            self._require_online(repository, revision, snapshot)
            planned = plan_download(repository, revision)
            if disk is not None and not disk.admit(planned, ahead=ahead):
                return False
            snapshot = download(repository, revision, CHECKPOINT_FILES, size=0 if ahead else planned.bytes)
        elif disk is not None and snapshot is not None and not ahead:
            disk.use(repository, snapshot)
        return True

    def _seeds(self, size: str) -> list[int]:
        return [*range(len(self.repositories[size]))]

    def _steps(self, size: str, seed: int) -> list[int]:
        if not constants.is_offline_mode():
            return [*self._revisions(size, seed)]
        cached = self._cached(size, seed)
        if not cached:
            raise ModelError(f"no checkpoint of {self.repositories[size][seed]} is in the cache, and HF_HUB_OFFLINE is "
                             "set; unset it to download")  # fmt: skip
        return [*cached]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        repository, revision = self.repositories[size][seed], self._revision(size, step, seed).name
        with self._explaining():
            snapshot = cached_snapshot(repository, revision) or download(repository, revision, [CONFIG])
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=repository, revision=snapshot.name)

    def _load(self, spec: ModelSpec, device: Place) -> HookedModel:
        snapshot, tokenizer = self._snapshot(spec), self._tokenizer(spec)
        if not has_tokenizer(tokenizer):
            raise ModelError(f"{spec.location} has no tokenizer at {spec.revision}; give a directory that has one")
        return load_checkpoint(spec, snapshot, device, tokenizer=tokenizer)

    def _snapshot(self, spec: ModelSpec) -> Path:
        """Directory of a checkpoint in the cache, downloaded if it is not there."""
        snapshot = cached_snapshot(spec.location, spec.revision)
        if self._is_complete(snapshot) and snapshot is not None:
            return snapshot
        self._require_online(spec.location, spec.revision, snapshot)
        with self._explaining():
            planned = plan_download(spec.location, spec.revision)
            return download(spec.location, spec.revision, CHECKPOINT_FILES, size=planned.bytes)

    def files(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> Path | None:
        return self._snapshot(self.spec(size, step, seed))

    def _tokenizer(self, spec: ModelSpec) -> Path:
        if not self.tokenizer_repository:
            return self._snapshot(spec)
        found = cached_snapshot(self.tokenizer_repository, "main")
        if found is None or not has_tokenizer(found):
            found = download(self.tokenizer_repository, "main", [CONFIG, *TOKENIZER_FILES])
        return found

    @property
    def _is_single(self) -> bool:
        """Whether each repository has one revision only."""
        return all(pattern.is_one for pattern in self.patterns)

    def _known_steps(self, size: str, seed: int) -> list[int]:
        """The published steps as far as they are known without asking the hub, in this session's mode."""
        steps = self._published.get(size) if isinstance(self._published, Mapping) else self._published
        if self._is_single:
            return [*(steps or [UNKNOWN_STEP])]
        return [step for step in steps or [] if step not in self._holes.get((size, seed), ())]

    def _revisions(self, size: str, seed: int) -> dict[int, Revision]:
        """Published revisions by step; the hub is asked where steps or names are not known."""
        steps, first = self._known_steps(size, seed), self.patterns[0]
        if steps and first.names_by_step:
            return {step: Revision(name=first.name(step), step=step) for step in sorted(steps)}
        repository = self.repositories[size][seed]
        if constants.is_offline_mode():
            return self._cached(size, seed)
        with self._explaining():
            found = read_revisions(list_revisions(repository), self.patterns)
        if not found:
            wanted = " or ".join(pattern.text for pattern in self.patterns)
            raise ModelError(
                f"{repository} has no revision named like {wanted}; see https://huggingface.co/{repository}"
            )
        return {step: one for step, one in found.items() if step not in self._holes.get((size, seed), ())}

    def _cached(self, size: str, seed: int) -> dict[int, Revision]:
        """Revisions by step whose files are all in the cache."""
        repository, steps = self.repositories[size][seed], self._known_steps(size, seed)
        first = self.patterns[0]
        if steps and first.names_by_step:
            named = {step: Revision(name=first.name(step), step=step) for step in sorted(steps)}
        else:
            named = read_revisions(cached_revisions(repository), self.patterns)
        return {step: one for step, one in named.items() if self._is_cached(repository, one.name)}

    def _revision(self, size: str, step: int, seed: int) -> Revision:
        first = self.patterns[0]
        if first.names_by_step and step in self._known_steps(size, seed):
            return Revision(name=first.name(step), step=step)
        return self._revisions(size, seed)[self._existing_step(size, step, seed)]

    def _is_complete(self, snapshot: Path | None) -> bool:
        return is_complete(snapshot, tokenizer=not self.tokenizer_repository)

    def _is_cached(self, repository: str, revision: str) -> bool:
        return self._is_complete(cached_snapshot(repository, revision))

    def _raise_not_cached(self, size: str, step: int, seed: int, cached: Sequence[int]) -> None:
        repository, revision = self.repositories[size][seed], self._revision(size, step, seed).name
        half = self._half(cached_snapshot(repository, revision))
        what = f"is only half in the cache (it lacks {half})" if half else "is not in the cache"
        raise ModelError(f"step {step} of {repository} {what}, and HF_HUB_OFFLINE is set; unset it to download, or "
                         f"take one of {', '.join(map(str, cached))}")  # fmt: skip

    def _require_online(self, repository: str, revision: str, snapshot: Path | None) -> None:
        half = self._half(snapshot)
        if half and constants.is_offline_mode():
            raise ModelError(f"{repository} at {revision!r} is only half in the cache (it lacks {half}), and "
                             "HF_HUB_OFFLINE is set; unset it to finish the download")  # fmt: skip

    def _half(self, snapshot: Path | None) -> str:
        """What a snapshot lacks, in words; empty if it is complete or not there at all."""
        if snapshot is None:
            return ""
        lacks = missing_files(snapshot, tokenizer=not self.tokenizer_repository)
        return lacks[0] + (f" and {len(lacks) - 1} more" if len(lacks) > 1 else "") if lacks else ""

    def _explaining(self) -> "_Gate":
        return _Gate(self.gated, self.repositories)


class _Gate:
    """Turns the refusal of a repository that is known to be gated into what to do about it."""

    def __init__(self, is_gated: bool, repositories: Mapping[str, Sequence[str]]) -> None:
        self._is_gated, self._repositories = is_gated, repositories

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if self._is_gated and isinstance(error, ModelError) and "or it is private" in str(error):
            named = next((one for several in self._repositories.values() for one in several if one in str(error)), "")
            raise gated(named) from error
