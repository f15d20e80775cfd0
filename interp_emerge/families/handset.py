"""Models whose weights are set by hand, so that the circuit of their ability is known.

A size is a construction, described in `_handset/constructions.py`: `load_family("handset").construction("chain")`.
Step 0 holds random weights, before any is set: a null model of the same shape. Step 1 holds the construction. There is
no tokenizer: prompts are token ids, and every prompt begins with token 0.

The true edges are those that carry a difference between a clean and a corrupted prompt at the same position. Judge a
method by them under resample ablation, or under mean ablation by position. A mean over positions removes the position
features that heads attend by, and zero ablation removes the constant that sets the scale of norms. Under these two, the
edges that carry positions or the constant matter too.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families import shelf
from interp_emerge.families._disk.loading import Place, _quieten_transformers, load_checkpoint
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
    source = Source("interp_emerge authors", 2026, "made when loaded, in families/_handset/constructions.py")

    @property
    def sizes(self) -> list[str]:
        return list(CONSTRUCTIONS)

    def construction(self, size: str) -> Construction:
        """The construction of a size: its true edges, and the edges that are silent until a true one is removed.

        Raises:
            UnknownNameError: no such size.
        """
        if size not in CONSTRUCTIONS:
            raise UnknownNameError(f"size of {self.name}", size, self.sizes)
        return CONSTRUCTIONS[size]

    def write(self, directory: str | Path) -> None:
        """Write all constructions as `SIZE/stepN` checkpoints in Hugging Face format; `load_family` reads them."""
        for size in self.sizes:
            for step in self.steps(size):
                _make(size, step).save_pretrained(Path(directory) / size / f"step{step}")

    def _seeds(self, size: str) -> list[int]:
        return [0]

    def _steps(self, size: str, seed: int) -> list[int]:
        return [DRAWN, SET]

    def _spec(self, size: str, step: int, seed: int) -> ModelSpec:
        return ModelSpec(family=self.name, size=size, step=step, seed=seed, revision=_revision(size, step))

    def _load(self, spec: ModelSpec, device: Place) -> HookedModel:
        # Saved and loaded as a checkpoint: precision, device and their errors are then handled as in every family.
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
