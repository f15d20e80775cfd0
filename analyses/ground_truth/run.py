"""Score every construction of the family `handset` with every method, and measure how well each finds its circuit.

python analyses/ground_truth/run.py          # prints the tables
python analyses/ground_truth/run.py --keep   # and writes them between the markers of docs/ground_truth.md
"""

import sys
from pathlib import Path

import numpy as np

import interp_emerge as ie
from interp_emerge.circuits import testing

PAGE = Path(__file__).parents[2] / "docs" / "ground_truth.md"
TITLES = {
    "edge_auroc": "AUROC of edges",
    "node_auroc": "AUROC of nodes",
    "faithfulness": "Faithfulness, on other pairs, of the strongest edges by magnitude, in the true circuit's number",
}
EDGE_METHODS = ("exact_edges", "acdc", "eap", "clean_corrupted", "eap_ig", "eap_ig_activations")
NODE_METHODS = ("ablation", "atp_star")
STEPS = (1, 2, 3, 4, 5, 6, 10, 20, 50)


def main(*, keep: bool) -> None:
    """Print the measures of whole rankings, then the scores of single edges and nodes that explain them."""
    for block, text in (("measured", rankings()), ("single scores", single_scores())):
        print(text)
        if keep:
            start, end = f"<!-- {block} -->\n", f"<!-- end of {block} -->"
            before, _, rest = PAGE.read_text().partition(start)
            _, _, after = rest.partition(end)
            PAGE.write_text(f"{before}{start}\n{text}\n{end}{after}")


def rankings() -> str:
    """One table for each measure, with one row a method and one column a construction."""
    recovery, parts = ie.circuits.recovery_table(), []
    for measure, title in TITLES.items():
        wide = recovery.pivot(index="method", columns="construction", values=measure)
        wide = wide[recovery["construction"].unique()].dropna(how="all")
        parts.append(as_markdown(title, ["method", *wide.columns], wide.itertuples(), form=".3f"))
    return "\n".join(parts)


def single_scores() -> str:
    """Scores of true and silent edges, the largest score of other edges, of single nodes, and of one edge by steps."""
    known, parts = {name: ie.circuits.ground_truth(name) for name in ie.load_family("handset").sizes}, []
    edges = {name: [score(truth, method).scores for method in EDGE_METHODS] for name, truth in known.items()}
    for name in ("backup", "induction"):
        rows = [(edge, *(scores[at] for scores in edges[name])) for edge, at in places_of(known[name]).items()]
        parts.append(as_markdown(f"Scores of single edges of `{name}`", ["edge", *EDGE_METHODS], rows))
    rest = {name: truth.model.graph.exists & ~(truth.circuit | truth.silent).kept for name, truth in known.items()}
    most = [[abs(scores[rest[name]]).max() for scores in edges[name]] for name in known]
    largest = "Largest score of an edge that is neither true nor silent"
    parts.append(as_markdown(largest, ["method", *known], zip(EDGE_METHODS, *most, strict=True)))
    rows = []
    for name, node in (("backup", "a1.h0"), *((name, "a0.h0") for name in known)):
        tables = [score(known[name], method).to_frame().set_index("node") for method in NODE_METHODS]
        rows.append((f"{name}: {node}", *(table["score"][node] for table in tables)))
    parts.append(as_markdown("Scores of single nodes", ["node", *NODE_METHODS], rows))
    query = places_of(known["induction"])["embed → a1.h0.q"]
    row = ("eap_ig", *(score(known["induction"], "eap_ig", steps=steps).scores[query] for steps in STEPS))
    parts.append(as_markdown("Score of `embed → a1.h0.q` in `induction`", ["steps", *map(str, STEPS)], [row]))
    parts.append(as_markdown("Gap kept in `backup`", ["edges", "share"], shares_kept(known["backup"]), form=".3f"))
    return "\n".join(parts)


def score(truth, method: str, **options):
    """The scores that a method gives on the construction's own pairs."""
    return ie.score(truth.model, truth.pairs, method=method, **options)


def places_of(truth) -> dict[str, tuple[int, int]]:
    """Names of true edges, then of silent ones, with their index in an array of writers and readers."""
    graph, places = truth.model.graph, [*np.argwhere(truth.circuit.kept), *np.argwhere(truth.silent.kept)]
    return {f"{graph.writer_names[at[0]]} → {graph.reader_names[at[1]]}": tuple(at) for at in places}


def shares_kept(truth) -> list[tuple[str, float]]:
    """Faithfulness of the edges with an exact effect, and of circuit and model without the greedy set of nodes."""
    strongest = ie.evaluate(truth.model, score(truth, "exact_edges").top(4), truth.pairs).faithfulness
    runs = ie.Runs(truth.model, truth.pairs)
    picked = testing.completeness(runs, truth.circuit, strategies=["greedy"]).knock_outs[-1]
    without = f"without the greedy set {' '.join(picked.nodes)}"
    kept = (strongest, picked.f_circuit, picked.f_model)
    return [*zip(("four strongest of exact_edges", f"circuit {without}", f"model {without}"), kept, strict=True)]


def as_markdown(title: str, columns, rows, *, form: str = ".3g") -> str:
    """A title and a table whose first column names the row and whose other columns are numbers."""
    lines = [f"{title}:\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| `{name}` | {' | '.join(f'{value:{form}}' for value in values)} |" for name, *values in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(keep="--keep" in sys.argv[1:])
