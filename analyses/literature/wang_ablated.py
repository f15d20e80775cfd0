"""What a model keeps of indirect objects without its strongest heads, and with heads of known roles alone.

python analyses/literature/wang_ablated.py           # the largest model of the bundled family
python analyses/literature/wang_ablated.py FAMILY    # any other: a name, or a directory of checkpoints

Ablated heads have their mean over the corrupted prompts at each position, as in Wang et al., 2022.
"""

import pandas as pd
from comparing import Answer, show, told

import interp_emerge as ie
from interp_emerge.abilities import PromptPairs
from interp_emerge.stats import ratio_interval

KEPT, LOST = 0.8, 0.5


def ablations(model: ie.HookedModel, pairs: PromptPairs, strongest: list[str], playing: pd.DataFrame) -> list[Answer]:
    """The shares of the logit difference that are lost without some heads, and kept by the heads with a role."""
    whole, heads = ie.ablate(model, [], pairs), [node.name for node in model.graph.nodes(["head"])]
    without = ie.ablate(model, strongest, pairs, ablation="mean_by_position")
    lost = ratio_interval(whole - without, whole)
    others = [head for head in heads if head not in {*playing["node"]}]
    kept = ratio_interval(ie.ablate(model, others, pairs, ablation="mean_by_position"), whole)
    roles = (
        ", ".join(f"{len(rows)} {role}" for role, rows in playing.groupby("role", sort=False)) or "no role is played"
    )
    ours = f"{len(heads) - len(others)} of {len(heads)} heads ({roles}) keep {kept}"
    fall = f"without {', '.join(strongest)} the logit difference falls by {lost:.0%}"
    return [
        Answer("backup", fall, told(lost.high < LOST, lost.low > LOST), f"less than {LOST:.0%} is lost"),
        Answer("circuit", ours, told(kept.low > KEPT, kept.high < KEPT), f"at least {KEPT}"),
    ]


if __name__ == "__main__":
    from wang_2022 import compare

    show(
        "wang_2022",
        lambda asked: ([one for one in compare(asked)[0] if one.claim in ("backup", "circuit")], pd.DataFrame()),
    )
