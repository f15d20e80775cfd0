"""The ladder: all rungs from the same logits, points made of models, and less of scale the further down."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.axes import AXES
from interp_emerge.emergence.scale.ladder import RUNGS, Ladder, measure_grid, measure_ladder, scale_correlation
from interp_emerge.stats.intervals import success_interval

FAMILY = ie.load_family("miniature")
INDUCTION = ie.load_ability("induction")


def invented(values: dict[tuple[str, int, int], np.ndarray]) -> pd.DataFrame:
    """A table of accuracies by size, step and seed."""
    parameters = {"small": 10, "middle": 100, "large": 1000}
    return pd.concat(
        [
            pd.DataFrame({"pair": np.arange(len(run)), "value": run}).assign(
                size=size, step=step, seed=seed, n_parameters=parameters[size], ability="induction", metric="accuracy"
            )
            for (size, step, seed), run in values.items()
        ],
        ignore_index=True,
    )


def test_every_rung_is_read_off_the_same_logits() -> None:
    model = FAMILY.load("7k")
    measured = measure_ladder(model, INDUCTION, n=16, seed=3)
    values = {metric: part["value"].to_numpy() for metric, part in measured.groupby("metric")}
    pairs = INDUCTION.sample(model, 16, 3)
    with torch.no_grad():
        log_probs = model.logits(pairs.clean).double().log_softmax(-1)
    answer, foil = (log_probs[torch.arange(16), ids].numpy() for ids in (pairs.answer, pairs.foil))

    assert set(values) == set(RUNGS)
    assert np.allclose(values["log_prob"], answer, atol=1e-5)
    assert np.allclose(values["prob"], np.exp(answer), atol=1e-6)
    assert np.allclose(values["choice_prob"], np.exp(answer) / (np.exp(answer) + np.exp(foil)), atol=1e-5)
    assert np.allclose(values["brier"], -((1 - values["choice_prob"]) ** 2), atol=1e-6)
    assert np.allclose(values["logit_diff"], answer - foil, atol=1e-4)
    assert np.allclose(values["accuracy"], log_probs.argmax(-1) == pairs.answer)


def test_a_guess_among_k_answers_stands_at_chance_on_every_rung() -> None:
    logits = torch.zeros(1, 4)
    pairs = ie.PromptPairs(clean=[[0]], corrupt=[[1]], answer=[2], foil=[3])
    from interp_emerge.abilities.metrics import METRICS

    for name in ("log_prob", "prob", "choice_prob", "brier", "logit_diff"):
        assert RUNGS[name].chance(1 / 4) == pytest.approx(float(METRICS[name](logits, pairs)))


def test_a_grid_with_holes_makes_points_of_the_models_there_are() -> None:
    models: list[Any] = [("14k", "last", 0), ("3k", "last", 0), ("14k", "last", 2)]
    grid = measure_grid(FAMILY, [INDUCTION], models=models, n=8)
    ladder = Ladder.from_frame(grid, INDUCTION)

    assert ladder.points == ("3k", "14k")
    assert [len(seeds) for seeds in ladder.values] == [1, 2]
    assert ladder.places.tolist() == [3312, 14496]
    by_loss = Ladder.from_frame(grid, INDUCTION, axis="loss")
    assert (np.diff(by_loss.places) < 0).all() and len(by_loss.points) == 3
    assert set(by_loss.points) == {"3k, seed 0", "14k, seed 0", "14k, seed 2"}


def test_the_steps_of_one_size_lie_on_the_axis_of_tokens() -> None:
    grid = measure_grid(FAMILY, [INDUCTION], models=[("3k", step, 0) for step in (100, 10)], n=8)
    ladder = Ladder.from_frame(grid, INDUCTION, axis="tokens", family=FAMILY)

    assert ladder.points == ("step 10", "step 100")
    assert ladder.places.tolist() == [10 * 4704, 100 * 4704]


def test_a_seed_counts_as_much_as_another_and_disagreeing_ones_widen_the_interval() -> None:
    have, lack = np.ones(64), np.zeros(64)
    frame = invented({("small", 5, 0): lack, ("large", 5, 0): have, ("large", 5, 1): lack})
    table = Ladder.from_frame(frame, INDUCTION).to_frame()

    assert table["point"].tolist() == ["small", "large"]
    assert table["value"].tolist() == [0.0, 0.5]
    assert table["ci_low"].tolist() == [0.0, 0.0]
    assert table["ci_high"].tolist() == pytest.approx([success_interval(0, 64).high, 1.0])


def test_what_prompts_have_in_common_cancels_between_points() -> None:
    hard = np.random.default_rng(0).normal(0, 3, 200)
    frame = invented({("small", 5, 0): hard, ("large", 5, 0): hard + 1})
    drawn = Ladder.from_frame(frame, INDUCTION).resample()[:, :, 0]

    assert np.allclose(np.diff(drawn, axis=1), 1)
    assert drawn[:, 0].std() > 0.1


def test_a_steep_ladder_correlates_less_the_further_down() -> None:
    rng = np.random.default_rng(0)
    z = np.linspace(-6, 6, 9)[:, None] + rng.normal(0, 1, 64) + rng.normal(0, 0.5, (9, 64))
    values = np.stack([-np.logaddexp(0, -z), z > 0], -1)
    ladder = Ladder(
        ability="made up",
        axis=AXES["flops"],
        points=tuple("abcdefghi"),
        places=10.0 ** np.arange(9),
        metrics=("log_prob", "accuracy"),
        values=tuple((point,) for point in values),
    )
    table = scale_correlation(ladder)
    top, bottom = table.iloc[0], table.iloc[1]

    assert top["correlation"] == pytest.approx(1)
    assert top["per_prompt_low"] > bottom["per_prompt_high"]
    assert bottom["ci_low"] <= bottom["correlation"] <= bottom["ci_high"]


def test_a_metric_that_never_changes_has_no_correlation() -> None:
    frame = invented({(size, 5, 0): np.ones(16) for size in ("small", "middle", "large")})
    found = scale_correlation(Ladder.from_frame(frame, INDUCTION)).iloc[0]

    assert np.isnan(found["correlation"]) and np.isnan(found["per_prompt"])
    assert found["n_prompts"] == 0


def test_tables_that_make_no_ladder_are_refused() -> None:
    two_steps = invented({("small", 5, 0): np.ones(4), ("small", 9, 0): np.ones(4)})
    with pytest.raises(InputError, match=r"small/step5 and small/step9 share the place 10 .*take another axis"):
        Ladder.from_frame(two_steps, INDUCTION)
    with pytest.raises(InputError, match="no rows of ability 'markov'; measure it first"):
        Ladder.from_frame(two_steps, ie.load_ability("markov"))
    once = invented({("small", 5, 0): np.ones(4)})
    with pytest.raises(InputError, match="small/step5/seed0 is in the table twice"):
        Ladder.from_frame(pd.concat([once, once]), INDUCTION)
    with pytest.raises(InputError, match="small/step5/seed0 lacks values of some prompts"):
        Ladder.from_frame(once.assign(value=[1, 1, np.nan, 0]), INDUCTION)
