"""A family in a directory: `SIZE/stepN/` checkpoints in Hugging Face format, or a single model."""

import re
from functools import cached_property
from pathlib import Path

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import HookedModel, ModelSpec
from interp_emerge.core.source import Source
from interp_emerge.families._checkpoints import count_parameters_of, has_tokenizer, hash_checkpoint, load_checkpoint
from interp_emerge.families.base import Family

STEP, SEED = re.compile(r"step(\d+)"), re.compile(r"seed(\d+)")
CONFIGS = ["config.json", "*/config.json", "*/*/config.json", "*/*/*/config.json"]


class DirectoryFamily(Family):
    """Checkpoints below one directory, which is read when sizes are first asked for.

    These layouts are understood, each directory at the end holding `config.json` and safetensors: `DIR` itself,
    `DIR/stepN`, `DIR/SIZE`, `DIR/SIZE/stepN` and `DIR/SIZE/seedK/stepN`. A checkpoint without a step counts as step 0.
    Directories whose name begins with a dot are passed over. The tokenizer lies beside the weights or in any directory
    above, up to `DIR`; `DIR/held_out.txt`, if there, is the text that losses are measured on, one passage a line.
    """

    def __init__(
        self,
        root: Path,
        *,
        name: str = "",
        summary: str = "",
        source: Source | None = None,
        tokens_per_step: int | None = None,
    ) -> None:
        self.root = root.resolve()
        self.tokens_per_step = tokens_per_step
        self.name = name or self.root.name
        self.summary = summary or f"checkpoints below {root}"
        self.source = source or Source("local files", 0, str(self.root))

    def read(self) -> None:
        """Find the checkpoints and order the sizes now, so that what is wrong with them is said now.

        Raises:
            ModelError: the directory holds no checkpoint, one that is no language model, or two of one name.
        """
        _ = self._sizes

    @property
    def sizes(self) -> list[str]:
        return list(self._sizes)

    @cached_property
    def _sizes(self) -> list[str]:
        example = {size: path for (size, _, _), path in self._checkpoints.items()}
        return sorted(example, key=lambda size: (count_parameters_of(example[size]), size))

    @cached_property
    def _checkpoints(self) -> dict[tuple[str, int, int], Path]:
        """Directory of every (size, seed, step)."""
        found: dict[tuple[str, int, int], Path] = {}
        for path in sorted(config.parent for pattern in CONFIGS for config in self.root.glob(pattern)):
            key = self._key(path)
            if key in found:
                raise ModelError(f"{found[key]} and {path} are both step {key[2]} of one model; name one of them stepN")
            if key is not None:
                found[key] = path
        if not found:
            raise ModelError(f"{self.root} holds no model; wanted is a config.json in it, or in SIZE/, stepN/, "
                             "SIZE/stepN/ or SIZE/seedK/stepN/ below")  # fmt: skip
        return found

    def _key(self, path: Path) -> tuple[str, int, int] | None:
        """Size, seed and step that a directory's path names; None if it names one of them twice, or is hidden."""
        parts = path.relative_to(self.root).parts
        steps = [int(match[1]) for part in parts if (match := STEP.fullmatch(part))]
        seeds = [int(match[1]) for part in parts if (match := SEED.fullmatch(part))]
        sizes = [part for part in parts if not STEP.fullmatch(part) and not SEED.fullmatch(part)]
        if max(len(steps), len(seeds), len(sizes)) > 1 or any(part.startswith(".") for part in parts):
            return None
        return sizes[0] if sizes else self.root.name, seeds[0] if seeds else 0, steps[0] if steps else 0

    def _seeds(self, size: str) -> list[int]:
        return sorted({seed for (s, seed, _) in self._checkpoints if s == size})

    def _steps(self, size: str, seed: int) -> list[int]:
        return sorted(step for (s, k, step) in self._checkpoints if (s, k) == (size, seed))

    def held_out_text(self) -> list[str]:
        path = self.root / "held_out.txt"
        return path.read_text().splitlines() if path.is_file() else super().held_out_text()

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        path = self._checkpoints[size, seed, step]
        location = str(path.relative_to(self.root))
        revision = hash_checkpoint(path, self._tokenizer(path))
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=location, revision=revision)

    def _load(self, spec: ModelSpec, device: str) -> HookedModel:
        path = self._checkpoints[spec.size, spec.seed, spec.step]
        return load_checkpoint(spec, path, device, tokenizer=self._tokenizer(path))

    def _tokenizer(self, checkpoint: Path) -> Path | None:
        """The nearest directory, from the checkpoint up to the root, that holds a tokenizer."""
        above = [path for path in (checkpoint, *checkpoint.parents) if path.is_relative_to(self.root)]
        return next((path for path in above if has_tokenizer(path)), None)
