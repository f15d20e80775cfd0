import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, binomtest

import interp_emerge as ie
from interp_emerge.circuits.finding.null_circuits import ALWAYS, null_circuits
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.testing.hypotheses import (
    NULLS,
    TESTS_AGAINST,
    HypothesisTests,
    _inflated,
    equivalence,
    hypothesis_tests,
    independence,
    partial_necessity,
    sufficiency,
)
from interp_emerge.circuits.testing.outcomes import HypothesisVerdict, Outcome
from interp_emerge.core.errors import InputError
from tests.models.small_models import random_pairs, small_model, telling_pairs

COLUMNS = ["test", "null", "statistic", "p_value", "p_adjusted", "rejected", "verdict", "supports", "n",
           "random_kind", "beaten", "ci_low", "ci_high", "p_value_quantile", "note"]  # fmt: skip
FEW: dict[str, Any] = {"n_random": 19, "n_inflated": 19, "n_permutations": 19}


def whole(model: ie.HookedModel) -> ie.Circuit:
    return ie.Circuit(graph=model.graph, kept=model.graph.exists, scores=np.zeros(model.graph.exists.shape))


def path_of(model: ie.HookedModel) -> ie.Circuit:
    return ie.Circuit.from_edges(model, [("embed", "a0.h1.v"), ("a0.h1", "a1.h0.v"), ("a1.h0", "logits")])


def notes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(test): str(note) for test, note in frame["note"].items()}


def table(
    model: ie.HookedModel, circuit: ie.Circuit, pairs: ie.PromptPairs, *, how: dict[str, Any] | None = None, **options
) -> pd.DataFrame:
    """The outcomes, with some arguments of the runs and some of the tests."""
    return hypothesis_tests(ie.Runs(model, pairs, **(how or {})), circuit, **options).to_frame().set_index("test")


@pytest.mark.parametrize("better", [0, 3, 5, 6, 10])
def test_the_p_value_of_equivalence_is_the_binomial_chance_of_so_uneven_a_share(better: int, rng: np.random.Generator):
    model = rng.normal(0, 1, 10)
    found = equivalence(model + np.where(np.arange(10) < better, 1, -1), model, epsilon=0.1)
    as_far = [k for k in range(11) if abs(k - 5) >= abs(better - 5)]
    assert found.statistic == better / 10
    assert found.p_value == pytest.approx(binom.pmf(as_far, 10, 0.6).sum())
    assert found.note == ""


def test_ties_count_half_and_are_reported(rng: np.random.Generator):
    model = rng.normal(0, 1, 12)
    found = equivalence(model + np.array([0] * 4 + [1e-9] * 4 + [1] * 3 + [-1]), model)
    assert found.statistic == (3 + 4) / 12
    assert found.note == "8 of 12 pairs tie"
    assert equivalence(model, model).p_value == 1


def test_independence_holds_for_independent_draws_and_is_rejected_without_a_correlation(
    rng: np.random.Generator,
):
    model = rng.normal(0, 1, 60)
    assert independence(rng.normal(0, 1, 60), model).p_value > 0.05
    linked = independence(model**2, model, n_permutations=199)
    assert abs(np.corrcoef(model**2, model)[0, 1]) < 0.4
    assert linked.p_value == 1 / 200


def test_the_criterion_is_that_of_gretton_by_hand(rng: np.random.Generator):
    first, second = rng.normal(0, 1, 9), rng.normal(0, 2, 9)

    def kernel(values: np.ndarray) -> np.ndarray:
        apart = np.abs(values[:, None] - values)
        return np.exp(-(apart**2) / (2 * np.median(apart[np.triu_indices(9, 1)]) ** 2))

    centre = np.eye(9) - 1 / 9
    expected = np.trace(kernel(first) @ centre @ kernel(second) @ centre) / 64
    assert independence(first, second, n_permutations=1).statistic == pytest.approx(expected)
    assert independence(5 * first + 1, second, n_permutations=1).statistic == pytest.approx(expected)


