"""Name movers: copy score, the fraction of tokens that are among the 5 highest logits of what the head writes if it
attends only to that token. In [0, 1]. On the prompt pairs the head has to attend from the last position to the answer
more than to the foil, and to raise the metric directly.
"""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._on_pairs import ATTENDS_TO_ANSWER, moves_the_metric
from interp_emerge.circuits.roles._writing import CopyScores, copy_scores
from interp_emerge.circuits.roles.base import MOSTLY, Role
from interp_emerge.core.source import Source


def score(copied: CopyScores) -> np.ndarray:
    return copied.written


shelf.add(
    Role(
        name="name_mover",
        summary="writes the token that it attends to",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        unit="fraction of tokens",
        reads=copy_scores,
        score=score,
        at_least=MOSTLY,
        needs="tokens",
        requirements=(ATTENDS_TO_ANSWER, moves_the_metric(1)),
    )
)
