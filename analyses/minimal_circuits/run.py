"""Find the smallest circuit of an ability in every size of a family, and how much it depends on the prompts.

python analyses/minimal_circuits/run.py                    # the bundled family, about four minutes on two cores
python analyses/minimal_circuits/run.py FAMILY ABILITY     # any other: a name, or a directory; --keep draws figure.svg
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import interp_emerge as ie
from interp_emerge.circuits import finding

PAIRS, REPEATS, TARGET = 64, 20, 0.8
MEASURED = "circuit"
"""Name of the circuit's own value in the figure; all other values are for comparison."""


def main(family: str = "miniature", ability: str = "induction", *, keep: bool) -> None:
    """Print a row a size, and the edges from previous-token heads into the keys of induction heads."""
    asked, models = ie.load_ability(ability), ie.load_family(family)
    rows, links, drawn = [], [], []
    for size in models.sizes:
        model = models.load(size)
        discovery, held_out = (asked.sample(model, PAIRS, seed=seed) for seed in (1000, 2000))
        found = ie.find_circuit(ie.Runs(model, discovery), target=TARGET)
        tested = ie.examine(ie.Runs(model, held_out), found.circuit, parts=("roles", "attention"))
        if not tested.evaluation.defined or not len(found.circuit):
            rows.append({"size": size, "verdict": "undefined: the clean-corrupt gap is within noise"})
            continue
        sets = [asked.sample(model, PAIRS, seed=3000 + at) for at in range(REPEATS)]
        again = finding.search_stability(ie.Runs(model, discovery), found.circuit, sets, target=TARGET)
        values = measured(found, tested, again)
        rows.append({"size": size, **row(found, tested, values)})
        drawn.append(values.assign(size=size))
        links += [{"size": size, **link} for link in key_edges(found.circuit, tested.tables["roles"])]
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))
    print(pd.DataFrame(links).to_string(index=False))
    if keep and drawn:
        about = {"thing": "size", "colour": "of", "panel": "quantity", "mark": TARGET}
        title = "share of the gap, or Jaccard index"
        ie.figures.interval_dots(pd.concat(drawn), title=title, **about).save(Path(__file__).with_name("figure.svg"))


def measured(found, tested, again) -> pd.DataFrame:
    """Faithfulness and both stabilities with their intervals, and the values to compare them with: one row a value."""
    fixed, unknown = finding.stability(found.scores, found.circuit), (np.nan, np.nan)
    kept, without = tested.evaluation, tested.without
    table = [
        ("faithfulness", MEASURED, kept.faithfulness, *kept.ci),
        ("faithfulness", "model without it", without.faithfulness, *without.ci),
    ]
    for name, one in (("stability, size fixed", fixed), ("stability, whole search", again)):
        table.append((name, MEASURED, one.jaccard.value, one.jaccard.low, one.jaccard.high))
        table.append((name, "random circuits", one.random, *unknown))
    return pd.DataFrame(table, columns=["quantity", "of", "value", "value_low", "value_high"])


def row(found, tested, values: pd.DataFrame) -> dict:
    """The printed line of one size."""
    circuit = found.circuit
    labels = tested.tables["roles"].query("label == True")
    seen = tested.tables["attention"].query("position == 'after first occurrence'").set_index("node")["attention"]
    attends = seen[seen.index.isin(labels[labels["role"] == "induction"]["node"])]
    return {
        "edges": f"{len(circuit)} of {circuit.graph.n_edges}",
        **{
            f"{one.quantity}, {one.of}": with_interval(one.value, one.value_low, one.value_high)
            for one in values.itertuples()
        },
        **{role: " ".join(labels[labels["role"] == role]["node"]) for role in ("previous_token", "induction")},
        "they attend": f"{attends.min():.2f} to {attends.max():.2f}",
        "others attend": f"{seen.drop(attends.index).max():.2f} at most",
        "verdict": f"{'reaches' if tested.evaluation.faithfulness >= TARGET else 'falls short of'} {TARGET}",
    }


def with_interval(value, low, high) -> str:
    return f"{value:.2f}" + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")


def key_edges(circuit: ie.Circuit, roles: pd.DataFrame) -> list[dict]:
    """Edges from labelled previous-token heads into the keys of labelled induction heads."""
    labels = roles.query("label == True")
    before, after = (set(labels[labels["role"] == role]["node"]) for role in ("previous_token", "induction"))
    return [
        {"from": writer, "into": edge["reader"], "score": round(edge["score"], 3)}
        for writer, _, edge in circuit.to_networkx().in_edges(sorted(after & set(circuit.heads)), data=True)
        if writer in before and edge["reader"].endswith(".k")
    ]


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)
