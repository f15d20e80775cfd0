"""Recipes: all settings that determine the weights of a family."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from interp_emerge.abilities import _language as language
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.files import hash_of
from interp_emerge.training.corpus import KINDS


@dataclass(frozen=True, kw_only=True)
class SizeRecipe:
    """One size of the family: its shape, its learning rate and its number of seeds."""

    name: str
    n_layers: int
    d_model: int
    n_heads: int
    learning_rate: float
    n_seeds: int = 1

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise InputError(f"size {self.name!r}: {self.n_heads} heads do not divide a width of {self.d_model}")

    @property
    def rotary_dimensions(self) -> int:
        """Dimensions of a head that have rotary positions: half of its width, rounded down to an even number."""
        return self.d_model // self.n_heads // 4 * 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A family of GPT-NeoX models of several sizes, all trained on the same mixture of documents."""

    name: str
    sizes: tuple[SizeRecipe, ...]
    checkpoints: tuple[int, ...]
    """Training steps at which weights are saved; training ends at the last one."""
    documents: dict[str, int]
    """Number of documents of each kind in one batch."""
    warmup: int = 100
    """Steps over which the learning rate rises linearly. A cosine factor falls from 1 to a twentieth over all steps."""
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    threads: int = 1
    """CPU threads of one training process. The weights depend on it, because it changes rounding errors."""

    def __post_init__(self) -> None:
        names = [size.name for size in self.sizes]
        if not names or len(set(names)) < len(names):
            raise InputError(f"a recipe needs at least one size, each with its own name, not {names}")
        if not self.checkpoints or any(later <= step for step, later in pairwise((-1, *self.checkpoints))):
            raise InputError(f"checkpoints cannot be {[*self.checkpoints]}; give increasing steps from 0 on")
        for kind in self.documents:
            if kind not in KINDS:
                raise UnknownNameError("kind of document", kind, KINDS)

    @property
    def n_steps(self) -> int:
        return self.checkpoints[-1]

    def to_dict(self) -> dict[str, Any]:
        """Everything that determines the weights, including the words and statistics of the language."""
        chain = [[round(float(p), 12) for p in row] for row in language.markov_chain()]
        return {**asdict(self), "vocabulary": language.VOCABULARY, "markov_chain": hash_of(chain)}

    @property
    def hash(self) -> str:
        return hash_of(self.to_dict())

    def size(self, name: str) -> SizeRecipe:
        """The size of that name.

        Raises:
            UnknownNameError: the recipe has no such size.
        """
        sizes = {size.name: size for size in self.sizes}
        if name not in sizes:
            raise UnknownNameError(f"size of {self.name}", name, sizes)
        return sizes[name]
