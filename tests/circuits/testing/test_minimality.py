import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits.known import ground_truth
from interp_emerge.circuits.testing.minimality import minimality
from interp_emerge.core.errors import InputError
from tests.models.small_models import linear_model, small_model, telling_pairs

HEADS = ["a0.h0", "a0.h1", "a1.h0", "a1.h2"]
COLUMNS = ["node", "place", "effect", "ci_low", "ci_high", "without", "null_median", "null_max", "p_value"]


def test_in_a_linear_model_the_effect_of_a_node_is_its_own_share_of_the_gap():
    model = linear_model()
    pairs, names = telling_pairs(model, 24), ["a0.h0", "a0.h3", "a1.h1"]
    paths = {name: [("embed", f"{name}.v"), (name, "logits")] for name in names}
    circuit = ie.Circuit.from_edges(model, [edge for path in paths.values() for edge in path])
    found = minimality(ie.Runs(model, pairs, seed=3), circuit, n_outside=0)
    _, measured = np.split(np.random.default_rng(3).permutation(24), 2)
    for node in found.inside:
        alone = ie.evaluate(model, ie.Circuit.from_edges(model, paths[node.node]), pairs[np.sort(measured)])
        assert node.effect == pytest.approx(abs(alone.faithfulness), abs=1e-5)
        assert node.interval.low <= node.effect <= node.interval.high
    frame = found.to_frame()
    assert list(frame.columns) == COLUMNS
    assert frame["node"].tolist() == names
    assert frame["p_value"].isna().all()


def test_a_node_that_does_nothing_has_no_effect_and_no_better_rank_than_those_outside():
    model = small_model("gpt_neox")
    used, lost = [("embed", "a0.h1.v"), ("a0.h1", "logits")], [("embed", "a0.h0.v"), ("a0.h0", "m1")]
    circuit = ie.Circuit.from_edges(model, used + lost)
    frame = minimality(ie.Runs(model, telling_pairs(model, 24)), circuit).to_frame().set_index("node")
    # Nothing reads m1, so what a0.h0 writes is lost on the way.
    assert frame["effect"]["a0.h0"] == 0
    assert frame["p_value"]["a0.h0"] == 1
    assert frame["effect"]["a0.h1"] > 0.01


def test_random_nodes_are_outside_the_circuit_and_their_effects_rank_those_inside():
    model = small_model("gpt2")
    circuit = ie.Circuit.from_nodes(model, HEADS)
    found = minimality(ie.Runs(model, telling_pairs(model, 24)), circuit, n_outside=5)
    outside = [node.node for node in found.outside]
    assert len(outside) == 5 and not {*outside} & {*circuit.nodes}
    effects = np.array([node.effect for node in found.outside])
    assert (effects > 0).all()
    frame = found.to_frame()
    for node, p_value in zip(found.inside, frame["p_value"], strict=False):
        assert p_value == (1 + (effects >= node.effect).sum()) / 6
    assert frame["null_max"].iloc[0] == effects.max()
    again = minimality(ie.Runs(model, telling_pairs(model, 24)), circuit, n_outside=5).to_frame()
    pd.testing.assert_frame_equal(again, frame, atol=1e-5)


def test_a_node_is_added_with_every_edge_that_joins_it_to_the_circuit():
    """With all nodes but one in the circuit, adding the last gives the circuit of all nodes."""
    model = small_model("gpt2")
    pairs = telling_pairs(model, 24)
    names = [name for name in model.graph.writer_names if name not in ("embed", "a1.h1")]
    circuit = ie.Circuit.from_nodes(model, names)
    (added,) = minimality(ie.Runs(model, pairs, seed=1), circuit, n_random=0).outside
    _, measured = np.split(np.random.default_rng(1).permutation(24), 2)
    half = pairs[np.sort(measured)]
    before, after = (ie.evaluate(model, ie.Circuit.from_nodes(model, of), half) for of in (names, [*names, "a1.h1"]))
    assert added.node == "a1.h1" and added.without == ()
    assert abs(after.faithfulness - before.faithfulness) > 0.01
    assert added.effect == pytest.approx(abs(after.faithfulness - before.faithfulness), abs=1e-5)


def test_a_backup_has_an_effect_only_once_the_head_it_backs_up_is_knocked_out():
    truth = ground_truth("backup")
    with_backup = ie.Circuit.from_nodes(truth.model, [*truth.circuit.nodes, "a2.h0"])
    frame = minimality(ie.Runs(truth.model, truth.pairs), with_backup, n_random=20).to_frame().set_index("node")
    assert frame["effect"]["a2.h0"] > 0.5
    assert "a1.h0" in str(frame["without"]["a2.h0"]).split()
    plain = ie.evaluate(truth.model, with_backup.without(["a2.h0"]), truth.pairs)
    assert abs(plain.faithfulness - ie.evaluate(truth.model, with_backup, truth.pairs).faithfulness) < 0.01


def test_with_a_gap_within_noise_effects_are_undefined():
    model = small_model("gpt_neox")
    pairs = telling_pairs(model)
    same = ie.PromptPairs(clean=pairs.clean, corrupt=pairs.clean, answer=pairs.answer, foil=pairs.foil)
    found = minimality(ie.Runs(model, same), ie.Circuit.from_nodes(model, HEADS), n_outside=3)
    assert not found.defined
    frame = found.to_frame()
    assert frame[["effect", "ci_low", "ci_high", "null_median", "null_max", "p_value"]].isna().all(axis=None)


def test_too_few_pairs_negative_counts_and_unknown_groups_are_refused():
    model = small_model("gpt_neox")
    circuit = ie.Circuit.from_nodes(model, HEADS)
    with pytest.raises(InputError, match=r"2 pairs are too few .*; give at least 4"):
        minimality(ie.Runs(model, telling_pairs(model)[:2]), circuit)
    with pytest.raises(InputError, match="n_random=-1 is too few; give at least 0"):
        minimality(ie.Runs(model, telling_pairs(model)), circuit, n_random=-1)
    with pytest.raises(InputError, match="n_outside=-1 is too few; give at least 0"):
        minimality(ie.Runs(model, telling_pairs(model)), circuit, n_outside=-1)
    with pytest.raises(InputError, match="group 'early' names m0, which is not a node of the circuit"):
        minimality(ie.Runs(model, telling_pairs(model)), circuit, groups={"early": ["m0"]})


def test_an_empty_circuit_has_no_rows():
    model = small_model("gpt_neox")
    found = minimality(ie.Runs(model, telling_pairs(model)), ie.Circuit.from_edges(model, []))
    assert found.to_frame().empty
    assert list(found.to_frame().columns) == COLUMNS
