"""Learning in context over training, and the heads that come with it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.circuits.roles.repeated import repeated_segments
from interp_emerge.circuits.roles.table import role_scores
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.emergence.forming.changepoints import CoincidenceVerdict
from interp_emerge.emergence.forming.in_context import (
    in_context_over_training,
    in_context_scores,
    phase_changes,
    score_positions,
)

FAMILY = ie.load_family("miniature")


def test_positions_are_those_of_the_source_in_its_own_context() -> None:
    assert score_positions(512) == (50, 500)
    assert score_positions(48) == (5, 47)
    with pytest.raises(InputError, match="1 predicted tokens has no early and late position; give at least 2"):
        score_positions(1)


def test_the_score_is_the_late_loss_less_the_early_one() -> None:
    model = FAMILY.load("7k")
    tokens = repeated_segments(model, 5)
    with torch.no_grad():
        log_probs = model.hf(tokens).logits.log_softmax(-1)
    loss = {at: -log_probs[:, at - 1].gather(1, tokens[:, at : at + 1])[:, 0] for at in (2, 20)}

    scores = in_context_scores(model, tokens, early=2, late=20)
    assert np.allclose(scores, loss[20] - loss[2], atol=1e-5)
    usual = dict(zip(("early", "late"), score_positions(32), strict=True))
    np.testing.assert_allclose(in_context_scores(model, tokens), in_context_scores(model, tokens, **usual), atol=1e-5)


def test_a_repetition_helps_a_trained_model_with_two_layers_but_not_with_one() -> None:
    def score(size: str, step) -> float:
        model = FAMILY.load(size, step)
        return float(in_context_scores(model, repeated_segments(model)).mean())

    assert score("14k", "last") < -2  # the whole loss of a random token is ln 62 = 4.1
    assert abs(score("14k", 0)) < 0.3
    assert score("5k", "last") > -0.7


def test_positions_outside_the_context_are_refused() -> None:
    model = FAMILY.load("3k")
    with pytest.raises(InputError, match="positions 9 and 40 do not fit 32 predicted tokens"):
        in_context_scores(model, repeated_segments(model, 2), early=9, late=40)


def test_a_training_run_becomes_one_table_of_scores_and_roles() -> None:
    frame = in_context_over_training(FAMILY, "7k", heads=[("induction", "a1.h0")], steps=[0, 5000], draws=2)
    at_end = frame[frame["step"] == 5000].set_index("component")["value"]

    assert frame.groupby("component")["step"].unique().map(list).tolist() == [[0, 5000]] * 3
    assert len(at_end["repeated segments"]) == len(at_end["a1.h0"]) == 64
    positions = frame.groupby("component")[["early", "late"]].first()
    assert positions.loc[["repeated segments", "held-out text"]].to_numpy().tolist() == [[3, 31], [5, 47]]
    assert positions.loc[["a1.h0"]].isna().to_numpy().all()
    model = FAMILY.load("7k")
    again = [role_scores(model, seed=seed)["induction"][:, 2] for seed in (0, 1)]
    np.testing.assert_allclose(at_end["a1.h0"], np.concatenate(again), atol=1e-5)


def test_unknown_roles_and_heads_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown role 'induktion'; did you mean 'induction'"):
        in_context_over_training(FAMILY, "3k", heads=[("induktion", "a0.h0")])
    with pytest.raises(InputError, match=r"has no head 'a7.h0'; its heads are a0.h0 to a0.h1"):
        in_context_over_training(FAMILY, "3k", heads=[("induction", "a7.h0")], steps=[0])
    with pytest.raises(InputError, match="draws is 0; ask for at least 1"):
        in_context_over_training(FAMILY, "3k", draws=0)


def test_phase_changes_of_known_jumps_are_found_and_compared_with_the_first() -> None:
    rng = np.random.default_rng(0)
    steps = [0, 10, 100, 1000]

    def rows(quantity: str, means: list[float]) -> pd.DataFrame:
        table = [
            (step, i, mean + 0.1 * rng.normal()) for step, mean in zip(steps, means, strict=True) for i in range(9)
        ]
        return pd.DataFrame(table, columns=["step", "prompt", "value"]).assign(quantity=quantity, component="x")

    frame = pd.concat([rows("heads", [0, 0, 1, 1]), rows("score", [0, 0, -3, -3]), rows("late", [0, 0, 0, 1])])
    _, score, late = phase_changes(frame).to_dict("records")

    assert (score["before"], score["after"], score["together"], late["together"]) == (10, 100, 1, 0)
    assert score["by_chance"] == pytest.approx(1 / 3)
    assert late["answer"] == (
        f"{CoincidenceVerdict.DIFFERENT}: between steps 10 and 100 and between steps 100 and 1000"
    )
    with pytest.raises(InputError, match="the table lacks column 'prompt'"):
        phase_changes(frame.drop(columns="prompt"))


def test_quantities_with_different_steps_are_compared_on_their_common_steps() -> None:
    rng = np.random.default_rng(0)

    def rows(quantity: str, means: dict[int, float]) -> pd.DataFrame:
        table = [(step, i, mean + 0.1 * rng.normal()) for step, mean in means.items() for i in range(9)]
        return pd.DataFrame(table, columns=["step", "prompt", "value"]).assign(quantity=quantity, component="x")

    heads = rows("heads", {0: 0, 10: 0, 100: 1, 300: 1, 1000: 1})
    score = rows("score", {0: 0, 5: 0, 10: 0, 30: 3, 100: 3, 1000: 3})
    few, single = rows("few", {10: 0, 100: 1}), heads[heads["prompt"] == 0].assign(quantity="single")
    found: Any = phase_changes(pd.concat([heads, score, few, single])).set_index("quantity")

    assert found.loc["score", ["n_steps", "before", "after", "n_common"]].tolist() == [6, 10, 30, 4]
    assert found.loc["score", ["together", "by_chance"]].tolist() == [1, pytest.approx(1 / 3)]
    assert found.loc["score", "answer"].startswith(f"{CoincidenceVerdict.SAME}, between steps 10 and 100")
    assert found.loc[["few", "single"], ["before", "share_of_change", "together"]].isna().all(axis=None)
    assert found.loc["few", "answer"] == (
        "cannot be told: 9 prompts, 2 checkpoints in common with the first quantity; 2 and 3 are needed"
    )
    assert found.loc["single", "answer"].startswith("cannot be told: 1 prompts, 5 checkpoints")
    alone = phase_changes(few)
    assert alone["answer"].tolist() == ["cannot be told: 9 prompts, 2 checkpoints; 2 and 3 are needed"]


@pytest.mark.slow
def test_the_in_context_score_falls_while_the_induction_head_forms() -> None:
    # The largest model has its induction head a2.h7 between the checkpoints 500 and 750.
    steps = [0, 100, 250, 500, 750, 1000]
    frame = in_context_over_training(FAMILY, "560k", heads=[("induction", "a2.h7")], steps=steps)
    frame = frame.sort_values("quantity", key=lambda names: names != "induction", kind="stable")
    head, repeated, held_out = phase_changes(frame).to_dict("records")

    assert (head["before"], head["after"]) == (500, 750)
    assert min(repeated["together"], held_out["together"]) > 0.9
    assert all(change["share_of_change"] > 3 * change["share_of_axis"] for change in (head, repeated, held_out))
