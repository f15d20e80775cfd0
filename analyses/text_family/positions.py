"""Losses of held-out passages by position in the context."""

import pandas as pd
import torch
from torch.nn.functional import cross_entropy

import interp_emerge as ie

BANDS = {f"{low} to {high}": (low, high) for low, high in ((1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 63))}
"""First and last predicted position of each mean, counted from 1."""
EARLY, LATE = BANDS["6 to 10"], BANDS["41 to 63"]


@torch.no_grad()
def by_position(family, size: str, seed: int, context: int) -> pd.DataFrame:
    """Mean loss in bands of positions of held-out passages at every step, and the late less the early one."""
    rows = []
    for step in family.steps(size, seed):
        model = family.load(size, step, seed)
        encoded = [(model.bos + model.encode(text))[:context] for text in family.held_out_text()]
        tokens = torch.tensor([ids for ids in encoded if len(ids) == context])
        logits = model.bridge(tokens)[:, :-1].transpose(1, 2)
        loss = cross_entropy(logits, tokens[:, 1:], reduction="none")
        score = ie.stats.mean_interval((part(loss, *LATE) - part(loss, *EARLY)).numpy())
        for name, (low, high) in BANDS.items():
            mean = ie.stats.mean_interval(part(loss, low, high).numpy()).columns("value")
            rows.append({"step": step, "score": f"{score:.3f}", "band": name, "position": (low + high) / 2, **mean})
    return pd.DataFrame(rows)


def part(loss: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Mean loss of each passage from one predicted position to another, shape [passage]."""
    return loss[:, low - 1 : high].double().mean(1)
