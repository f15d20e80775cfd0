"""Names of tensor shapes, each written once.

`pair` counts pairs of prompts, `pos` token positions, `head` attention heads of one layer. `writer` and `reader` are
the two sides of an edge. `circuit` counts circuits that are evaluated together.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

Tokens = Int[Tensor, "pair pos"]
TokenIds = Int[Tensor, " pair"]
Logits = Float[Tensor, "pair d_vocab"]
AtTokens = Float[Tensor, "pair token"]
LogitsByPosition = Float[Tensor, "pair pos d_vocab"]
PerPair = Float[Tensor, " pair"]
Residual = Float[Tensor, "pair pos d_model"]
WriterOutputs = Float[Tensor, "pair pos writer d_model"]
HeadVectors = Float[Tensor, "pair pos head d_head"]
KeyValueVectors = Float[Tensor, "pair key_pos kv_head d_head"]
Patterns = Float[Tensor, "pair layer head query key"]
KeptEdges = Bool[Tensor, "circuit writer reader"]
PerCircuit = Float[Tensor, "circuit pair"]
EdgeMask = Bool[np.ndarray, "writer reader"]
"""Which edges a graph has, or which of them are kept."""
