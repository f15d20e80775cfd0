"""A family in a directory: `SIZE/stepN/` checkpoints in Hugging Face format, or a single model."""

import json
from functools import cached_property
from pathlib import Path
from typing import Literal

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families._disk.folders import Checkpoint, Key, find_checkpoints
from interp_emerge.families._disk.loading import Place, has_tokenizer, hash_checkpoint, load_checkpoint
from interp_emerge.families.base import Family


class DirectoryFamily(Family):
    """Checkpoints below one directory, which is read when sizes are first needed.

    A checkpoint is a directory with `config.json` and safetensors: `DIR` itself, `DIR/stepN`, `DIR/SIZE`,
    `DIR/SIZE/stepN` or `DIR/SIZE/seedK/stepN`. `stepN` may be any name that trainers give (`checkpoint-500`,
    `step1000-tokens4B`, …: see `_disk/names.py`). If neither its name nor a `trainer_state.json` gives its step, a
    checkpoint counts as step 0. Directories whose name begins with a dot are ignored. Directories without a model are
    ignored if others hold one. The tokenizer is in the checkpoint's directory or in any directory above, up to `DIR`.
    If `DIR/held_out.txt` exists, losses are measured on it, one passage a line.
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
        if _has_recipe(self.root):
            self.prepend_bos = True
        self._is_on_shelf = bool(name)
        self.name = name or self.root.name
        self.summary = summary or f"checkpoints below {root}"
        self.source = source or Source("local files", 0, str(self.root))

    @property
    def address(self) -> str:
        return self.name if self._is_on_shelf else str(self.root)

    def read(self) -> None:
        """Find the checkpoints and order the sizes now, so that faulty ones raise an error now.

        Raises:
            ModelError: the directory holds no checkpoint, or one that is not a language model or whose size or step is
                not clear.
        """
        _ = self._sizes

    @property
    def sizes(self) -> list[str]:
        return list(self._sizes)

    @cached_property
    def _sizes(self) -> list[str]:
        counts = {size: found.n_parameters for (size, _, _), found in self._checkpoints.items()}
        return sorted(counts, key=lambda size: counts[size])

    @cached_property
    def _checkpoints(self) -> dict[Key, Checkpoint]:
        return find_checkpoints(self.root)

    def _seeds(self, size: str) -> list[int]:
        return sorted({seed for (s, seed, _) in self._checkpoints if s == size})

    def _steps(self, size: str, seed: int) -> list[int]:
        return sorted(step for (s, k, step) in self._checkpoints if (s, k) == (size, seed))

    @property
    def counts_tokens(self) -> bool:
        return super().counts_tokens or any(found.named.tokens is not None for found in self._checkpoints.values())

    def tokens(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> int | None:
        """Number of training tokens: from the name, such as `tokens4B`, or else computed from the step."""
        named = self._checkpoints[size, seed, self._existing_step(size, step, seed)].named.tokens
        return super().tokens(size, step, seed) if named is None else named

    def held_out_text(self) -> list[str]:
        path = self.root / "held_out.txt"
        if not path.is_file():
            return super().held_out_text()
        try:
            return path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not text in UTF-8 (byte {error.start}); save it in UTF-8") from error

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        path = self._checkpoints[size, seed, step].path
        location = self._location(path)
        revision = hash_checkpoint(path, self._tokenizer(path))
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, location=location, revision=revision)

    def _load(self, spec: ModelSpec, device: Place) -> HookedModel:
        path = self._checkpoints[spec.size, spec.seed, spec.step].path
        return load_checkpoint(spec, path, device, tokenizer=self._tokenizer(path))

    def files(self, size: str, step: int | Literal["last"] = "last", seed: int = 0) -> Path | None:
        return self._checkpoints[size, seed, self._existing_step(size, step, seed)].path

    def _top(self, checkpoint: Path) -> Path:
        """The directory above which nothing belongs to a checkpoint."""
        return self.root

    def _location(self, checkpoint: Path) -> str:
        """What a checkpoint is called in results: its path from the family's directory on."""
        return str(checkpoint.relative_to(self.root))

    def _tokenizer(self, checkpoint: Path) -> Path | None:
        """The nearest directory, from the checkpoint up to the root, that holds a tokenizer."""
        top = self._top(checkpoint)
        above = [path for path in (checkpoint, *checkpoint.parents) if path.is_relative_to(top)]
        return next((path for path in above if has_tokenizer(path)), None)


def _has_recipe(root: Path) -> bool:
    """Whether a recipe of this package trained the family; its texts begin with the beginning-of-text token."""
    recipe = root / "recipe.json"
    if not recipe.is_file() or not has_tokenizer(root):
        return False
    try:
        content = json.loads(recipe.read_text())
    except (OSError, ValueError):
        return False
    known = {"hash", "documents"}, {"markov_chain", "text"}
    return isinstance(content, dict) and known[0] <= {*content} and not known[1].isdisjoint(content)
