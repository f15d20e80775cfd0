"""The circuit of each model as a graph, the largest first."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from interp_emerge.circuits.tables import CIRCUIT_EDGES, CIRCUITS, ROLE_TABLE
from interp_emerge.figures.base import last_step
from interp_emerge.report.numbers import Kind, between, number
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Picture, Section, chart, parts
from interp_emerge.report.text import joined
from interp_emerge.report.verdicts.circuits import circuit_table
from interp_emerge.report.vocabulary import CIRCUIT, TERMS
from interp_emerge.stats.intervals import Interval


def the_circuit(study: StudyRecord) -> list[Block]:
    """The circuits, in tabs; and the models that have none, with the reasons."""
    edges, roles, blocks = study.table(CIRCUIT_EDGES), study.table(ROLE_TABLE), []
    for heading, names, found in parts(study.table(CIRCUITS), ["ability"]):
        drawn: list[Picture] = []
        undrawn: dict[str, list[str]] = {}
        for model, row in _largest_first(last_step(found)):
            keys = (edges["ability"] == names["ability"]) & (edges["size"] == row["size"])
            own = edges[keys & (edges["step"] == row["step"]) & (edges["seed"] == row["seed"])]
            if own.empty:
                undrawn.setdefault(str(row["verdict"]), []).append(model)
                continue
            caption = (
                f"{number(row['n_edges'], Kind.COUNT)} of {number(row['n_graph_edges'], Kind.COUNT)} edges "
                f"({number(row['edge_share'], Kind.SHARE)}), found by the method {row['method']}. "
                f"Faithfulness {between(Interval.of(row, 'faithfulness', 'ci'))}: {row['verdict']}. "
                "Circuits of two independent sets of as many prompts have an expected Jaccard index of "
                f"{between(Interval.of(row, 'stability'))}. "
                "Point at a node to highlight its edges."
            )
            played = roles[(roles["size"] == row["size"]) & (roles["seed"] == row["seed"])]
            played = played[played["step"] == row["step"]]
            drawn.append(chart("circuit_graph", own, model, caption, link=row["file"], roles=played))
        reasons = [
            f"No circuit to draw in {joined(models)}; verdict: {verdict}." for verdict, models in undrawn.items()
        ]
        blocks.append(Block(heading=heading, table=circuit_table(found), words=reasons))
        blocks.append(Block(layout="tabs", pictures=drawn, fold="Figures: the circuit of each model"))
    return blocks


def _largest_first(rows: pd.DataFrame) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Each row with the name of its model; the name contains the seed only if the size has several."""
    place = {size: place for place, size in enumerate(rows["size"].unique())}
    rows = rows.assign(place=-rows["size"].map(place)).sort_values(["place", "seed"], kind="stable")
    several = rows.groupby("size")["seed"].transform("nunique") > 1
    for row, named in zip(rows.to_dict("records"), several, strict=True):
        yield f"{row['size']} (seed {row['seed']})" if named else str(row["size"]), row


shelf.add(
    Section(
        name="circuit",
        place=30,
        title="The circuit",
        lead="Evidence only if the faithfulness lies above what 95% of random circuits of its size keep (random p95). "
        "Read graphs upward, from the embedding to the logits.",
        reads=(CIRCUITS, CIRCUIT_EDGES),
        nothing="no size has the ability, so no circuit was sought",
        vocabularies=(CIRCUIT, TERMS),
        blocks=the_circuit,
    )
)