def test_a_constant_is_independent_of_everything_and_repeated_values_are_allowed(rng: np.random.Generator):
    model = rng.normal(0, 1, 20)
    assert independence(np.ones(20), model, n_permutations=99).p_value == 1
    mostly_alike = np.where(np.arange(20) < 16, 0.0, model)
    assert 0 < independence(mostly_alike, model, n_permutations=99).p_value <= 1


def test_independence_is_undefined_if_the_ablated_run_depends_on_the_model(rng: np.random.Generator):
    model = rng.normal(0, 1, 60)
    dependent, free = model + 0.1 * rng.normal(0, 1, 60), np.random.default_rng(5).normal(0, 1, 60)
    options: dict[str, Any] = {"n_permutations": 199}
    assert independence(dependent, model, ablated=free, **options) == independence(dependent, model, **options)
    undefined = independence(free, model, ablated=dependent, **options)
    assert np.isnan(undefined.p_value) and np.isnan(undefined.statistic)
    assert "every edge ablated" in undefined.note and undefined.note.endswith("p = 0.005")
    # 199 permutations cannot reach a stricter level, so the control finds nothing.
    assert independence(free, model, ablated=dependent, alpha=0.004, **options).note == ""


@pytest.mark.parametrize("seed", range(5))
def test_no_test_is_evidence_against_the_whole_model_as_a_circuit(seed: int):
    """Without the whole model the run with every edge ablated is left, which is what the control tests."""
    rng = np.random.default_rng(seed)
    model, ablated = rng.normal(0, 1, (2, 40)) + rng.normal(0, 0.7, 40)
    found = independence(ablated, model, ablated=ablated, n_permutations=99, seed=seed)
    assert not found.p_value <= 0.05
    trained = ie.load_family("miniature").load("7k")
    frame = table(trained, whole(trained), ie.load_ability("induction").sample(trained, 64, seed=seed), n_random=1)
    assert frame.loc["independence", "verdict"] in (HypothesisVerdict.UNDEFINED, HypothesisVerdict.NOT_AGAINST)
    assert not (frame["verdict"] == HypothesisVerdict.AGAINST).any()


def test_a_test_with_too_few_draws_to_reject_anything_asks_for_more():
    model = small_model("gpt_neox")
    pairs = telling_pairs(model, 30)
    few = table(model, path_of(model), pairs, n_random=19, n_inflated=120)
    note = "p-value of 19 random circuits is 0.05, too large to reach 0.05 after adjustment: ask for more"
    assert notes(few)["sufficiency"].endswith(note) and notes(few)["partial_necessity"].endswith(note)
    assert "ask for more" not in notes(few)["minimality"]
    enough = table(model, path_of(model), pairs, n_random=120, n_inflated=120)
    assert not enough["note"].str.contains("ask for more").any()
    pairs_too = table(model, path_of(model), pairs[:6], n_random=19, n_permutations=9)
    assert "6 pairs is 0.051," in notes(pairs_too)["equivalence"]
    assert "9 permutations of 6 pairs is 0.1," in notes(pairs_too)["independence"]


def test_by_default_enough_random_edges_are_drawn_to_support_the_smallest_circuit():
    """Five tests share the level, so 1 / (1 + draws) has to be at most a fifth of it."""
    model = small_model("gpt_neox")
    direct = ie.Circuit.from_edges(model, [("embed", "logits")])
    frame = table(model, direct, telling_pairs(model, 30), n_random=2)
    assert frame.loc["minimality", "n"] == 100
    assert "ask for more" not in notes(frame)["minimality"]


