"""Put what a family measures beside what six papers found, and keep it.

python analyses/literature/run.py                          # the bundled family, all papers
python analyses/literature/run.py --papers xu_2026         # some of them
python analyses/literature/run.py pythia --sizes 70m 160m 410m --at-most 24 --text FILE    # public checkpoints
python analyses/literature/run.py --keep                   # and writes measured.csv, docs/literature.md and the figures
                                                           # olsson_2022.svg, xu_2026.svg and dip_2026.svg
"""

from importlib import import_module
from time import process_time

import pandas as pd
from comparing import asked, beside, published
from page import HERE, MEASURED, write

import interp_emerge as ie

KEPT = ("paper", "claim", "ours", "verdict", "why", "seconds")


def main() -> None:
    """Compare with each paper in turn, and count the verdicts at the end."""
    given, options = asked(papers=True)
    tables = []
    for paper in options.papers:
        start = process_time()
        answers, curve = import_module(paper).compare(given)
        table = beside(paper, answers).assign(seconds=0)
        if {*table["claim"]} != {*published(paper)["claim"]}:
            raise ValueError(f"{paper} answers {sorted(table['claim'])}, which are not its claims in published.csv")
        table["seconds"] = round(process_time() - start)
        print(table[["says", "number", "ours", "verdict", "why"]].to_csv(sep="\n", index=False, header=False))
        tables.append(table)
        if options.keep:
            keep(paper, table, curve)
    print(pd.concat(tables).groupby(["paper", "verdict"], sort=False).size().to_string())


def keep(paper: str, table: pd.DataFrame, curve: pd.DataFrame) -> None:
    """Replace the rows of one paper in what is kept, draw its curves, and write the page."""
    kept = pd.read_csv(MEASURED) if MEASURED.is_file() else table[:0]
    rows = pd.concat([kept[kept["paper"] != paper], table])[[*KEPT]]
    rows.sort_values("paper", kind="stable").to_csv(MEASURED, index=False)
    if len(curve):
        panels = curve["run"].str.partition(", ")
        drawn = curve.assign(size=panels[0], seed=panels[2])
        titles = ("training step", curve["panel"].iloc[0])
        about = {"x": "step", "panel": "size", "colour": "seed", "scales": ("symlog", "linear")}
        ie.figures.interval_lines(drawn, titles=titles, **about).save(HERE / f"{paper}.svg")
    write()


if __name__ == "__main__":
    main()
