"""Ablate an ability's final circuit at every checkpoint, and run circuits of some checkpoints and seeds in others.

python analyses/when_it_depends/run.py                    # the bundled family, about two minutes on two idle cores
python analyses/when_it_depends/run.py FAMILY ABILITY     # any other: a name, or a directory; --keep draws figure.svg
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import interp_emerge as ie
from interp_emerge.circuits import roles
from interp_emerge.emergence import forming, sameness

PAIRS, MOST_STEPS, EXCHANGED = 48, 12, 4  # EXCHANGED: number of steps with a gap that exchange circuits
ROLES, DRAWN = ("previous_token", "induction"), ("circuit heads", "previous_token", "induction")
CRITERIA = ["logit_diff, above random", "accuracy, half of last"]
ENDS = ("last_without", "first_with", "ci_low", "ci_high")


def main(name: str = "miniature", ability_name: str = "induction", *, keep: bool) -> None:
    """Print when each run comes to depend on its final circuit, the share of the gap, and which circuits transfer."""
    family, _ = asked = ie.load_family(name), ie.load_ability(ability_name)
    found = {(size, seed): depends(*asked, size, seed) for size in family.sizes for seed in family.seeds(size)}
    known = {run: result for run, result in found.items() if result is not None}
    print("no circuit:", *(f"{size}/seed{seed}" for size, seed in found if (size, seed) not in known))
    print(pd.concat([onsets(*run, result) for run, result in known.items()]).to_string(index=False, na_rep="-"))
    for size, seed in [run for run in known if run[0] in family.sizes[-2:]]:
        print(f"\n{size}, seed {seed}: drop as a share of the gap [95%], p by rank\n{shares(known[size, seed].table)}")
        gap = known[size, seed].table.query("metric == 'logit_diff' and `drop`.notna()")["step"].unique()
        spread = gap[np.linspace(0, len(gap) - 1, min(len(gap), EXCHANGED)).round().astype(int)]
        steps = np.union1d(spread, family.steps(size, seed)[-1:]).astype(int).tolist()
        print(f"\n{size}, seed {seed}, steps\n{transfers(*asked, {str(step): (size, step, seed) for step in steps})}")
    for size in dict.fromkeys(size for size, seed in known if seed):
        last = {f"seed {seed}": (size, family.steps(size, seed)[-1], seed) for seed in family.seeds(size)}
        print(f"\n{size}, seeds\n{transfers(*asked, last)}")
    if keep:
        tables = pd.concat(one.table.assign(run=f"{size}, seed {seed}") for (size, seed), one in known.items())
        drawn = tables.query("metric == 'logit_diff' and component in @DRAWN")
        about = {"colour": "component", "panel": "run", "titles": ("training step", "share of the gap lost")}
        ie.figures.interval_lines(drawn, x="step", value="share", **about).save(Path(__file__).with_name("figure.svg"))


def circuit_of(family, ability, size, step, seed, found={}):  # noqa: B006 (it keeps what was found)
    if (size, step, seed) not in found:
        model = family.load(size, step, seed)
        found[size, step, seed] = ie.find_circuit(ie.Runs(model, ability.sample(model, PAIRS, seed=1000))).circuit
    return found[size, step, seed]


def depends(family, ability, size, seed):
    """Dependence of the checkpoints on the circuit of the last one; None if that has no circuit."""
    steps = family.spaced_steps(size, seed, at_most=MOST_STEPS)
    last, circuit = family.load(size, seed=seed), circuit_of(family, ability, size, steps[-1], seed)
    if not len(circuit):
        return None
    pairs = ability.sample(last, PAIRS, seed=2000)
    labels = roles.label_heads(ie.Runs(last, pairs), circuit, roles=ROLES).query("label == True")
    parts = forming.parts_of(circuit, roles={role: [*labels[labels["role"] == role]["node"]] for role in ROLES})
    models = [(step, lambda step=step: family.load(size, step, seed)) for step in steps]
    return forming.dependence(models, circuit, pairs, parts=[part for part in parts if part.kind != "head"])


def transfers(family, ability, places) -> str:
    """Faithfulness of each place's circuit (rows) in each place's model (columns); * above random circuits."""
    circuits = {label: found for label, at in places.items() if len(found := circuit_of(family, ability, *at))}
    models = [(label, lambda place=place: family.load(*place)) for label, place in places.items()]
    found = sameness.transfer(circuits, models, lambda model: ability.sample(model, PAIRS, seed=2000))
    found["text"] = [written(row, "faithfulness", "ci", row["p_value"]) for row in found.to_dict("records")]
    wide = found.pivot(index=["circuit", "n_edges"], columns="model", values="text")
    wide = wide.reindex([*circuits], level="circuit")[[*places]]
    return f"{wide.to_string()}\nlargest 95th percentile of random circuits: {found['random_p95'].max():.2f}"


def onsets(size, seed, result) -> pd.DataFrame:
    """One row for each part: for each criterion the checkpoints around its onset, with the interval of the onset."""
    asked = result.onsets["metric"] + ", " + result.onsets["criterion"]
    table = result.onsets.assign(model=f"{size}/seed{seed}", asked=asked)
    before, after, low, high = (table[name].astype("string").fillna("none") for name in ENDS)
    table["text"] = before + " to " + after + " [" + low + ", " + high + "] " + table["verdict"]
    wide = table.pivot(index=["model", "component"], columns="asked", values="text")
    return wide[CRITERIA].reindex(table["component"].unique(), level=1).reset_index()


def shares(table) -> str:
    rows = table[(table["metric"] == "logit_diff") & table["drop"].notna()].copy()
    rows["text"] = [f"{written(row, 'share', 'share')} p={row['p_value']:.3f}" for row in rows.to_dict("records")]
    return rows.pivot(index="step", columns="component", values="text").drop(columns="every edge").to_string()


def written(row: dict, name: str, ends: str, p_value: float = 1.0) -> str:
    text = f"{row[name]:.2f} [{row[f'{ends}_low']:.2f}, {row[f'{ends}_high']:.2f}]"
    return text + "*" * (p_value < 0.05) if pd.notna(row[name]) else "undefined"


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)