def test_ranks_among_random_circuits_by_hand():
    model = np.zeros(4)
    drawn = np.repeat(np.array([[0.5], [1.0], [2.0], [3.0]]), 4, axis=1)
    near = sufficiency(np.full(4, -0.7), drawn, model, quantile=0.5)
    # One random circuit is closer, three are not.
    assert (near.statistic, near.p_value, near.beaten, near.n) == (pytest.approx(0.7), 2 / 5, 3 / 4, 4)
    assert near.p_value_quantile == pytest.approx(5 / 16)
    interval = binomtest(3, 4).proportion_ci(0.95, method="exact")
    assert (near.ci_low, near.ci_high) == (interval.low, interval.high)
    # As losses the same values are -1/2 to -3: removing the random circuits helps, so a loss of 0.7 beats them all.
    hurting = partial_necessity(np.full(4, -0.7), drawn, model)
    assert (hurting.statistic, hurting.p_value, hurting.beaten) == (pytest.approx(0.7), 1 / 5, 1)
    # A loss of -2 beats the last one alone and ties with the third.
    assert partial_necessity(np.full(4, 2.0), drawn, model).p_value == (1 + 3) / 5


def test_a_circuit_equal_to_the_random_ones_ties_with_them_and_does_not_beat_them(rng: np.random.Generator):
    drawn = np.repeat(rng.normal(0, 1, (1, 6)), 9, axis=0)
    assert sufficiency(drawn[0] + 1e-9, drawn, np.zeros(6)).p_value == 1
    assert sufficiency(drawn[0], drawn, np.zeros(6)).beaten == 0
    assert sufficiency(drawn[0], drawn, np.zeros(6)).note == "9 of 9 random circuits tie"
    assert sufficiency(0.5 * drawn[0], drawn, np.zeros(6)).note == ""


def test_only_a_rejection_is_evidence_for_or_against_the_circuit():
    outcomes = [Outcome(test=test, p_value=p, n=9) for test in NULLS for p in (1e-6, 0.9)]
    frame = HypothesisTests(outcomes=(*outcomes, Outcome(test="minimality", n=0)), edges=pd.DataFrame(), alpha=0.05)
    for test, rows in frame.to_frame().groupby("test"):
        against = test in TESTS_AGAINST
        verdicts = (
            (HypothesisVerdict.AGAINST, HypothesisVerdict.NOT_AGAINST)
            if against
            else (HypothesisVerdict.SUPPORTS, HypothesisVerdict.CANNOT_TELL)
        )
        assert rows["verdict"].tolist()[:2] == [*verdicts]
        assert rows["supports"].iloc[0] == (not against) and rows["supports"].iloc[1:].isna().all()
    undefined = frame.to_frame().iloc[-1]
    assert undefined["verdict"] == HypothesisVerdict.UNDEFINED and undefined[["rejected", "supports"]].isna().all()


def test_the_table_has_a_row_for_each_test_with_its_verdict():
    model = small_model("gpt_neox")
    frame = hypothesis_tests(ie.Runs(model, telling_pairs(model, 12)), path_of(model), **FEW).to_frame()
    assert list(frame.columns) == COLUMNS
    assert frame["test"].tolist() == list(NULLS)
    assert frame["null"].tolist() == list(NULLS.values())
    assert frame["n"].drop([2, 3]).tolist() == [12, 12, 19] and frame["n"].max() == 19
    assert frame["random_kind"].notna().tolist() == [False, False, True, True, False]
    defined = frame["verdict"] != HypothesisVerdict.UNDEFINED
    assert (defined == frame["p_value"].notna()).all() and defined.sum() >= 4
    assert (frame["p_adjusted"] >= frame["p_value"])[defined].all()
    assert (frame["rejected"] == (frame["p_adjusted"] <= 0.05))[defined].all()
    assert (frame["supports"].notna() == frame["rejected"].fillna(False)).all()


def test_verdicts_are_written_to_a_table_as_plain_words(tmp_path: Path):
    frame = HypothesisTests(outcomes=(Outcome(test="sufficiency", n=9),), edges=pd.DataFrame(), alpha=0.05).to_frame()
    assert json.loads(frame.to_json(orient="records"))[0]["verdict"] == "undefined"
    frame.to_csv(tmp_path / "tests.csv")
    assert pd.read_csv(tmp_path / "tests.csv")["verdict"].tolist() == ["undefined"]


