"""Draw every figure from the tables of a study (by default runs/induction_emerges) and write the page with them."""

import inspect
import re
import sys
from pathlib import Path

import pandas as pd
from made import MADE

import interp_emerge as ie
from interp_emerge.emergence import sameness

DOCS = Path(__file__).parents[2] / "docs"
LARGEST, TWO, ALL = 60_000, ("25k", "200k"), ("ability", "seeds", "roles", "loss_changes")
"""Bytes of a picture; sizes whose circuits are compared; tables of which other abilities are drawn too."""
HEAD = """# What does each figure show?

Every picture is drawn from the tables of the bundled study by `python analyses/gallery/run.py`. A figure takes the
table that its first argument names, shows itself in a notebook without a network, and saves itself:
`ie.figures.role_map(study.table("roles")).save("roles.html")`, or `.png`, `.svg`, `.pdf`, `.json`, or `theme="dark"`.
"""


def main(run: str = "runs/induction_emerges") -> None:
    """Write docs/gallery.md and its pictures."""
    page = [HEAD]
    for name, chart in drawn(Path(run)):
        picture = picture_of(chart, DOCS / "gallery" / f"{name}.svg").name
        about = str(inspect.getdoc(ie.figures.shelf[name])).splitlines()[0]
        page.append(f"## {name}\n\n{about}\n\n![{about.rstrip('.')}](gallery/{picture})\n")
    (DOCS / "gallery.md").write_text("\n".join(page))


def drawn(folder: Path):
    """The name of each figure with its chart, if the study has written its table."""
    roles = of_induction(folder, "roles")
    options = {
        "circuit_graph": {"roles": roles.query("size == '560k'")},
        "circuits_side_by_side": same(folder, roles[roles["seed"] == 0]),
        "loss_over_training": {"changes": of_induction(folder, "loss_changes")},
    }
    for name in ie.figures.shelf.names():
        figure = ie.figures.shelf[name]
        table = next(iter(inspect.signature(figure).parameters))
        if name in MADE:
            yield name, figure(MADE[name]())
        elif (folder / "tables" / f"{table}.parquet").is_file():
            rows = of_induction(folder, table)
            yield name, figure(rows.query(FEWER[name]) if name in FEWER else rows, **options.get(name, {}))


def of_induction(folder: Path, table: str) -> pd.DataFrame:
    rows = pd.read_parquet(folder / "tables" / f"{table}.parquet")
    return rows if table in ALL else rows[rows["ability"] == "induction"]


FEWER = {
    "ability_by_checkpoint": "ability == 'induction' and seed == 0 and size in ['7k', '25k', '560k']",
    "ability_curve": "ability in ['induction', 'markov', 'two_hop']",
    "circuit_graph": "size == '560k' and seed == 0",
    "circuits_side_by_side": f"size in {TWO} and seed == 0",
    "formation": "quantity in ['accuracy', 'induction', 'previous_token'] and size in ['25k', '560k'] and seed == 0",
    "head_effects": "size in ['7k', '25k', '560k'] and seed == 0",
    "lead_and_lag": "quantity not in ['edge effect', 'effect'] and size in ['200k', '560k'] and seed == 0",
    "onset_intervals": "quantity not in ['edge effect', 'effect'] and at in ['', '200k', '560k']",
    "seed_spread": "ability in ['induction', 'markov', 'two_hop']",
}
"""The rows that are drawn, where those of a whole table make a large picture."""


def same(folder: Path, roles: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The match of the heads of two sizes, and what their circuits share."""
    files = [next((folder / "circuits").glob(f"induction-{size}-*-seed0.json")) for size in TWO]
    a, b = (ie.Circuit.load(file) for file in files)
    family = ie.load_family("miniature")
    rows = [roles[roles["size"] == size] for size in TWO]
    of_a, of_b = (sameness.head_features(family.load(at), table=own) for at, own in zip(TWO, rows, strict=True))
    match = sameness.match_heads(of_a, of_b)
    return {"match": match.to_frame(), "overlap": sameness.overlap_by_match(a, b, match).to_frame()}


def picture_of(chart, path: Path) -> Path:
    """The picture, without the words for screen readers, which the page has."""
    path.write_text(re.sub(r' (aria-\w+|role)="[^"]*"', "", chart.save(path).read_text()))
    print(path.name, "is too large; choose fewer rows in FEWER" if path.stat().st_size > LARGEST else "is drawn")
    return path


if __name__ == "__main__":
    main(*sys.argv[1:])
