"""Negative name movers: the fraction of tokens that are among the 5 highest logits of minus what the head writes if it
attends only to that token. In [0, 1].
"""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._writing import CopyScores, copy_scores
from interp_emerge.circuits.roles.base import Role
from interp_emerge.core.source import Source


def score(copied: CopyScores) -> np.ndarray:
    return copied.written_against


shelf.add(
    Role(
        name="negative_name_mover",
        summary="writes against the token that it attends to",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        unit="fraction of tokens",
        reads=copy_scores,
        score=score,
        expected_sign=-1,
        needs="tokens",
    )
)
