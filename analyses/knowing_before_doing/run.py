"""Probe what models know of an ability's variables, exchange it to see whether it is used, and find which comes first.

python analyses/knowing_before_doing/run.py                   # four abilities of the bundled family, under 4 minutes
python analyses/knowing_before_doing/run.py two_hop           # one ability, or several; --keep draws figure.svg
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

import pandas as pd
import torch

import interp_emerge as ie
from interp_emerge.emergence import forming

FAMILY, PAIRS, STEPS, PROCESSES = "miniature", 128, 10, 2
ABILITIES = ("induction", "indirect_object", "fact_recall", "two_hop")
COLUMNS = ["question", "first_with", "ci_low", "ci_high", "verdict", "level", "lead", "reason"]


def main(abilities: tuple[str, ...], *, keep: bool) -> None:
    """Print, for each ability, accuracy by layer at each size, uses, and onsets over sizes and over the largest run."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        found = dict(zip(abilities, processes.map(follow, abilities), strict=True))
    for name, (probes, uses, onsets) in found.items():
        print(f"\n=== {name}\n\naccuracy at the last step, first seed\n{by_layer(probes)}")
        if len(uses):
            print(f"\nshare of the gap beyond placebos, last step\n{shares(uses)}")
        for (axis, at), rows in onsets.groupby(["axis", "at"], sort=False):
            print(f"\nonsets over {axis}s {at}\n{written(rows)}")
    if keep:
        rows = pd.concat(onsets[onsets["axis"] == "step"] for *_, onsets in found.values())
        ends = ["first_with", "ci_low", "ci_high"]
        rows[ends] = rows[ends].apply(pd.to_numeric)
        rows = rows[rows["question"].isin(["known", "used", "ability"]) & rows["first_with"].notna()]
        named = (rows["variable"] + " at " + rows["position"]).where(rows["question"] != "ability", "the ability")
        rows = rows.assign(thing=rows["ability"].str.replace("_", " ") + ": " + named)
        about = {"value": "first_with", "ends": ("ci_low", "ci_high"), "colour": "question", "scale": "symlog"}
        rows, title = rows.drop_duplicates(["thing", "question"]), "training step of the largest size"
        ie.figures.interval_dots(rows, thing="thing", title=title, **about).save(Path(__file__).with_name("figure.svg"))


def follow(name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Probes, uses and onsets of one ability: every run at its last step, and the largest size at every step."""
    torch.set_num_threads(1)
    family, ability = ie.load_family(FAMILY), ie.load_ability(name)
    models = [(size, family.steps(size, seed)[-1], seed) for size in family.sizes for seed in family.seeds(size)]
    models += [(family.sizes[-1], step, 0) for step in family.spaced_steps(family.sizes[-1], 0, at_most=STEPS)[:-1]]
    found, accuracy, parameters = {}, {}, {}
    for at in models:
        model = family.load(*at)
        pairs = ability.sample(model, PAIRS)
        found[at] = forming.knowing_at(model, pairs)
        right = model.logits(pairs.clean).argmax(-1).cpu() == pairs.answer
        accuracy[*at, name], parameters[at[0]] = right.double().numpy(), model.n_parameters
    probes, uses = (
        pd.concat([one.tables[which].assign(size=at[0], step=at[1], seed=at[2]) for at, one in found.items()])
        for which in ("probes", "uses")
    )
    return probes, uses, forming.knowing_onsets(found, accuracy, ability, parameters)


def by_layer(probes: pd.DataFrame) -> str:
    """Accuracy with its interval at each layer of each size; beside it the embedding and the untrained model."""
    rows = last(probes)
    rows["text"] = [f"{one.accuracy:.2f} [{one.ci_low:.2f}, {one.ci_high:.2f}]" for one in rows.itertuples()]
    rows["controls"] = [f"{one.embedding:.2f}, {one.untrained:.2f}" for one in rows.itertuples()]
    wide = rows.pivot(index=["variable", "position", "layer"], columns="size", values=["text", "controls"])
    sizes = [*dict.fromkeys(rows["size"])]
    columns = [(kind, size) for kind, of in (("text", sizes), ("controls", sizes[-1:])) for size in of]
    return wide[columns].fillna("").to_string(header=[*sizes, "embedding, untrained"])


def shares(uses: pd.DataFrame) -> str:
    """What an exchange moves beyond placebos, at each layer that decodes; * where this is certain (q < 0.05)."""
    rows = last(uses).dropna(subset="share")
    rows["text"] = [f"{one['share']:.2f}" + "*" * (one["q_value"] < 0.05) for one in rows.to_dict("records")]
    wide = rows.pivot(index=["variable", "position", "layer"], columns="size", values="text")
    return wide[[*dict.fromkeys(rows["size"])]].fillna("").to_string()


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step of each size's first seed."""
    return rows[(rows["seed"] == 0) & (rows["step"] == rows.groupby("size")["step"].transform("max"))].copy()


def written(rows: pd.DataFrame) -> str:
    """Onsets with their intervals, one line for each question."""
    return rows.set_index(["variable", "position"])[COLUMNS].round(2).to_string(na_rep="-")


if __name__ == "__main__":
    main(tuple(word for word in sys.argv[1:] if word != "--keep") or ABILITIES, keep="--keep" in sys.argv)
