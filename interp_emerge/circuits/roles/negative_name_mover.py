"""Negative name movers: the fraction of tokens that are among the 5 highest logits of minus what the head writes if it
attends only to that token. In [0, 1]. On the prompt pairs the head has to attend from the last position to the answer
more than to the foil, and to lower the metric directly. A head that attends to the foil and suppresses that is not one.
"""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._on_pairs import ATTENDS_TO_ANSWER, moves_the_metric
from interp_emerge.circuits.roles._writing import CopyScores, copy_scores
from interp_emerge.circuits.roles.base import MOSTLY, Role
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
        at_least=MOSTLY,
        needs="tokens",
        requirements=(ATTENDS_TO_ANSWER, moves_the_metric(-1)),
    )
)