def test_what_the_tests_compare_is_what_evaluation_gives():
    model = small_model("gpt2")
    pairs, circuit = telling_pairs(model, 8), path_of(model)
    found = hypothesis_tests(ie.Runs(model, pairs, seed=4), circuit, **FEW)
    graph, drawn = model.graph, {kind: null_circuits(circuit, kind, 19, seed=4) for kind in ALWAYS}
    circuits = [circuit.kept, *(kept for kind in ALWAYS for kept in drawn[kind])]
    inside = ie.Runs(model, pairs).evaluations(circuits)
    outside = ie.Runs(model, pairs).evaluations([graph.exists & ~kept for kept in circuits])
    clean = inside[0].clean
    distance = [np.sqrt(np.mean((run.metric - clean) ** 2)) for run in inside]
    lost = [np.mean(clean - run.metric) for run in outside]
    frame = found.to_frame().set_index("test")
    assert frame.loc["sufficiency", "statistic"] == pytest.approx(distance[0], rel=1e-4)
    assert frame.loc["partial_necessity", "statistic"] == pytest.approx(lost[0], rel=1e-4)
    # The first random circuit that is as close makes p larger than 0.05, and the rest is not run.
    closer = [value <= distance[0] * (1 + 1e-5) for value in distance[1:]]
    runs = closer[:19].index(True) + 1 if any(closer[:19]) else None
    expected = 2 / (1 + runs) if runs else (2 / (1 + closer[19:].index(True) + 1) if any(closer[19:]) else 1 / 20)
    assert frame.loc["sufficiency", "p_value"] == pytest.approx(expected)
    for edge, effect in zip(found.edges.itertuples(), found.edges["effect"], strict=True):
        less = ie.Circuit.from_edges(model, [e for e in circuit.edges if (e.writer, e.reader) != edge[1:3]])
        expected = np.sqrt(np.mean((inside[0].metric - ie.evaluate(model, less, pairs).metric) ** 2))
        assert effect == pytest.approx(expected, abs=1e-5)
    assert frame.loc["minimality", "statistic"] == found.edges["effect"].min()
    assert frame.loc["minimality", "p_value"] == found.edges["p_value"].max()


def test_dead_ends_count_for_nothing_and_the_seed_decides():
    model = small_model("gpt_neox")
    pairs, circuit = telling_pairs(model, 8), path_of(model)
    more = ie.Circuit.from_edges(model, [*circuit.edges, ("embed", "m1"), ("m0", "m2")])
    one, other = (table(model, claim, pairs, **FEW) for claim in (circuit, more))
    pd.testing.assert_frame_equal(one, other)
    assert not table(model, circuit, pairs, **FEW, how={"seed": 1}).equals(one)


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_other_ablations_work(ablation):
    model = small_model("gpt2")
    frame = table(
        model, path_of(model), telling_pairs(model, 24), how={"ablation": ablation, "metric": "log_prob"}, **FEW
    )
    reasons = frame["note"].str.contains("within noise|with every edge ablated")
    assert (frame["p_value"].isna() == reasons).all()


def test_an_undefined_test_has_no_numbers_but_a_reason():
    model = small_model("gpt_neox")
    pairs, circuit = telling_pairs(model), path_of(model)
    same = ie.PromptPairs(clean=pairs.clean, corrupt=pairs.clean, answer=pairs.answer, foil=pairs.foil)
    for claim, on, reason in [
        (circuit, same, "the gap of 0 is within noise"),
        (ie.Circuit.from_edges(model, []), pairs, "the circuit is empty"),
        (ie.Circuit.from_edges(model, [("embed", "m0")]), pairs, "the circuit is empty"),
        (circuit, pairs[:1], "there are fewer than 2 pairs"),
    ]:
        found = hypothesis_tests(ie.Runs(model, on), claim, **FEW)
        frame = found.to_frame()
        assert (frame["note"] == reason).all()
        assert frame[["statistic", "p_value", "p_adjusted", "beaten", "rejected", "supports"]].isna().all(axis=None)
        assert found.edges["p_value"].isna().all()


