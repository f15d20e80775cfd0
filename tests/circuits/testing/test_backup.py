import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.known import ground_truth
from interp_emerge.circuits.testing.backup import backup_heads
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import Ablation
from tests.models.small_models import ARCHITECTURES, HEADS, LAYERS, small_model, telling_pairs


def metric_without(model: HookedModel, pairs: ie.PromptPairs, gone: list[str], ablation: Ablation) -> np.ndarray:
    """The metric of the whole graph without every edge that some nodes write, built from the names of the edges."""
    graph = model.graph
    edges = [
        (writer, reader)
        for at, writer in enumerate(graph.writer_names)
        for to, reader in enumerate(graph.reader_names)
        if graph.exists[at, to] and writer not in gone
    ]
    return ie.evaluate(model, ie.Circuit.from_edges(model, edges), pairs, ablation=ablation).metric


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("ablation", ["resample", "zero"])
def test_the_interaction_is_a_heads_effect_without_the_others_minus_its_effect_with_them(
    architecture: str, ablation: Ablation
):
    model, gone = small_model(architecture), ["a1.h2", "m0"]
    pairs = telling_pairs(model)
    frame = backup_heads(ie.Runs(model, pairs, ablation=ablation), gone).set_index("node")
    assert len(frame) == LAYERS * HEADS - 1 and "a1.h2" not in frame.index
    for head in ("a0.h1", "a2.h0"):
        m, less_head, less_gone, less_both = (
            metric_without(model, pairs, nodes, ablation) for nodes in ([], [head], gone, [*gone, head])
        )
        assert frame["worth"][head] == pytest.approx((m - less_head).mean(), abs=1e-5)
        assert frame["worth_without"][head] == pytest.approx((less_gone - less_both).mean(), abs=1e-5)
        expected = ((less_gone - less_both) - (m - less_head)).mean()
        assert frame["interaction"][head] == pytest.approx(expected, abs=1e-5)
        assert frame["ci_low"][head] <= frame["interaction"][head] <= frame["ci_high"][head]
    assert frame["interaction"].abs().max() > 1e-3


def test_the_head_that_was_built_to_take_over_is_found_and_no_other():
    truth = ground_truth("backup")
    frame = backup_heads(ie.Runs(truth.model, truth.pairs), ["a1.h0"]).set_index("node")
    assert [*frame.index[frame["backs_up"]]] == ["a2.h0"]
    assert frame["worth"]["a2.h0"] == pytest.approx(0, abs=1e-3)
    assert frame["worth_without"]["a2.h0"] > 9
    # The head that both depend on has the same effect with either of them.
    assert frame["interaction"]["a0.h0"] == pytest.approx(0, abs=1e-3)
    assert frame["worth"]["a0.h0"] > 6


def test_where_nothing_was_built_to_take_over_no_head_does():
    truth = ground_truth("induction_distractors")
    assert not backup_heads(ie.Runs(truth.model, truth.pairs), truth.circuit.heads[-1:])["backs_up"].any()


def test_small_pieces_give_the_same_table():
    model = small_model("gpt2")
    pairs = telling_pairs(model)
    whole, split = (
        backup_heads(ie.Runs(model, pairs, budget=budget), ["a0.h0"])
        for budget in (None, 40 * model.graph.exists.nbytes + 10**6)
    )
    numbers = [column for column in whole.columns if whole[column].dtype == float]
    np.testing.assert_allclose(split[numbers], whole[numbers], atol=1e-5)


def test_no_ablated_node_or_every_head_ablated_is_refused():
    model = small_model("gpt2")
    pairs = telling_pairs(model)
    with pytest.raises(UnknownNameError, match=r"unknown node 'a0\.h9'; did you mean 'a0\.h"):
        backup_heads(ie.Runs(model, pairs), ["a0.h9"])
    with pytest.raises(InputError, match=r"no node is ablated; name some nodes"):
        backup_heads(ie.Runs(model, pairs), [])
    with pytest.raises(InputError, match=r"every head is ablated; .* leave heads that could back them up"):
        backup_heads(ie.Runs(model, pairs), [head.name for head in model.graph.nodes(["head"])])
