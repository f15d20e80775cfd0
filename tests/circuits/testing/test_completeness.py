from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits.known import ground_truth
from interp_emerge.circuits.running import runs as _circuit_runs
from interp_emerge.circuits.testing.completeness import Completeness, completeness
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import linear_model, small_model, telling_pairs

HEADS = ["a0.h0", "a0.h1", "a1.h0", "a1.h2"]


def whole(model: HookedModel) -> ie.Circuit:
    return ie.Circuit(graph=model.graph, kept=model.graph.exists, scores=np.zeros(model.graph.exists.shape))


def direct(model: HookedModel, *writers: str) -> ie.Circuit:
    """A circuit of nodes that read only the embedding and write only to the logits."""
    first = [f"{writer}.v" if ".h" in writer else writer for writer in writers]
    edges = [("embed", reader) for reader in first] + [(writer, "logits") for writer in writers]
    return ie.Circuit.from_edges(model, edges)


@pytest.mark.parametrize("ablation", ["resample", "mean"])
def test_the_whole_graph_is_complete_for_every_set(ablation):
    model = small_model("gpt_neox")
    found = completeness(
        ie.Runs(model, telling_pairs(model, 64), ablation=ablation), whole(model), n_random=6, max_size=2
    )
    frame = found.to_frame()
    assert set(frame["strategy"]) == {"none", "random", "greedy"}
    np.testing.assert_allclose(frame["incompleteness"], 0, atol=1e-5)
    # Positive control: knocking the sets out does change what is left.
    assert (frame["f_model"] - 1).abs().max() > 0.1


def test_without_any_set_incompleteness_is_how_far_faithfulness_is_from_one():
    model = small_model("gpt2")
    pairs, circuit = telling_pairs(model), ie.Circuit.from_nodes(model, HEADS)
    (nothing,) = completeness(ie.Runs(model, pairs), circuit, strategies=()).knock_outs
    faithfulness = ie.evaluate(model, circuit, pairs).faithfulness
    assert abs(faithfulness - 1) > 0.01
    assert nothing.f_circuit == pytest.approx(faithfulness, abs=1e-6)
    assert nothing.f_model == pytest.approx(1, abs=1e-6)
    assert nothing.incompleteness == pytest.approx(abs(faithfulness - 1), abs=1e-6)


def test_in_a_linear_model_knocking_out_a_set_removes_what_runs_through_it():
    """Effects add up there: C∖K keeps the direct paths that are left, M∖K what the whole model keeps without K."""
    model = linear_model()
    pairs, names = telling_pairs(model, 12), ["a0.h0", "a0.h3", "a1.h1"]
    circuit = direct(model, *names)
    alone = {name: ie.evaluate(model, direct(model, name), pairs).faithfulness for name in names}
    groups = {f"{i}": group for i, size in enumerate((1, 2, 3)) for group in combinations(names, size)}
    found = completeness(ie.Runs(model, pairs), circuit, strategies=(), groups=groups)
    for knocked in found.knock_outs:
        left = sum(alone[name] for name in names if name not in knocked.nodes)
        without = ie.evaluate(model, whole(model).without(knocked.nodes), pairs).faithfulness
        assert knocked.f_circuit == pytest.approx(left, abs=1e-5)
        assert knocked.f_model == pytest.approx(without, abs=1e-5)
        assert knocked.incompleteness == pytest.approx(abs(left - without), abs=1e-5)
        assert knocked.interval.low <= knocked.incompleteness <= knocked.interval.high


def test_the_greedy_set_of_one_node_is_the_best_one_and_is_measured_on_other_pairs():
    model = small_model("gpt2")
    pairs, circuit = telling_pairs(model, 24), ie.Circuit.from_nodes(model, HEADS)
    found = completeness(ie.Runs(model, pairs), circuit, strategies=["greedy"], max_size=1)
    choosing, measured = (np.sort(half) for half in np.split(np.random.default_rng(0).permutation(24), 2))
    assert found.n_pairs == 12 and (found.to_frame()["n_pairs"] == 12).all()
    groups = {name: [name] for name in HEADS}
    each = completeness(ie.Runs(model, pairs[choosing]), circuit, strategies=["role"], groups=groups).to_frame()
    best = each["nodes"][int(each["incompleteness"].argmax())]
    greedy = found.knock_outs[-1]
    assert " ".join(greedy.nodes) == best
    nodes = [*greedy.nodes]
    inside, outside = (
        ie.evaluate(model, claimed.without(nodes), pairs[measured]).faithfulness for claimed in (circuit, whole(model))
    )
    assert greedy.incompleteness == pytest.approx(abs(inside - outside), abs=1e-5)


