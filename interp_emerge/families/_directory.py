"""A family in a directory: `SIZE/stepN/` checkpoints in Hugging Face format, or a single model."""

import re
from functools import cached_property
from pathlib import Path

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel, ModelSpec
from interp_emerge.core.source import Source
from interp_emerge.families._checkpoints import count_parameters_of, hash_files, load_checkpoint
from interp_emerge.families.base import Family

STEP, SEED = re.compile(r"step(\d+)"), re.compile(r"seed(\d+)")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


class DirectoryFamily(Family):
    """Checkpoints below one directory.

    These layouts are understood, each directory at the end holding `config.json` and safetensors: `DIR` itself,
    `DIR/stepN`, `DIR/SIZE`, `DIR/SIZE/stepN` and `DIR/SIZE/seedK/stepN`. A checkpoint without a step counts as step 0.
    The tokenizer lies beside the weights or in any directory above, up to `DIR`; `DIR/held_out.txt`, if there, is the
    text that losses are measured on, one passage a line.

    Raises:
        ModelError: the directory holds no checkpoint.
    """

    def __init__(self, root: Path, *, name: str = "", summary: str = "", source: Source | None = None) -> None:
        self.root = root.resolve()
        self.name = name or self.root.name
        self.summary = summary or f"checkpoints below {root}"
        self.source = source or Source("local files", 0, str(self.root))
        if not self._checkpoints:
            raise ModelError(f"{root} holds no model: no config.json in it, nor in SIZE/, stepN/ or SIZE/stepN/ below")

    @cached_property
    def _checkpoints(self) -> dict[tuple[str, int, int], Path]:
        """Directory of every (size, seed, step)."""
        found: dict[tuple[str, int, int], Path] = {}
        if not self.root.is_dir():
            return found
        for config in sorted(self.root.glob("config.json")) + sorted(self.root.glob("*/**/config.json")):
            parts = config.parent.relative_to(self.root).parts
            steps = [int(match[1]) for part in parts if (match := STEP.fullmatch(part))]
            seeds = [int(match[1]) for part in parts if (match := SEED.fullmatch(part))]
            sizes = [part for part in parts if not STEP.fullmatch(part) and not SEED.fullmatch(part)]
            if len(parts) <= 3 and max(len(steps), len(seeds), len(sizes)) <= 1:
                size = sizes[0] if sizes else self.root.name
                found[size, seeds[0] if seeds else 0, steps[0] if steps else 0] = config.parent
        return found

    @cached_property
    def sizes(self) -> list[str]:
        first = {size: str(path) for (size, _, _), path in reversed(self._checkpoints.items())}
        return sorted(first, key=lambda size: (count_parameters_of(first[size]), size))

    def steps(self, size: str, seed: int = 0) -> list[int]:
        return sorted(step for (s, k, step) in self._checkpoints if (s, k) == (size, seed))

    def seeds(self, size: str) -> list[int]:
        return sorted({seed for (s, seed, _) in self._checkpoints if s == size})

    def held_out_text(self) -> list[str]:
        path = self.root / "held_out.txt"
        return path.read_text().splitlines() if path.is_file() else super().held_out_text()

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        path = self._checkpoints[size, seed, step]
        location = str(path.relative_to(self.root))
        revision = hash_files(path)
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=location, revision=revision)

    def _load(self, spec: ModelSpec, device: str) -> HookedModel:
        path = self._checkpoints[spec.size, spec.seed, spec.step]
        return load_checkpoint(spec, str(path), device, tokenizer=self._tokenizer(path), local_files_only=True)

    def _tokenizer(self, checkpoint: Path) -> str | None:
        """The nearest directory, from the checkpoint up to the root, that holds a tokenizer."""
        for directory in (checkpoint, *checkpoint.parents):
            if any((directory / name).is_file() for name in TOKENIZER_FILES):
                return str(directory)
            if directory == self.root:
                return None
        return None
