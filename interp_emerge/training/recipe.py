"""A recipe says everything that decides what a family's weights become."""

from dataclasses import asdict, dataclass
from typing import Any

from interp_emerge.abilities import _language as language
from interp_emerge.core.files import hash_of


@dataclass(frozen=True, kw_only=True)
class SizeRecipe:
    """One size of the family: its shape, its learning rate and how many seeds are grown."""

    name: str
    n_layers: int
    d_model: int
    n_heads: int
    learning_rate: float
    n_seeds: int = 1

    @property
    def rotary_dimensions(self) -> int:
        """Half of a head's dimensions turn with position, rounded down to pairs; the rest match content alone."""
        return self.d_model // self.n_heads // 4 * 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A family of GPT-NeoX models of several sizes, trained alike on the same mixture of documents."""

    name: str
    sizes: tuple[SizeRecipe, ...]
    checkpoints: tuple[int, ...]
    """Training steps at which weights are kept; the last one ends the training."""
    documents: dict[str, int]
    """Documents of each kind in one batch."""
    warmup: int = 100
    """Steps over which the learning rate rises linearly; it then falls as a cosine to a twentieth."""
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    threads: int = 1
    """CPU threads of one training process; another count gives other rounding."""

    @property
    def n_steps(self) -> int:
        return self.checkpoints[-1]

    def to_dict(self) -> dict[str, Any]:
        """All that decides the weights, the language's words and statistics included."""
        chain = [[round(float(p), 12) for p in row] for row in language.markov_chain()]
        return {**asdict(self), "vocabulary": language.VOCABULARY, "markov_chain": hash_of(chain)}

    @property
    def hash(self) -> str:
        return hash_of(self.to_dict())

    def size(self, name: str) -> SizeRecipe:
        return next(size for size in self.sizes if size.name == name)
