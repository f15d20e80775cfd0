"""Name movers, and heads that write as they do but attend elsewhere or have the other effect."""

from typing import Any

import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.circuits.roles import _writing
from interp_emerge.circuits.roles.labels import label_heads
from tests.circuits.roles.movers import HEADS, movers, names_in_prompts
from tests.models.small_models import small_model

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


def test_a_sample_of_the_vocabulary_shows_which_tokens_are_not_among_the_first(monkeypatch: pytest.MonkeyPatch):
    model, tokens = small_model("gpt_neox"), torch.arange(1, 9)
    monkeypatch.setattr(_writing, "SAMPLE", 8)
    written = _writing.written_for(model, tokens)
    looked_at: list[int] = []
    real = _writing._may_be_first
    monkeypatch.setattr(
        _writing, "_may_be_first", lambda *args: looked_at.append(int((found := real(*args)).sum())) or found
    )
    for sign in (1, -1):
        found = _writing.among_the_first(model, sign * written, tokens)
        assert (found == _writing.among_the_first(model, sign * written, tokens, screened=False)).all()
        assert found.any() and not found.all()
    assert all(int(found.sum()) <= n < found.numel() for n in looked_at) and len(looked_at) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_not_among_the_first(value: float):
    model = small_model("gpt2")
    written, tokens = torch.full((3, 2, model.d_model), value), torch.tensor([1, 2, 3])
    assert not _writing.among_the_first(model, written, tokens).any()
