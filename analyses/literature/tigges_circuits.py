"""How circuits of indirect objects change over training and with size, as in Tigges et al., 2024.

python analyses/literature/tigges_circuits.py           # the bundled family
python analyses/literature/tigges_circuits.py FAMILY    # any other: a name, or a directory of checkpoints

Circuits are the strongest edges by EAP-IG that keep 80% of the clean-corrupt gap, as in the source.
"""

import numpy as np
import pandas as pd
from comparing import Answer, Asked, show, told

import interp_emerge as ie
from interp_emerge.abilities import Ability
from interp_emerge.emergence import sameness
from interp_emerge.stats import Interval

PAIRS, TARGET, R, TWICE, HALF, FEWEST = 64, 0.8, 0.72, 2, 0.5, 4


def circuit_of(asked: Asked, ability: Ability, size: str, step: int, seed: int) -> ie.Circuit:
    """The circuit of one checkpoint; empty if there is no gap."""
    model = asked.family.load(size, step, seed)
    runs = ie.Runs(model, ability.sample(model, PAIRS))
    return ie.find_circuit(runs, target=TARGET, local_search=False, sure=False).circuit


def circuits_of(asked: Asked, ability: Ability, size: str, seed: int) -> dict[int, ie.Circuit]:
    """The circuits of a run's checkpoints that have one."""
    found = {step: circuit_of(asked, ability, size, step, seed) for step in asked.steps_of(size, seed)}
    return {step: one for step, one in found.items() if len(one)}


def over_training(
    asked: Asked, ability: Ability, size: str, seed: int, circuits: dict[int, ie.Circuit]
) -> tuple[Answer, Answer]:
    """How heads leave the circuit, whether the first circuit does at the end, and how sizes vary."""
    if len(circuits) < 2:
        few = (f"{len(circuits)} checkpoints have a circuit", None, "2 are needed")
        return Answer("turnover", *few), Answer("fluctuates", *few)
    table, (first, *_, last) = sameness.turnover(circuits), [*circuits]
    model = asked.family.load(size, last, seed)
    kept = ie.evaluate(model, circuits[first], ability.sample(model, PAIRS, seed=1)).interval
    at_first, at_last = ({*circuits[step].heads} for step in (first, last))
    gone, nodes = at_first - at_last, table["node_jaccard"].dropna()
    ours = (
        f"{size}: nodes of neighbouring checkpoints have Jaccard indices of {nodes.min():.2f} to {nodes.max():.2f}; "
        f"{len(gone)} of {len(at_first)} heads of step {first} are gone at step {last}; there the first circuit keeps "
        f"{kept} of the gap"
    )
    rule = f"heads leave, and the first circuit keeps more than {HALF} of the gap at the end"
    counts = [len(one) for one in circuits.values()]
    spread = f"{size}: {min(counts)} to {max(counts)} edges over {len(counts)} checkpoints"
    return (
        Answer("turnover", ours, told(bool(gone) and kept.low > HALF, not gone or kept.high < HALF), rule),
        Answer("fluctuates", spread, max(counts) >= TWICE * min(counts), f"by a factor of {TWICE}"),
    )


def over_sizes(asked: Asked, ability: Ability) -> Answer:
    """Pearson's correlation of the number of edges with parameters over sizes, means over seeds, Fisher's interval."""
    rows = []
    for size, seed in asked.runs():
        model = asked.family.load(size, seed=seed)
        edges = len(circuit_of(asked, ability, size, model.spec.step, seed))
        rows += [{"size": size, "parameters": model.n_parameters, "edges": edges}] * (edges > 0)
    if len({row["size"] for row in rows}) < FEWEST:
        return Answer("size", f"{len(rows)} runs have a circuit", None, f"{FEWEST} sizes are needed")
    means = pd.DataFrame(rows).groupby("size", sort=False).mean()
    centre, reach = np.arctanh(np.corrcoef(means["parameters"], means["edges"])[0, 1]), 1.96 / np.sqrt(len(means) - 3)
    r = Interval(*(float(np.tanh(centre + shift)) for shift in (0, -reach, reach)))
    said = ", ".join(f"{size}: {edges:.1f}" for size, edges in means["edges"].items())
    holds = told(0 < r.low <= R <= r.high, not r.low <= R <= r.high)
    return Answer("size", f"r = {r} over {len(means)} sizes; mean edges {said}", holds, f"{R} inside, 0 outside")


if __name__ == "__main__":

    def compare(asked: Asked) -> tuple[list[Answer], pd.DataFrame]:
        ability, (size, seed) = ie.load_ability(asked.indirect_object), [*asked.runs()][-1]
        circuits = circuits_of(asked, ability, size, seed)
        return [*over_training(asked, ability, size, seed, circuits), over_sizes(asked, ability)], pd.DataFrame()

    show("tigges_2024", compare)
