"""What several of the papers measure: prefix matching of heads, in-context learning, and the loss on text.

python analyses/literature/measures.py            # the best induction head of each run of the bundled family
python analyses/literature/measures.py FAMILY     # of any other: a name, or a directory of checkpoints
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from comparing import Asked, asked
from torch import Tensor
from torch.nn.functional import cross_entropy

import interp_emerge as ie
from interp_emerge.emergence import forming
from interp_emerge.stats import Interval, mean_interval

SEGMENT, PROMPTS, WINDOW, PASSAGE, FEWEST = 16, 64, 512, 48, 5
HEAD, REPEATS, TEXT = "prefix matching of the best head", "repeated segments", "held-out text"
MOSTLY = 0.5
"""A head that gives more than this to one position gives it more than all others together."""


def repeats(model: ie.HookedModel, *, seed: int = 0) -> Tensor:
    """Prompts of a random segment and its repetition, shape [prompt, pos]."""
    rng, ids = np.random.default_rng(seed), np.array(model.ordinary_ids)
    segments = [rng.choice(ids, SEGMENT, replace=False) for _ in range(PROMPTS)]
    return torch.tensor([[*model.bos, *one, *one] for one in segments])


def prefix_matching(model: ie.HookedModel, *, seed: int = 0) -> np.ndarray:
    """Attention of every head to the token that followed an earlier occurrence, shape [prompt, head]."""
    tokens = repeats(model, seed=seed)
    patterns = ie.record(model, tokens, patterns=True).patterns(model.graph.n_layers).flatten(1, 2)
    queries = torch.arange(tokens.shape[1] - SEGMENT, tokens.shape[1] - 1)
    return patterns[:, :, queries, queries - SEGMENT + 1].mean(2).cpu().double().numpy()


def best_head(model: ie.HookedModel) -> tuple[int, Interval]:
    """The head that matches prefixes best, and its score on other prompts than it was chosen on."""
    head = int(prefix_matching(model, seed=1).mean(0).argmax())
    return head, mean_interval(prefix_matching(model)[:, head])


def passages(model: ie.HookedModel, given: Asked) -> Tensor | None:
    """Text of equal length that was not trained on, shape [passage, pos]; None if there are fewer than 5 passages."""
    n, rows = PASSAGE, [model.bos + model.encode(one) for one in given.family.held_out_text()]
    if given.text:
        ids, n = model.encode(Path(given.text).read_text()), min(WINDOW, (model.n_context or WINDOW + 1) - 1)
        rows = [model.bos + ids[at : at + n + 1] for at in range(0, min(len(ids), PROMPTS * n), n)]
    full = [row[: n + 1] for row in rows if len(row) > n]
    return torch.tensor(full) if len(full) >= FEWEST else None


@torch.no_grad()
def loss_of(model: ie.HookedModel, tokens: Tensor) -> np.ndarray:
    """Mean loss of each passage, nats per token."""
    tokens, parts = tokens.to(model.device), []
    for rows, logits in model.logits_in_chunks(tokens, last=None):
        each = cross_entropy(logits[:, :-1].float().transpose(1, 2), tokens[rows, 1:], reduction="none")
        parts.append(each.mean(1).cpu().double())
    return torch.cat(parts).numpy()


def follow(given: Asked, size: str, seed: int) -> dict[str, Any]:
    """One training run: where its best head and its in-context learning change fastest, and its losses."""
    last, rows, losses, values = given.family.load(size, seed=seed), [], {}, {}
    head, best = best_head(last)
    for step in given.steps_of(size, seed):
        model = given.family.load(size, step, seed)
        text, values = passages(model, given), {HEAD: prefix_matching(model)[:, head]}
        values[REPEATS] = -forming.in_context_scores(model, repeats(model))
        if text is not None:
            values[TEXT], losses[step] = -forming.in_context_scores(model, text), loss_of(model, text)
        for name, one in values.items():
            frame = pd.DataFrame({"value": one}).rename_axis("prompt").reset_index()
            rows.append(frame.assign(quantity=name, component="", step=step, prompt_set=name == TEXT))
    table = pd.concat(rows).sort_values("quantity", key=lambda one: one != HEAD, kind="stable")
    means = {key: mean_interval(one.to_numpy()) for key, one in table.groupby(["quantity", "step"])["value"]}
    phases = forming.phase_changes(table).set_index("quantity")
    window = tuple(int(phases.loc[HEAD, end]) for end in ("before", "after"))
    tokens = [given.tokens(size, step, seed) for step in (*window, last.spec.step)]
    curve = pd.DataFrame([{"step": at, **one.columns("value")} for (name, at), one in means.items() if name == HEAD])
    about = {"run": f"{size}, seed {seed}", "layers": last.graph.n_layers, "best": best, "curve": curve}
    return {**about, "window": window, "tokens": tokens, "phases": phases, "means": means, "losses": losses} | {
        "gain": values.get(TEXT)
    }


if __name__ == "__main__":
    given, _ = asked()
    for size, seed in given.runs():
        print(f"{size}, seed {seed}: {HEAD} {best_head(given.family.load(size, seed=seed))[1]}")
