import pytest

import interp_emerge as ie
from interp_emerge.circuits.selection import SHARES, smallest_faithful
from tests.core.small_models import small_model, telling_pairs
from tests.patching.scored import score_edges


def test_the_first_share_that_reaches_the_target_is_chosen():
    model = small_model("llama")
    pairs = telling_pairs(model)
    scores = score_edges(model, pairs, "eap_ig")
    shares = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    counts = [round(share * model.graph.n_edges) for share in shares]
    reached = [ie.evaluate(model, scores.top(count), pairs).faithfulness for count in counts]
    target = max(reached[:-2]) - 0.01
    expected = scores.top(counts[next(i for i, value in enumerate(reached) if value >= target)])
    assert smallest_faithful(model, scores, pairs, target=target, shares=shares[::-1]) == expected


def test_where_no_share_reaches_the_target_the_largest_is_given():
    model = small_model("llama")
    pairs = telling_pairs(model)
    scores = score_edges(model, pairs, "eap")
    expected = scores.top(round(SHARES[-1] * model.graph.n_edges))
    assert smallest_faithful(model, scores, pairs, target=float("inf")) == expected


@pytest.mark.parametrize("method", ["eap", "eap_ig"])
def test_the_circuit_carries_the_origin_and_scores_of_its_edges(method: str):
    model = small_model("gpt_neox")
    pairs = telling_pairs(model)
    scores = score_edges(model, pairs, method)
    circuit = smallest_faithful(model, scores, pairs)
    assert circuit.origin["method"] == method
    assert (circuit.scores == scores.scores * circuit.kept).all()
