"""What an analysis has to know of a model's configuration: widths, lengths, special tokens. `families` reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How wide and long a model is, and which of its tokens are special."""

    d_model: int
    """Width of the residual stream; 0 where the configuration does not give one number."""
    d_vocab: int
    """How many tokens the model has logits for."""
    n_heads: int
    d_head: int
    d_inner: int
    """Width inside the MLP, of all experts that one token is sent to."""
    n_context: int | None = None
    """Positions that a prompt may have; None where nothing limits them."""
    bos: int | None = None
    """The beginning-of-text token."""
    special: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Ids of the `bos`, `eos` and `pad` tokens."""
