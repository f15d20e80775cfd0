"""Dependence on a circuit: complete where the circuit is known to carry everything, zero on heads that do nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

import interp_emerge as ie
from interp_emerge.circuits.known import GroundTruth
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.emergence.forming.dependence import (
    Part,
    _onsets,
    dependence,
    dependence_at,
    dependence_from,
    parts_of,
)
from interp_emerge.emergence.forming.parts import PartRuns, _random_parts, measure_parts, runs_frame, runs_from_frame
from interp_emerge.emergence.forming.tables import DEPENDENCE_COLUMNS, DependenceCriterion, DependenceVerdict
from tests.models.small_models import small_model


@pytest.fixture(scope="module")
def distractors() -> GroundTruth:
    return ie.circuits.ground_truth("induction_distractors", 12)


def at(frame: pd.DataFrame, component: str, metric: str = "logit_diff") -> pd.Series:
    (row,) = frame[(frame["component"] == component) & (frame["metric"] == metric)].to_dict("records")
    return pd.Series(row)


def heads(*names: str) -> list[Part]:
    return [Part(kind="head", name=name, nodes=(name,)) for name in names]


def test_ablating_the_circuit_loses_everything_and_idle_heads_nothing(distractors: GroundTruth):
    others = ("a0.h1", "a0.h2", "a0.h3", "a1.h1", "a1.h2", "a1.h3")
    parts = [*parts_of(distractors.circuit), *heads(*others)]
    found = dependence_at(ie.Runs(distractors.model, distractors.pairs), distractors.circuit, parts=parts)
    for metric in ("logit_diff", "accuracy"):
        gap = at(found, "every edge", metric)["drop"]
        assert gap > 0.9
        for carrier in ("circuit edges", "circuit heads", "a1.h0"):
            row = at(found, carrier, metric)
            assert (row["drop"], row["share"]) == pytest.approx((gap, 1), rel=1e-5)
        for idle in others:
            assert at(found, idle, metric)["drop"] == 0
            assert at(found, idle, metric)["p_value"] == 1
    # The previous-token head carries one corruption of the three, the one that exchanges keys.
    assert at(found, "a0.h0")["share"] == pytest.approx(1 / 3, abs=0.01)


def test_a_part_is_compared_with_heads_of_its_layers_outside_the_circuit(distractors: GroundTruth):
    found = dependence_at(ie.Runs(distractors.model, distractors.pairs), distractors.circuit)
    assert [*found] == [*DEPENDENCE_COLUMNS]
    row = at(found, "circuit heads")
    assert row["nodes"] == "a0.h0 a1.h0"
    assert (row["null"], row["n_random"], row["random_p95"]) == ("heads outside the circuit", 9, 0)
    assert row["p_value"] == pytest.approx(1 / 10)
    assert at(found, "a0.h0")["n_random"] == 3
    assert at(found, "circuit edges")["n_random"] == 20
    assert at(found, "circuit edges")["null"] == "connected circuits"
    assert np.isnan(at(found, "every edge")["p_value"])


def test_where_a_layer_has_no_other_head_there_is_no_null():
    truth = ie.circuits.ground_truth("induction", 12)
    row = at(dependence_at(ie.Runs(truth.model, truth.pairs), truth.circuit), "a1.h0")
    assert row["share"] == pytest.approx(1, rel=1e-5)
    assert np.isnan(row["p_value"])
    assert row["note"] == "no null: a layer has too few other heads"


def test_a_head_that_another_head_replaces_costs_nothing():
    truth = ie.circuits.ground_truth("backup", 12)
    parts = [*heads("a1.h0", "a2.h0"), Part(kind="role", name="induction", nodes=("a1.h0", "a2.h0"))]
    found = dependence_at(ie.Runs(truth.model, truth.pairs), truth.circuit, parts=parts)
    assert at(found, "a1.h0")["drop"] == 0
    assert at(found, "a2.h0")["drop"] == 0
    assert at(found, "induction")["share"] == pytest.approx(1, rel=1e-5)


def test_ablating_a_head_agrees_with_ablate(distractors: GroundTruth):
    found = dependence_at(ie.Runs(distractors.model, distractors.pairs, ablation="mean"), distractors.circuit)
    expected = ie.ablate(distractors.model, ["a0.h0"], distractors.pairs, ablation="mean")
    assert at(found, "a0.h0")["value"] == pytest.approx(expected.mean(), rel=1e-5)


def test_the_parts_are_everything_edges_heads_roles_and_each_head(distractors: GroundTruth):
    parts = parts_of(distractors.circuit, roles={"previous_token": ["a0.h0", "a0.h1"], "induction": ["a1.h3"]})
    assert [(part.kind, part.name, part.nodes) for part in parts] == [
        ("model", "every edge", ()),
        ("edges", "circuit edges", ()),
        ("circuit", "circuit heads", ("a0.h0", "a1.h0")),
        ("role", "previous_token", ("a0.h0",)),
        ("head", "a0.h0", ("a0.h0",)),
        ("head", "a1.h0", ("a1.h0",)),
    ]


def test_without_a_gap_nothing_is_depended_on(distractors: GroundTruth):
    same = replace(distractors.pairs, corrupt=distractors.pairs.clean)
    found = dependence_at(ie.Runs(distractors.model, same), distractors.circuit)
    assert found[["drop", "share", "p_value", "random_p95"]].isna().all(axis=None)
    assert found["note"].str.fullmatch("undefined: the gap of 0 is within noise").all()
    assert found["value"].notna().all()
    onsets = dependence([(5, distractors.model)], distractors.circuit, same).onsets
    assert {*onsets["verdict"]} == {DependenceVerdict.UNDEFINED}
    assert onsets["first_with"].isna().all()


def test_the_metric_may_be_accuracy_or_ones_own(distractors: GroundTruth):
    def answer_logit(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        return logits.gather(1, pairs.answer[:, None])[:, 0]

    parts = heads("a1.h0")
    for metric, names in (("accuracy", ["accuracy"]), (answer_logit, ["answer_logit", "accuracy"])):
        runs = ie.Runs(distractors.model, distractors.pairs, metric=metric)
        assert dependence_at(runs, distractors.circuit, parts=parts)["metric"].tolist() == names


def test_a_model_made_at_one_step_depends_on_its_circuit_from_there_on(distractors: GroundTruth):
    family = ie.load_family("handset")
    before, after = (family.load("induction_distractors", step) for step in (0, 1))

    def found(steps: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
        models = [(step, after if step else lambda: before) for step in steps]
        result = dependence(models, distractors.circuit, distractors.pairs, n_random=2)
        return result.table, result.onsets

    table, onsets = found([0, 1, 2])
    assert table["step"].drop_duplicates().tolist() == [0, 1, 2]
    rows = onsets[(onsets["component"] == "circuit heads")]
    assert rows["criterion"].tolist() == [*DependenceCriterion] * 2
    assert rows["verdict"].tolist() == [DependenceVerdict.TOO_FEW, DependenceVerdict.DEPENDS] * 2
    ends = rows[["last_without", "first_with", "ci_low", "ci_high"]]
    assert ends.to_numpy().tolist() == [[0, 1, 1, 1]] * 4
    for left, right in zip((table, onsets), found([2, 0, 1]), strict=True):
        pd.testing.assert_frame_equal(left, right)


def by_hand(drop: float, *, random: float = 0.1, gap: float = 1.0, spread: float = 0.0, choices: int = 19) -> PartRuns:
    """Runs of 40 pairs with these mean drops."""
    noise = np.tile([-spread, spread], 20)
    without, zero = 1 - drop + noise, np.zeros(40)
    part = Part(kind="head", name="a0.h0", nodes=("a0.h0",))
    others = np.full((choices, 40), 1 - random)
    more = {"part": part, "metric": "accuracy", "n_edges": 1, "null": "other heads"}
    return PartRuns(whole=zero + 1, empty=zero + 1 - gap, without=without, without_random=others, **more)


@pytest.mark.parametrize(
    ("drops", "first", "verdict"),
    [
        ([0.05, 0.2, 0.8], (1, 2), (DependenceVerdict.DEPENDS, DependenceVerdict.DEPENDS)),
        ([0.05, 0.7, 0.05, 0.8], (3, 3), (DependenceVerdict.DEPENDS, DependenceVerdict.DEPENDS)),
        ([0.3, 0.5], (0, 0), (DependenceVerdict.FROM_THE_START, DependenceVerdict.FROM_THE_START)),
        ([0.05, 0.8, 0.05], (None, 0), (DependenceVerdict.LOST_AGAIN, DependenceVerdict.FROM_THE_START)),
        ([0.0, 0.0, 0.0], (None, None), (DependenceVerdict.NOT_REACHED, DependenceVerdict.NOT_REACHED)),
    ],
    ids=["grows", "a coincidence passes", "always", "no more than random at the end", "never"],
)
def test_the_onset_is_the_first_step_from_which_dependence_lasts(drops: list[float], first: tuple, verdict: tuple):
    onsets = _onsets([*range(len(drops))], [by_hand(drop) for drop in drops], 0)
    assert tuple(onset["first_with"] for onset in onsets) == first
    assert tuple(onset["verdict"] for onset in onsets) == verdict


def test_fewer_than_19_random_choices_are_too_few():
    for choices, verdict in (
        (3, DependenceVerdict.TOO_FEW),
        (18, DependenceVerdict.TOO_FEW),
        (19, DependenceVerdict.DEPENDS),
    ):
        above, half = _onsets([10, 20], [by_hand(drop, choices=choices) for drop in (0.0, 0.8)], 0)
        assert (above["first_with"], above["n_random"], above["verdict"]) == (20, choices, verdict)
        assert half["verdict"] == DependenceVerdict.DEPENDS


def test_runs_come_back_from_their_table_as_they_were(distractors: GroundTruth):
    runs = ie.Runs(distractors.model, distractors.pairs)
    made = measure_parts(runs, parts_of(distractors.circuit), distractors.circuit, n_random=4)
    again = runs_from_frame(runs_frame(made))
    pd.testing.assert_frame_equal(dependence_from({5: made}).table, dependence_from({5: again}).table)
    pd.testing.assert_frame_equal(dependence_from({5: made}).onsets, dependence_from({5: again}).onsets)


def test_with_too_few_heads_outside_the_circuit_any_heads_of_the_layers_are_the_null():
    model = ie.load_family("miniature").load("560k")
    heads_of = ["a1.h0", "a1.h4", "a2.h0", "a2.h2", "a2.h3", "a2.h7"]
    circuit = ie.Circuit.from_nodes(model, ["embed", *heads_of])
    part = Part(kind="circuit", name="circuit heads", nodes=tuple(heads_of))
    for count, null in ((15, "heads outside the circuit"), (20, "any heads")):
        found, choices = _random_parts(model.graph, part, circuit, count, seed=0)
        assert (found, len(choices)) == (null, count)
        for choice in choices:
            assert [node[:2] for node in choice.nodes] == ["a1"] * 2 + ["a2"] * 4
            assert {*choice.nodes} != {*heads_of}
    assert not any({*choice.nodes} & {*heads_of} for choice in _random_parts(model.graph, part, circuit, 15, seed=0)[1])


def test_an_mlp_has_no_null():
    known = ie.circuits.ground_truth("chain", 12)
    found = dependence_at(ie.Runs(known.model, known.pairs), known.circuit)
    row = at(found, "m1")
    assert (row["kind"], row["n_random"], row["note"]) == ("mlp", 0, "no null: a layer has one MLP")
    assert row["share"] == pytest.approx(1, rel=1e-5)
    onsets = dependence([(5, known.model)], known.circuit, known.pairs).onsets
    assert {
        *onsets[(onsets["kind"] == "mlp") & (onsets["criterion"] == DependenceCriterion.ABOVE_RANDOM)]["verdict"]
    } == {DependenceVerdict.UNDEFINED}


def test_onsets_that_vary_over_pairs_have_a_wide_interval_or_are_undecided():
    above, _ = _onsets([10, 20, 30], [by_hand(0.0), by_hand(0.15, spread=0.4), by_hand(0.8)], 0)
    assert (above["first_with"], above["ci_low"], above["ci_high"]) == (20, 20, 30)
    above, _ = _onsets([10, 20], [by_hand(0.0), by_hand(0.15, spread=0.4)], 0)
    assert (above["first_with"], above["ci_high"], above["verdict"]) == (20, None, DependenceVerdict.UNDECIDED)


def test_every_edge_is_compared_with_zero_alone():
    runs = [by_hand(gap, gap=gap) for gap in (0.0, 0.05, 0.8)]
    everything = Part(kind="model", name="every edge", edges=np.ones((1, 1), dtype=bool))
    above, half = _onsets(
        [1, 2, 3], [replace(one, part=everything, without_random=np.empty((0, 40))) for one in runs], 0
    )
    assert (above["first_with"], half["first_with"]) == (2, 3)


def test_a_checkpoint_without_a_gap_counts_as_not_depending():
    above, half = _onsets([1, 2, 3], [by_hand(0.8), by_hand(0.8, gap=0.0), by_hand(0.8)], 0)
    assert above["first_with"] == half["first_with"] == 3


def test_what_cannot_be_measured_is_refused(distractors: GroundTruth):
    model, circuit, pairs = distractors.model, distractors.circuit, distractors.pairs
    with pytest.raises(InputError, match="the circuit has no edge, so there is nothing to ablate; find a circuit"):
        dependence_at(ie.Runs(model, pairs), circuit.with_kept(np.zeros_like(circuit.kept)))
    with pytest.raises(InputError, match="n_random is 0; give at least 1 random choice"):
        dependence_at(ie.Runs(model, pairs), circuit, n_random=0)
    with pytest.raises(InputError, match="the circuit was found on a model whose graph differs from that of"):
        dependence_at(ie.Runs(small_model("gpt2"), pairs), circuit)
    with pytest.raises(UnknownNameError, match=r"unknown node 'a0\.h9'; did you mean 'a0\.h"):
        dependence_at(ie.Runs(model, pairs), circuit, parts=heads("a0.h9"))
    with pytest.raises(InputError, match="step 3 is given twice; give each checkpoint of one training run once"):
        dependence([(3, model), (3, model)], circuit, pairs, parts=heads("a0.h0"))
    with pytest.raises(InputError, match="no checkpoint was given; give at least one"):
        dependence([], circuit, pairs)
