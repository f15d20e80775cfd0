"""Score every construction of the family `handset` with every method, and say how well each finds the known circuit.

python analyses/ground_truth/run.py          # prints the tables
python analyses/ground_truth/run.py --keep   # and writes them between the markers of docs/ground_truth.md
"""

import sys
from pathlib import Path

import interp_emerge as ie

PAGE = Path(__file__).parents[2] / "docs" / "ground_truth.md"
START, END = "<!-- measured -->\n", "<!-- end of measured -->"
TITLES = {
    "edge_auroc": "AUROC of edges",
    "node_auroc": "AUROC of nodes",
    "faithfulness": "Faithfulness of as many edges as the true circuit has, the strongest by magnitude, on other pairs",
}


def main(*, keep: bool) -> None:
    """Print one table a measure: a row a method, a column a construction."""
    recovery = ie.recovery_table()
    parts = []
    for measure, title in TITLES.items():
        wide = recovery.pivot(index="method", columns="construction", values=measure)
        wide = wide[recovery["construction"].unique()].dropna(how="all")
        parts.append(f"{title}:\n\n" + as_markdown(["method", *wide.columns], wide.itertuples()))
    text = "\n".join(parts)
    print(text)
    if keep:
        before, _, rest = PAGE.read_text().partition(START)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{START}\n{text}\n{END}{after}")


def as_markdown(columns, rows) -> str:
    """A table whose first column names the row and whose others are numbers."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| `{name}` | {' | '.join(f'{value:.3f}' for value in values)} |" for name, *values in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(keep="--keep" in sys.argv[1:])
