"""What an analysis needs from a model's configuration: widths, lengths, special tokens. `families` fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How wide and long a model is, and which of its tokens are special."""

    d_model: int
    """Width of the residual stream; 0 if the configuration does not give a single number."""
    d_vocab: int
    """How many tokens the model has logits for."""
    n_heads: int
    d_head: int
    d_inner: int
    """Width inside the MLP, summed over the experts that one token is sent to."""
    n_context: int | None = None
    """Largest number of tokens of a prompt; None if there is no limit."""
    bos: int | None = None
    """The beginning-of-text token."""
    special: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Ids of the `bos`, `eos` and `pad` tokens."""
