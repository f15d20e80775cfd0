"""Carry the circuit of each size, and of each seed of one size, into all other models and run it there.

python analyses/circuit_transfer/run.py                         # the bundled family, under a minute on two cores
python analyses/circuit_transfer/run.py FAMILY ABILITY [SIZE]   # any other, and a size whose seeds all take part
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import altair as alt
import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import sameness

PAIRS, TARGET = 64, 0.8
BUNDLED = ("miniature", "induction")
WAYS = ("matched heads", "roles")
CELL = {"width": alt.Step(72), "height": alt.Step(34)}


def main(family: str = BUNDLED[0], ability: str = BUNDLED[1], seeds_of: str = "14k") -> None:
    """Print what each circuit keeps in each model, with its nulls, and draw it."""
    models, asked = ie.load_family(family), ie.load_ability(ability)
    places = dict(places_of(models, seeds_of))
    circuits, features = {}, {}
    for label, place in places.items():
        model = models.load(*place)
        found = ie.find_circuit(ie.Runs(model, asked.sample(model, PAIRS, seed=1000)), target=TARGET)
        assert isinstance(found.scores, ie.EdgeScores)
        features[label] = sameness.head_features(model, found.scores)
        if found.circuit.origin["selection"]["reached"]:
            circuits[label] = found.circuit
        print(f"{label}: {found.circuit if label in circuits else 'no circuit'}")
    loaded = [(label, partial(models.load, *place)) for label, place in places.items()]
    table = sameness.transfer_by_match(circuits, features, loaded, lambda model: asked.sample(model, PAIRS, seed=2000))
    shown(table)
    here = Path(__file__).parent if (family, ability) == BUNDLED else Path()
    figure(table).save(here / "figure.svg")


def places_of(models, seeds_of: str) -> Iterator[tuple[str, tuple[str, Literal["last"], int]]]:
    """The last checkpoint of the first seed of each size, and of every seed of one size, by label."""
    for size in models.sizes:
        seeds = models.seeds(size)
        for seed in seeds if size == seeds_of else seeds[:1]:
            yield (f"{size}/{seed}" if size == seeds_of else size), (size, "last", seed)


def shown(table: pd.DataFrame) -> None:
    """Print each way as a matrix with a row for each circuit and a column for each model, then all nulls."""
    labels = [*table["to"].unique()]
    for way in ("own", *WAYS):
        rows = table[table["way"] == way]
        if way == "own":
            print(f"\nown\n{rows.assign(text=cells(rows))[['to', 'n_edges', 'text', 'note']].to_string(index=False)}")
            continue
        for what in ("text", "n_edges", "unmatched", "ambiguous"):
            wide = rows.assign(text=cells(rows)).pivot(index="from", columns="to", values=what)
            wide = wide.reindex(index=[label for label in labels if label in wide.index], columns=labels)
            if wide.notna().any(axis=None):
                print(f"\n{way}: {what}\n{wide.round(2).to_string()}")
    nulls = ["random_median", "random_p95", "p_value", "renamed_median", "renamed_p95", "renamed_p_value"]
    defined = table[table["faithfulness"].notna()]
    columns = ["from", "to", "way", "n_edges", "share", "faithfulness", *nulls]
    print(f"\n{defined[columns].round(3).to_string(index=False)}")


def cells(rows: pd.DataFrame) -> list[str]:
    """Faithfulness with its interval as text; zero has no sign."""
    kept = (rows[["faithfulness", "ci_low", "ci_high"]].round(2) + 0.0).to_numpy()
    return ["undefined" if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in kept]


def figure(table: pd.DataFrame):
    """Faithfulness of each circuit in each model, one panel for each way; the diagonal is its own model."""
    rows = table[table["way"].isin(WAYS)].assign(text=cells(table[table["way"].isin(WAYS)]))
    rows = rows.assign(value=rows["text"].str.partition(" ")[0], interval=rows["text"].str.partition(" ")[2])
    labels, panels = [*table["to"].unique()], []
    for way in WAYS:
        base = alt.Chart(rows[rows["way"] == way]).encode(
            x=alt.X("to:N", sort=labels, title="run in", axis=alt.Axis(orient="top", labelAngle=0)),
            y=alt.Y("from:N", sort=labels, title="circuit of"),
        )
        colour = alt.Color("faithfulness:Q", scale=alt.Scale(scheme="redblue", domain=[-1, 1], clamp=True),
                           title="faithfulness (fraction of the gap)")  # fmt: skip
        dark = alt.condition("abs(datum.faithfulness) > 0.6", alt.value("white"), alt.value("#1a1a1a"))
        layers = [base.mark_rect(invalid=None, color="#e4e6ea"), base.mark_rect().encode(color=colour)]
        layers += [base.mark_text(dy=-5, fontSize=11).encode(text="value:N", color=dark)]
        layers += [base.mark_text(dy=8, fontSize=9).encode(text="interval:N", color=dark)]
        panels.append(alt.layer(*layers).properties(title=f"carried by {way}", **CELL))
    return alt.vconcat(*panels).configure_view(stroke=None).configure(background="white")


if __name__ == "__main__":
    main(*sys.argv[1:])