def test_of_the_whole_graph_only_minimality_is_undefined():
    model = small_model("gpt_neox", layers=1)
    frame = table(model, whole(model), telling_pairs(model), **FEW)
    assert "no edge can be added" in notes(frame)["minimality"]
    assert frame["p_value"].isna()["minimality"]
    assert not frame["p_value"].isna()[["equivalence", "sufficiency", "partial_necessity"]].any()
    assert frame.loc["sufficiency", "p_value"] == 1
    # The first tie makes p larger than 0.05, and the rest is not run.
    assert notes(frame)["sufficiency"].startswith("1 of 1 random circuits tie; ")
    assert notes(frame)["equivalence"].startswith("6 of 6 pairs tie; ")
    assert "6 pairs is 0.051," in notes(frame)["equivalence"]


def test_a_circuit_that_lacks_one_edge_is_compared_with_that_edge():
    model = small_model("gpt_neox")
    graph = model.graph
    nearly = whole(model) - ie.Circuit.from_edges(model, [("a0.h3", "a2.h3.k")])
    found = hypothesis_tests(ie.Runs(model, telling_pairs(model)), nearly, n_random=1, n_inflated=5, n_permutations=1)
    added = list(_inflated(graph, nearly.kept, 5, seed=0))
    assert all((larger == graph.exists).all() for larger in added[0::2])
    assert all((less == nearly.kept).all() for less in added[1::2])
    assert found.outcomes[-1].n == 5 and found.outcomes[-1].p_value <= 1


def test_too_few_random_edges_for_the_number_of_edges_are_noted():
    model = small_model("gpt_neox")
    kept = random_connected_circuits(model.graph, 30, 1)[0]
    circuit = ie.Circuit(graph=model.graph, kept=kept, scores=np.zeros(kept.shape))
    note = notes(table(model, circuit, telling_pairs(model), **FEW))["minimality"]
    assert "no adjusted p-value of 30 edges among 19 random ones is below 1" in note.split("; ")


def test_options_out_of_range_and_circuits_of_other_graphs_are_refused():
    model = small_model("gpt_neox")
    pairs = random_pairs()
    for option, message in [
        ({"epsilon": 0.5}, "epsilon=0.5 is out of range; give a number between 0 and 0.5"),
        ({"quantile": 1.0}, "quantile=1.0 is out of range"),
        ({"alpha": 0.0}, "alpha=0.0 is out of range"),
        ({"n_random": 0}, "n_random=0 is not a number of random draws; give at least 1"),
        ({"n_inflated": 0}, "n_inflated=0 is not a number of random draws"),
        ({"n_permutations": -1}, "n_permutations=-1 is not a number of random draws"),
    ]:
        with pytest.raises(InputError, match=message):
            hypothesis_tests(ie.Runs(model, pairs), path_of(model), **option)
    with pytest.raises(InputError, match="the circuit was found on a model whose graph differs from that of"):
        hypothesis_tests(ie.Runs(small_model("gpt_neox", layers=2), pairs), path_of(model))


def test_the_model_is_left_as_it_was_found():
    model = small_model("gpt2")
    hypothesis_tests(ie.Runs(model, telling_pairs(model, 8)), path_of(model), **FEW)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.hf.parameters())
    assert torch.is_grad_enabled()


def test_a_metric_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="the metric of a pair is not finite"):
        equivalence(np.full(40, np.nan), np.ones(40))


def test_a_metric_that_is_the_same_up_to_rounding_depends_on_nothing():
    rng = np.random.default_rng(0)
    rounding = 10 + 1e-6 * rng.normal(size=24)
    assert independence(rounding, rounding, n_permutations=99).p_value == 1
    apart = rng.normal(size=24)
    assert independence(apart, apart, n_permutations=99).p_value == 0.01
