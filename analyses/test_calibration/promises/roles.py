"""Roles of heads: how often a head of an untrained model, which has learnt nothing, is given one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from math import ceil

import interp_emerge as ie
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import RoleTask
from interp_emerge.circuits.roles.table import BASELINE_HEADS, Scored, all_measured, baselines_from, measure, rows_of
from interp_emerge.families.hooking import untrained
from promises.base import Promise, Rate

SHAPES = ("3k", "14k", "200k")
"""Sizes of the bundled family, of 1 × 2, 2 × 3 and 4 × 8 heads."""


def labels(n: int) -> Iterator[Rate]:
    for size in SHAPES:
        yield from rates(size, n)["plays"]


def clears(n: int) -> Iterator[Rate]:
    for size in SHAPES:
        yield from rates(size, n)["clears_baseline"]


@cache
def rates(size: str, n: int) -> dict[str, list[Rate]]:
    """Of untrained models, how many have a head with the property; each is compared with the next ones as its null."""
    pairs_of = ie.load_ability("indirect_object").sample
    trained = ie.load_family("miniature").load(size)
    graph, measured = trained.graph, all_measured(shelf)
    last = [head.name for head in graph.nodes(["head"])][-1:]
    task = RoleTask(model=trained, pairs=pairs_of(trained, 64, seed=0), heads={"name_mover": last})
    measured = {name: one for name, one in measured.items() if not one.why_not(task)}
    n_null = ceil(BASELINE_HEADS / (graph.n_heads * max(1, graph.n_layers - 1)))
    draws = [measure(replace(task, model=untrained(trained, 10_000 + at)), measured) for at in range(n + n_null)]
    roles = [role for role in shelf if role.name in measured]
    counts = {column: dict.fromkeys((role.name for role in roles), 0) for column in ("plays", "clears_baseline")}
    for at in range(n):
        baselines = baselines_from(draws[at + 1 : at + 1 + n_null], measured)
        scored = {name: Scored(values=draws[at][name], baseline=baselines[name]) for name in measured}
        for role in roles:
            rows = rows_of(trained, role, scored)
            for column, own in counts.items():
                own[role.name] += bool(rows[column].fillna(value=False).any())
    return {
        column: [
            Rate(case=f"{size}, {role}", happened=happened, simulations=n, at_most=0.05)
            for role, happened in own.items()
        ]
        for column, own in counts.items()
    }


PROMISES = (
    Promise(
        says="A head of an untrained model is not given a role.",
        module="circuits.roles.table",
        counted="untrained models with a head that plays the role, before an effect is asked for",
        simulate=labels,
    ),
    Promise(
        says="In an untrained model no score clears its baseline.",
        module="circuits.roles.table",
        counted="untrained models with a head whose interval lies above the baseline",
        simulate=clears,
    ),
)
