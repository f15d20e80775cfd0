"""Ablate an ability's final circuit at every checkpoint, and run circuits of some checkpoints and seeds in others.

python analyses/when_it_depends/run.py                    # the bundled family, about two minutes on two idle cores
python analyses/when_it_depends/run.py FAMILY ABILITY     # any other: a name, or a directory of checkpoints
"""

import sys
from functools import cache

import pandas as pd

import interp_emerge as ie

PAIRS = 48
ROLES = ("previous_token", "induction")
CRITERIA = (("logit_diff", "above random"), ("accuracy", "half of last"))
STEPS = (250, 500, 750, 1500, 5000)
"""Checkpoints of the two largest sizes that exchange circuits."""


def main(family: str = "miniature", ability: str = "induction") -> None:
    """Print from when each run depends on its final circuit, how much of the gap hangs on it, and what transfers."""
    runs = Runs(family, ability)
    found = {(size, seed): runs.depends(size, seed) for size in runs.family.sizes for seed in runs.family.seeds(size)}
    known = {run: result for run, result in found.items() if result is not None}
    print("no circuit:", *(f"{size}/seed{seed}" for size, seed in found if (size, seed) not in known))
    print(pd.concat([onsets(*run, result) for run, result in known.items()]).to_string(index=False, na_rep="-"))
    for size in [size for size in runs.family.sizes[-2:] if (size, 0) in known]:
        print(f"\n{size}: drop as a share of the gap [95%], p by rank; logit_diff\n{shares(known[size, 0].table)}")
        steps = [step for step in runs.family.steps(size) if step in STEPS]
        print(f"\n{size}, steps\n{runs.transfers({str(step): (size, step, 0) for step in steps})}")
    for size in dict.fromkeys(size for size, seed in known if seed):
        last = {f"seed {seed}": (size, runs.family.steps(size, seed)[-1], seed) for seed in runs.family.seeds(size)}
        print(f"\n{size}, seeds\n{runs.transfers(last)}")


class Runs:
    """A family and an ability, with the circuits that were found so far."""

    def __init__(self, family: str, ability: str) -> None:
        self.family, self.ability = ie.load_family(family), ie.load_ability(ability)
        self.circuit = cache(self._circuit)

    def _circuit(self, size, step, seed):
        model = self.family.load(size, step, seed)
        return ie.find_circuit(model, self.ability.sample(model, PAIRS, seed=1000)).circuit

    def held_out(self, model):
        return self.ability.sample(model, PAIRS, seed=2000)

    def depends(self, size, seed):
        """Dependence on the last checkpoint's circuit at every checkpoint; None where it has no circuit."""
        last, circuit = self.family.load(size, seed=seed), self.circuit(size, self.family.steps(size, seed)[-1], seed)
        if not len(circuit):
            return None
        pairs = self.held_out(last)
        labels = ie.label_heads(last, circuit, pairs, roles=ROLES).query("label == True")
        parts = ie.parts_of(circuit, roles={role: [*labels[labels["role"] == role]["node"]] for role in ROLES})
        steps = [(step, lambda step=step: self.family.load(size, step, seed)) for step in self.family.steps(size, seed)]
        return ie.dependence(steps, circuit, pairs, parts=[part for part in parts if part.kind != "head"])

    def transfers(self, places) -> str:
        """Faithfulness of each place's circuit (rows) in each place's model (columns); * above random circuits."""
        circuits = {label: self.circuit(*place) for label, place in places.items()}
        circuits = {label: circuit for label, circuit in circuits.items() if len(circuit)}
        models = [(label, lambda place=place: self.family.load(*place)) for label, place in places.items()]
        found = ie.transfer_matrix(circuits, models, self.held_out)
        text = [
            "undefined" if row["note"] else
            f"{row['faithfulness']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]{'*' * (row['p_value'] < 0.05)}"
            for row in found.to_dict("records")
        ]  # fmt: skip
        wide = found.assign(text=text).pivot(index=["circuit", "n_edges"], columns="model", values="text")
        wide = wide.reindex([*circuits], level="circuit")[[*places]]
        return f"{wide.to_string()}\nlargest 95th percentile of random circuits: {found['random_p95'].max():.2f}"


def onsets(size, seed, result) -> pd.DataFrame:
    rows = []
    for part, here in result.onsets.groupby("component", sort=False):
        row = {"model": f"{size}/seed{seed}", "ablated": part, "random": here["n_random"].iloc[0]}
        for metric, criterion in CRITERIA:
            one = here[(here["metric"] == metric) & (here["criterion"] == criterion)].iloc[0]
            ends = [*one[["last_without", "first_with", "ci_low", "ci_high"]].astype("string").fillna("none")]
            row[f"{metric}, {criterion}"] = f"{ends[0]} to {ends[1]} [{ends[2]}, {ends[3]}] {one['verdict']}"
        rows.append(row)
    return pd.DataFrame(rows)


def shares(table) -> str:
    rows = table[(table["metric"] == "logit_diff") & table["drop"].notna()]
    text = [f"{row['share']:.2f} [{row['share_low']:.2f}, {row['share_high']:.2f}] p={row['p_value']:.3f}"
            for row in rows.to_dict("records")]  # fmt: skip
    wide = rows.assign(text=text).pivot(index="step", columns="component", values="text")
    return wide.drop(columns="every edge").to_string()


if __name__ == "__main__":
    main(*sys.argv[1:])
