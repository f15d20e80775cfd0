"""Which weights a model has: what is needed to load them again, and to see whether two results share them."""

from dataclasses import asdict, dataclass, field
from typing import Any

from interp_emerge.core.errors import InputError

CHANGED = "changed in memory"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which weights a model has: enough to load them again, and to see whether two results came from the same ones."""

    family: str
    size: str
    step: int
    seed: int = 0
    location: str = ""
    """Directory of the checkpoint, or the repository's name on the hub."""
    revision: str = ""
    """What identifies the weights: a hash of the files on disk, or the commit on the hub."""
    dtype: str = "float32"
    weights: str = "raw"
    """How the weights were processed after loading. `raw` means not at all. `changed in memory` means that they are no
    longer those of the checkpoint; `revision` is then a hash of the weights as they are."""
    prepended: str | None = field(default=None, compare=False)
    """The token in front of every prompt, as the vocabulary writes it; empty if there is none, None until the model is
    loaded."""

    def __str__(self) -> str:
        return f"{self.family}/{self.size}/step{self.step}/seed{self.seed}"

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """The family, size, step and seed that `str(spec)` names; other fields keep their defaults.

        Raises:
            InputError: the text has another form.
        """
        parts = text.rsplit("/", 3)
        if len(parts) == 4 and parts[2].startswith("step") and parts[3].startswith("seed"):
            step, seed = parts[2].removeprefix("step"), parts[3].removeprefix("seed")
            if step.isdecimal() and seed.isdecimal():
                return cls(family=parts[0], size=parts[1], step=int(step), seed=int(seed))
        raise InputError(f"cannot read {text!r} as a model; expected FAMILY/SIZE/stepN/seedN")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
