"""Accuracy on clean prompts alone does not show an ability: pairs are read both ways, and what is not used is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.following import FOLLOWING, SAME_AFTER_BOTH, exchanged, following
from interp_emerge.abilities.metrics import metrics_of_clean
from interp_emerge.abilities.own.completions import Completions
from tests.models.small_models import small_model, telling_pairs

NAMES, THINGS = ["Mary", "John", "Anna", "Paul", "Lisa", "Mark"], ["lamp", "cake", "kite", "drum", "coin"]


def rows_of(*, balanced: bool) -> list[dict[str, str]]:
    """Rows that ask who gave what; the answer is always the first thing, or the first and the second in turn."""
    found = []
    for number, (first, second) in enumerate((a, b) for a in NAMES for b in NAMES if a != b):
        things = [f" {THINGS[number % 5]}", f" {THINGS[(number + 1) % 5]}"]
        names = [first, second]
        asked = number % 2 if balanced else 0
        text = f"{first} gave the{things[0]} to Emma . {second} gave the{things[1]} to Tom . {{}} gave the"
        prompts = {"clean": text.format(names[asked]), "corrupt": text.format(names[1 - asked])}
        found.append({**prompts, "answer": things[asked], "foil": things[1 - asked]})
    return found


@pytest.fixture(scope="module")
def model() -> ie.HookedModel:
    return ie.load_family("miniature").load("200k")


def measured(model: ie.HookedModel, path: Path, *, balanced: bool):
    path.write_text("\n".join(map(json.dumps, [{"chance": 0.5}, *rows_of(balanced=balanced)])))
    return ie.abilities.measure(model, [ie.load_ability(str(path))], n=30, both=True)


def test_rows_whose_answer_stands_first_give_a_high_accuracy_and_no_gap(model: ie.HookedModel, tmp_path: Path):
    table = measured(model, tmp_path / "first.jsonl", balanced=False)
    means = table.groupby("metric")["value"].mean()
    assert means["accuracy"] > 0.7 and means["corrupt_accuracy"] < 0.3
    (said,) = ie.abilities.not_followed(table)
    assert said.startswith(f"first: {SAME_AFTER_BOTH} (gap ") and "Balance your rows" in said
    balanced = measured(model, tmp_path / "balanced.jsonl", balanced=True).groupby("metric")["value"].mean()
    assert balanced["accuracy"] < 0.7, "balanced rows show it in the accuracy itself"


def test_an_ability_that_is_there_is_followed(model: ie.HookedModel):
    table = ie.abilities.measure(model, [ie.load_ability("induction")], n=16, both=True)
    assert ie.abilities.not_followed(table) == []
    means = table.groupby("metric")["value"].mean()
    assert means["corrupt_accuracy"] > 0.9 and means["gap"] > 10
    plain = ie.abilities.measure(model, [ie.load_ability("induction")], n=16)
    assert table[~table["metric"].isin(FOLLOWING)].reset_index(drop=True).equals(plain)


def test_the_gap_is_that_of_circuits_and_exchanging_twice_changes_nothing():
    model = small_model("gpt_neox")
    pairs = telling_pairs(model, 6)
    runs = ie.Runs(model, pairs)
    (whole,) = runs.evaluations([model.graph.exists])
    found = following(model, pairs)
    np.testing.assert_allclose(found["gap"], whole.clean - whole.corrupt, atol=1e-4)
    again = exchanged(exchanged(pairs))
    assert again.prompts("clean") == pairs.prompts("clean") and torch.equal(again.answers, pairs.answers)
    whole_words = ie.PromptPairs(
        clean=pairs.prompts("clean"), corrupt=pairs.prompts("corrupt"), answer=pairs.answers, foil=pairs.foils,
        completions=Completions.of_single(pairs.answers, pairs.foils),
    )  # fmt: skip
    np.testing.assert_allclose(following(model, whole_words)["gap"], found["gap"], atol=1e-4)
    metrics = metrics_of_clean(model, exchanged(pairs), ["accuracy"])
    np.testing.assert_array_equal(found["corrupt_accuracy"], metrics["accuracy"])


def test_a_gap_below_zero_and_one_of_few_pairs_have_words_of_their_own():
    assert "may be exchanged" in ie.abilities.why_not_followed(np.array([-1.0, -1.2, -0.9, -1.1, -1.0, -0.8]))
    assert ie.abilities.why_not_followed(np.array([0.1, -0.1])) == ""
