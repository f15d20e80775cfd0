"""Which roles do heads play when a model names who receives a thing? Wang et al., 2022.

python analyses/literature/wang_2022.py           # the largest model of the bundled family
python analyses/literature/wang_2022.py FAMILY    # any other; --indirect-object names the ability if it is not ioi
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from comparing import Answer, Asked, Compared, show, told
from wang_ablated import ablations

import interp_emerge as ie
from interp_emerge.abilities import PromptPairs
from interp_emerge.stats import Interval, mean_interval, success_interval

PROMPTS, STRONGEST, OPPOSED, RARELY, MOSTLY = 128, 3, 2, 0.05, 0.5
ROLES = ("previous_token", "duplicate_token", "induction", "s_inhibition", "name_mover", "negative_name_mover")


def compare(asked: Asked) -> Compared:
    """The answers for the last checkpoint of the largest size."""
    model = asked.family.load(asked.sizes[-1])
    drawn = ie.load_ability(asked.indirect_object).sample(model, PROMPTS, seed=1)
    pairs = max((group for _, group in drawn.by_length()), key=len)  # means over prompts need one length
    table = ie.role_table(model, roles=ROLES, pairs=pairs)
    table["plays"] = table["plays"].fillna(value=False).astype(bool)
    whole = ie.ablate(model, [], pairs)
    wrong = success_interval(int((whole < 0).sum()), len(whole))
    task = f"{asked.sizes[-1]}: the subject in {wrong:.1%} of prompts; logit difference {mean_interval(whole)}"
    holds = told(wrong.high < RARELY, wrong.low > RARELY)
    strong = table[table["role"] == "name_mover"].nlargest(STRONGEST, "direct_effect")
    opposed = table[table["role"] == "negative_name_mover"].nsmallest(OPPOSED, "direct_effect")
    return [
        Answer("task", task, holds, f"the subject in fewer than {RARELY:.0%}"),
        copying("name_movers", strong, table),
        attention(model, pairs, [*strong["node"]]),
        copying("negative", opposed, table),
        inhibition(model, pairs, {str(role): [*rows["node"]] for role, rows in table[table["plays"]].groupby("role")}),
        *ablations(model, pairs, [*strong["node"]], table[table["plays"]]),
    ], pd.DataFrame()


def copying(claim: str, heads: pd.DataFrame, table: pd.DataFrame) -> Answer:
    """What the heads with the most extreme direct effects write of the name that they attend to."""
    role = heads["role"].iloc[0]
    mean = table[table["role"] == role]["score"].mean()
    said = "; ".join(
        f"{row['node']} {Interval.of(row, 'score', 'ci')}, direct effect {row['direct_effect']:.2f}"
        for row in heads.to_dict("records")
    )
    ours = f"{said}; average head {mean:.2f}. {int(heads['plays'].sum())} of them play {role}"
    return Answer(claim, ours, bool(heads["plays"].all()), "all of them have to play the role")


def attention(model: ie.HookedModel, pairs: PromptPairs, heads: list[str]) -> Answer:
    """Where the heads with the largest direct effect look from the last position."""
    answer, foil = ([attended(model, pairs, head, tokens) for head in heads] for tokens in (pairs.answer, pairs.foil))
    said = (f"{head} {to}, to the subject {other}" for head, to, other in zip(heads, answer, foil, strict=True))
    low, high = min(one.low for one in answer), max(one.high for one in answer)
    ours = f"{np.mean([one.value for one in answer]):.2f} on average: {'; '.join(said)}"
    return Answer("attention", ours, told(low > MOSTLY, high < MOSTLY), f"more than {MOSTLY} of each head's")


def attended(model: ie.HookedModel, pairs: PromptPairs, head: str, tokens: torch.Tensor) -> Interval:
    """Attention of one head from the last position to where a token of each pair stands."""
    layer, index = (int(part[1:]) for part in head.split("."))
    pattern: Any = ie.record(model, pairs.clean, patterns=True)["pattern", layer][:, index, -1].cpu().double()
    return mean_interval((pattern * (pairs.clean == tokens[:, None])).sum(1).numpy())


def inhibition(model: ie.HookedModel, pairs: PromptPairs, playing: dict[str, list[str]]) -> Answer:
    """The heads that move the queries of name movers, and their attention to the subject."""
    heads, known = playing.get("s_inhibition", []), "name_mover" in playing
    said = "; ".join(f"{head} {attended(model, pairs, head, pairs.foil)}" for head in heads)
    ours = f"attention to the subject: {said}" if heads else "no head plays s_inhibition"
    why = "heads play the role" if known else "there are no name movers whose queries could be moved"
    return Answer("s_inhibition", ours, bool(heads) if known else None, why)


if __name__ == "__main__":
    show("wang_2022", compare)
