"""Find the smallest circuit of an ability in every size of a family, and say how much of it other prompts would change.

python analyses/minimal_circuits/run.py                    # the bundled family, about three minutes on two idle cores
python analyses/minimal_circuits/run.py FAMILY ABILITY     # any other: a name, or a directory of checkpoints
"""

import sys

import pandas as pd

import interp_emerge as ie

PAIRS, RESAMPLES = 64, 20


def main(family: str = "miniature", ability: str = "induction") -> None:
    """Print a row a size, and the edges from previous-token heads into the keys of induction heads."""
    asked, models = ie.load_ability(ability), ie.load_family(family)
    rows, links = [], []
    for size in models.sizes:
        model = models.load(size)
        discovery, held_out = (asked.sample(model, PAIRS, seed=seed) for seed in (1000, 2000))
        found = ie.find_circuit(model, discovery)
        tested = ie.examine(model, found.circuit, held_out, parts=("roles", "attention"))
        if not tested.evaluation.defined or not len(found.circuit):
            rows.append({"size": size, "verdict": "undefined: the clean-corrupt gap is within noise"})
            continue
        again = ie.search_stability(model, discovery, found.circuit, resamples=RESAMPLES)
        rows.append(row(size, found, tested, again))
        links += [{"size": size, **link} for link in key_edges(found.circuit, tested.tables["roles"])]
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))
    print(pd.DataFrame(links).to_string(index=False))


def row(size, found, tested, again) -> dict:
    """The measured line of one size."""
    circuit, kept = found.circuit, tested.evaluation
    fixed = ie.stability(found.scores, circuit).jaccard
    labels = tested.tables["roles"].query("label == True")
    seen = tested.tables["attention"].query("position == 'after first occurrence'").set_index("node")["attention"]
    attends = seen[seen.index.isin(labels[labels["role"] == "induction"]["node"])]
    return {
        "size": size,
        "edges": f"{len(circuit)} of {circuit.graph.n_edges}",
        "faithfulness": f"{kept.faithfulness:.2f} [{kept.ci[0]:.2f}, {kept.ci[1]:.2f}]",
        "without": f"{tested.without.faithfulness:.2f}",
        "stability": f"{fixed.value:.2f} [{fixed.low:.2f}, {fixed.high:.2f}]",
        "search": f"{again.jaccard.value:.2f} [{again.jaccard.low:.2f}, {again.jaccard.high:.2f}]",
        "random": f"{again.random:.2f}",
        **{role: " ".join(labels[labels["role"] == role]["node"]) for role in ("previous_token", "induction")},
        "they attend": f"{attends.min():.2f} to {attends.max():.2f}",
        "others attend": f"{seen.drop(attends.index).max():.2f} at most",
        "verdict": "reaches 0.8" if kept.faithfulness >= 0.8 else "falls short of 0.8",
    }


def key_edges(circuit: ie.Circuit, roles: pd.DataFrame) -> list[dict]:
    """Edges from labelled previous-token heads into the keys of labelled induction heads."""
    labels = roles.query("label == True")
    before, after = (set(labels[labels["role"] == role]["node"]) for role in ("previous_token", "induction"))
    return [
        {"from": writer, "into": edge["reader"], "score": round(edge["score"], 3)}
        for writer, _, edge in circuit.to_networkx().in_edges(after & set(circuit.heads), data=True)
        if writer in before and edge["reader"].endswith(".k")
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
