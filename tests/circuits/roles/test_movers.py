"""Name movers, and heads that write as they do but attend elsewhere or have the other effect."""

from typing import Any

import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits.roles.labels import label_heads
from tests.circuits.roles.movers import HEADS, movers, names_in_prompts

ROLES = ("name_mover", "negative_name_mover")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return ie.role_table(movers(), roles=ROLES, pairs=names_in_prompts(32))


def test_a_mover_attends_to_the_answer_and_writes_it_or_against_it(table: pd.DataFrame):
    plays = table[table["plays"].fillna(value=False)]
    assert [*zip(plays["node"], plays["role"], strict=True)] == [
        ("a0.h0", "name_mover"),
        ("a0.h1", "negative_name_mover"),
    ]
    assert (plays["lacks"] == "").all()


def test_a_head_that_suppresses_the_subject_and_so_helps_is_no_negative_name_mover(table: pd.DataFrame):
    row: Any = table.set_index(["node", "role"]).loc["a0.h2", "negative_name_mover"]
    assert row["score"] == 1 and row["clears_baseline"]
    assert row["attention"] == pytest.approx(-1, abs=1e-3) and row["direct_effect"] > 0
    assert not row["plays"]
    assert row["lacks"].startswith("attention from the last position to the answer, less that to the foil -1, not")
    assert "direct effect on the metric" in row["lacks"]


def test_labels_need_attention_writing_and_effect(table: pd.DataFrame):
    model, pairs = movers(), names_in_prompts(32)
    whole = ie.Circuit.from_edges(model, []).with_kept(model.graph.exists)
    with_table = label_heads(ie.Runs(model, pairs), whole, roles=ROLES, table=table)
    labels = with_table[with_table["label"].fillna(value=False)]
    assert [*zip(labels["node"], labels["role"], strict=True)] == [
        ("a0.h0", "name_mover"),
        ("a0.h1", "negative_name_mover"),
    ]
    effects: Any = with_table.drop_duplicates("node").set_index("node")["effect"]
    assert effects["a0.h2"] > 0 > effects["a0.h3"]
    assert {*with_table["node"]} == {*HEADS}