def test_greedy_finds_a_head_with_a_backup_that_single_knock_outs_miss():
    truth = ground_truth("backup")
    found = completeness(ie.Runs(truth.model, truth.pairs), truth.circuit, strategies=["greedy"])
    greedy = found.knock_outs[-1]
    assert "a1.h0" in greedy.nodes
    assert greedy.incompleteness > 0.9 and greedy.interval.low > 0.9
    assert found.worst == greedy
    # The circuit is faithful, and the whole model does equally well without the head.
    assert found.knock_outs[0].incompleteness < 0.01
    losses = ie.score(truth.model, truth.pairs, method="ablation").to_frame().set_index("node")["score"]
    assert abs(losses["a1.h0"]) < 0.01 < losses["a0.h0"]


def test_how_circuits_are_batched_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    model = small_model("llama_grouped")
    pairs, circuit = telling_pairs(model, 8), ie.Circuit.from_nodes(model, HEADS)
    together = completeness(ie.Runs(model, pairs), circuit, n_random=6).to_frame()
    monkeypatch.setattr(_circuit_runs, "CIRCUITS_AT_ONCE", 1)
    alone = completeness(ie.Runs(model, pairs, budget=1 << 20), circuit, n_random=6).to_frame()
    assert (together["nodes"] == alone["nodes"]).all()
    np.testing.assert_allclose(together.loc[:, "f_circuit":], alone.loc[:, "f_circuit":], atol=2e-5)


def test_random_sets_hold_nodes_of_the_circuit_but_never_the_embedding():
    model = small_model("gpt_neox")
    circuit = ie.Circuit.from_nodes(model, [*HEADS, "m0"])
    frame = completeness(ie.Runs(model, telling_pairs(model)), circuit, strategies=["random"], n_random=30).to_frame()
    sets = [nodes.split() for nodes in frame["nodes"][1:]]
    assert all({*nodes} <= {*circuit.nodes} - {"embed"} for nodes in sets)
    assert len({*frame["nodes"]}) == len(frame)
    assert {len(nodes) for nodes in sets} == {1, 2, 3, 4, 5}
    again = completeness(ie.Runs(model, telling_pairs(model)), circuit, strategies=["random"], n_random=30).to_frame()
    pd.testing.assert_frame_equal(again, frame, atol=1e-5)


def test_with_a_gap_within_noise_everything_is_undefined():
    model = small_model("gpt_neox")
    pairs = telling_pairs(model)
    same = ie.PromptPairs(clean=pairs.clean, corrupt=pairs.clean, answer=pairs.answer, foil=pairs.foil)
    found = completeness(ie.Runs(model, same), ie.Circuit.from_nodes(model, HEADS), n_random=3)
    frame = found.to_frame()
    assert frame[["f_circuit", "f_model", "incompleteness", "ci_low", "ci_high"]].isna().all(axis=None)
    assert found.worst is None


def test_wrong_strategies_groups_counts_and_pairs_are_refused():
    model = small_model("gpt_neox")
    pairs, circuit = telling_pairs(model), ie.Circuit.from_nodes(model, HEADS)
    with pytest.raises(UnknownNameError, match="unknown strategy 'gredy'; did you mean 'greedy'"):
        completeness(ie.Runs(model, pairs), circuit, strategies=["gredy"])
    with pytest.raises(InputError, match="takes the roles from groups; pass groups"):
        completeness(ie.Runs(model, pairs), circuit, strategies=["role"])
    with pytest.raises(UnknownNameError, match=r"unknown node 'a9\.h0'"):
        completeness(ie.Runs(model, pairs), circuit, groups={"movers": ["a9.h0"]})
    with pytest.raises(InputError, match="group 'movers' names m2, which is not a node of the circuit"):
        completeness(ie.Runs(model, pairs), circuit, groups={"movers": ["a0.h0", "m2"]})
    with pytest.raises(InputError, match="max_size=0 is too few; give at least 1"):
        completeness(ie.Runs(model, pairs), circuit, max_size=0)
    with pytest.raises(InputError, match="n_random=-1 is too few; give at least 0"):
        completeness(ie.Runs(model, pairs), circuit, n_random=-1)
    with pytest.raises(InputError, match=r"3 pairs are too few .*; give at least 4"):
        completeness(ie.Runs(model, pairs[:3]), circuit)
    with pytest.raises(InputError, match="the circuit was found on a model whose graph differs from that of"):
        completeness(ie.Runs(small_model("gpt2", layers=2), pairs), circuit)


def test_a_circuit_without_nodes_besides_the_embedding_has_only_the_empty_set():
    model = small_model("gpt_neox")
    found = completeness(ie.Runs(model, telling_pairs(model)), ie.Circuit.from_edges(model, [("embed", "logits")]))
    assert isinstance(found, Completeness)
    assert found.to_frame()["nodes"].tolist() == ["", ""]
