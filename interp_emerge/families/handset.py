"""Models whose weights are set by hand, so that the circuit of their ability is known.

A size is a construction, told in `_handset_constructions`: `load_family("handset").construction("chain")`. Step 0 holds
the weights as they are drawn before any is set, a null of equal shape; step 1 the construction. Tokens are ids without
a tokenizer; every prompt begins with token 0.

The true edges are those that tell a clean prompt from a corrupt one at the same position. They are to be judged under
resample ablation, or mean ablation by position. A mean over positions takes away what heads find their place by, and
zero the constant that norms are scaled by: there the edges that carry these count too.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.model import HookedModel, ModelSpec
from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.loading import _quieten_transformers, load_checkpoint
from interp_emerge.families._handset.constructions import CONSTRUCTIONS, Construction
from interp_emerge.families._handset.weights import as_drawn
from interp_emerge.families.base import Family
from interp_emerge.families.hooking import hook

DRAWN, SET = 0, 1
"""The steps of each construction."""


class HandsetFamily(Family):
    """Constructions with a known circuit, made when they are asked for."""

    name = "handset"
    summary = (
        "models with weights set by hand, whose circuit is known: induction, look-up, a chain through an MLP, a backup"
    )
    prepend_bos = True
    source = Source("interp_emerge authors", 2026, "made when loaded, in families/_handset_constructions.py")

    @property
    def sizes(self) -> list[str]:
        return list(CONSTRUCTIONS)

    def construction(self, size: str) -> Construction:
        """What a size is made of: its true edges, and those that are silent until one of them is taken away.

        Raises:
            UnknownNameError: no such size.
        """
        if size not in CONSTRUCTIONS:
            raise UnknownNameError(f"size of {self.name}", size, self.sizes)
        return CONSTRUCTIONS[size]

    def write(self, directory: str | Path) -> None:
        """Write all constructions as `SIZE/stepN` checkpoints in Hugging Face format, a family for `load_family`."""
        for size in self.sizes:
            for step in self.steps(size):
                _make(size, step).save_pretrained(Path(directory) / size / f"step{step}")

    def _seeds(self, size: str) -> list[int]:
        return [0]

    def _steps(self, size: str, seed: int) -> list[int]:
        return [DRAWN, SET]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, revision=_revision(size, step))

    def _load(self, spec: ModelSpec, device: str) -> HookedModel:
        # By way of a checkpoint, so that precision, device and what can be wrong with them are those of every family.
        with TemporaryDirectory() as directory:
            _make(spec.size, spec.step).save_pretrained(directory)
            return load_checkpoint(spec, Path(directory), device, tokenizer=None)


def _make(size: str, step: int) -> Any:
    _quieten_transformers()
    hf = CONSTRUCTIONS[size].build()
    return hf if step == SET else as_drawn(hf.config)


@cache
def _revision(size: str, step: int) -> str:
    return hook(_make(size, step)).spec.revision


shelf.add(HandsetFamily())
