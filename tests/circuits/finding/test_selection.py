from functools import cache
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.finding import selection
from interp_emerge.circuits.finding.selection import grow, smallest_faithful
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph, without_edges
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import EdgeScores
from tests.models.small_models import small_model, telling_pairs
from tests.patching.scored import score_edges

GRAPHS = {
    "serial": Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False),
    "parallel": Graph(n_layers=3, n_heads=2, n_kv_heads=2, parallel=True),
    "grouped": Graph(n_layers=2, n_heads=4, n_kv_heads=2, parallel=False),
    "joined": Graph(n_layers=2, n_heads=4, n_kv_heads=2, parallel=False, joined=True, rescaled=True),
}


def drawn_scores(graph: Graph, seed: int = 0) -> EdgeScores:
    scores = np.random.default_rng(seed).normal(size=graph.exists.shape) * graph.exists
    return EdgeScores(graph=graph, scores=scores, standard_errors=0 * scores, origin={"method": "by hand"})


def grown_by_looking_everywhere(scores: EdgeScores, n: int, by: str) -> np.ndarray:
    """Greedy growth by definition: every edge is looked at before each step."""
    graph, strength = scores.graph, np.abs(scores.scores) if by == "magnitude" else scores.scores
    kept = np.zeros_like(graph.exists)
    for _ in range(n):
        components = {writer for writer in range(len(graph.writers)) if kept[writer].any()}
        readers = [
            reader
            for reader in range(len(graph.readers))
            if graph.readers[reader].kind == "logits" or components & {*np.flatnonzero(graph.reaches[reader])}
        ]
        open_edges = [
            (writer, reader)
            for writer in range(len(graph.writers))
            for reader in readers
            if graph.exists[writer, reader] and not kept[writer, reader]
        ]
        if not open_edges:
            break
        kept[max(open_edges, key=lambda edge: strength[edge])] = True
    return graph.prune(kept)


@pytest.mark.parametrize("by", ["score", "magnitude"])
@pytest.mark.parametrize("shape", GRAPHS)
def test_growth_adds_the_strongest_edge_into_the_nodes_already_added(shape: str, by: Any):
    scores = drawn_scores(GRAPHS[shape])
    for n in (1, 2, 5, 12, 30, scores.graph.n_edges):
        grown = grow(scores, n, by=by)
        assert (grown.kept == grown_by_looking_everywhere(scores, n, by)).all()
        assert (grown.scores == scores.scores * grown.kept).all() and grown.origin == {"method": "by hand"}
    assert (grow(scores, scores.graph.n_edges).kept == scores.graph.exists).all()


def test_growth_skips_a_strong_edge_until_its_reader_is_added():
    graph, scores = GRAPHS["serial"], np.zeros(GRAPHS["serial"].exists.shape)
    for edge, score in {("embed", "a0.h0.v"): 9.0, ("a0.h0", "m1"): 5.0, ("m0", "logits"): 2.0,
                        ("embed", "m0"): 1.0, ("m1", "logits"): 0.5}.items():  # fmt: skip
        scores[graph.edge_matrix([edge])] = score
    given = EdgeScores(graph=graph, scores=scores, standard_errors=0 * scores)
    assert len(given.top(3)) == 0
    assert {(edge.writer, edge.reader) for edge in grow(given, 2).edges} == {("m0", "logits"), ("embed", "m0")}
    assert len(grow(given, 3)) == 2  # m1 → logits is added, but no edge into m1 yet
    assert len(grow(given, 5)) == 5


def test_a_shared_key_is_open_once_one_of_its_heads_is_added():
    graph = GRAPHS["grouped"]
    scores = graph.edge_matrix([("a1.h1", "logits"), ("embed", "a1.kv0.k"), ("embed", "a1.kv1.k")]).astype(float)
    grown = grow(EdgeScores(graph=graph, scores=scores, standard_errors=0 * scores), 2)
    assert {(edge.writer, edge.reader) for edge in grown.edges} == {("embed", "a1.kv0.k"), ("a1.h1", "logits")}


@pytest.mark.parametrize("n", [0, 10_000])
def test_growing_no_edges_or_more_than_the_graph_has_is_refused(n: int):
    with pytest.raises(InputError, match=rf"n_edges={n}; give 1 to"):
        grow(drawn_scores(GRAPHS["serial"]), n)


@cache
def scored(
    architecture: str = "llama", layers: int = 2, n_pairs: int = 8
) -> tuple[HookedModel, ie.PromptPairs, EdgeScores]:
    model = small_model(architecture, layers=layers)
    pairs = telling_pairs(model, n_pairs)
    return model, pairs, score_edges(model, pairs, "eap_ig")


def reached(model: HookedModel, kept: np.ndarray, pairs: ie.PromptPairs, **options: Any) -> float:
    return ie.Runs(model, pairs, **options).evaluations([kept])[0].faithfulness


SHARES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def test_among_given_shares_the_first_that_reaches_the_target_is_chosen():
    model, pairs, scores = scored()
    sizes = [round(share * model.graph.n_edges) for share in SHARES]
    values = [reached(model, scores.top(size).kept, pairs) for size in sizes]
    target = max(values[:-2]) - 0.01
    expected = scores.top(sizes[next(i for i, value in enumerate(values) if value >= target)])
    found = smallest_faithful(
        ie.Runs(model, pairs), scores, target=target, shares=SHARES[::-1], local_search=False, sure=False
    )
    assert found == expected
    assert [size for size, _ in found.origin["selection"]["tried"]] == sizes


@pytest.mark.parametrize("select", ["top", "grow"])
@pytest.mark.parametrize("target", [0.3, 0.8, 0.95])
def test_the_chosen_size_is_the_smallest_tried_that_reaches_the_target(select: Any, target: float):
    model, pairs, scores = scored()
    found = smallest_faithful(
        ie.Runs(model, pairs), scores, target=target, select=select, local_search=False, sure=False
    )
    tried = dict(found.origin["selection"]["tried"])
    size = min(size for size, value in tried.items() if value >= target)
    # No size is left untried just below.
    assert size == 1 or (tried[size - 1] < target)
    assert found == (scores.top(size) if select == "top" else grow(scores, size))
    assert reached(model, found.kept, pairs) >= target - 1e-6
    assert len(tried) < 40 < model.graph.n_edges


@pytest.mark.parametrize(("sure", "ablation"), [(True, "resample"), (False, "resample"), (False, "mean")])
def test_after_the_local_search_the_target_is_reached_and_no_edge_can_be_dropped(sure: bool, ablation: Any):
    model, pairs, scores = scored(layers=3, n_pairs=32)
    runs = ie.Runs(model, pairs, ablation=ablation)
    whole = smallest_faithful(runs, scores, target=0.6, sure=sure, local_search=False)
    found = smallest_faithful(runs, scores, target=0.6, sure=sure)
    assert len(found) < len(whole) and not (found.kept & ~whole.kept).any()
    assert (model.graph.prune(found.kept) == found.kept).all()

    without = [found.kept.copy() for _ in found.edges]
    for kept, edge in zip(without, np.argwhere(found.kept), strict=True):
        kept[tuple(edge)] = False
    here, *others = runs.evaluations([found.kept, *(model.graph.prune(kept) for kept in without)])
    assert (here.ci[0] if sure else here.faithfulness) >= 0.6
    assert max(other.ci[0] if sure else other.faithfulness for other in others) < 0.6
    chosen = found.origin["selection"]
    assert chosen["minimal"] and chosen["reached"]
    assert chosen["faithfulness"] == pytest.approx(here.faithfulness, abs=1e-5)


@pytest.mark.parametrize("parts", [1, 8])
def test_dropping_blocks_first_ends_as_minimal_as_single_edges(parts: int, monkeypatch: pytest.MonkeyPatch):
    model, pairs, scores = scored(layers=3, n_pairs=32)
    runs = ie.Runs(model, pairs)
    whole = smallest_faithful(runs, scores, target=0.6, local_search=False)
    monkeypatch.setattr(selection, "BLOCKS", len(whole) // parts)  # with one part, blocks are single edges
    found = smallest_faithful(runs, scores, target=0.6)
    assert len(found) < len(whole) and found.origin["selection"]["minimal"]
    without = [without_edges(found.kept, [edge]) for edge in np.argwhere(found.kept)]
    here, *others = runs.evaluations([found.kept, *map(model.graph.prune, without)])
    assert here.ci[0] >= 0.6 > max(other.ci[0] for other in others)


def test_with_few_rounds_the_circuit_says_that_it_may_not_be_minimal():
    model, pairs, scores = scored()
    found = smallest_faithful(ie.Runs(model, pairs), scores, target=0.6, max_rounds=1)
    whole = smallest_faithful(ie.Runs(model, pairs), scores, target=0.6, local_search=False)
    assert len(found) < len(whole)
    assert found.origin["selection"]["reached"] and not found.origin["selection"]["minimal"]


def test_being_sure_takes_no_fewer_edges():
    model, pairs, scores = scored()
    sizes = [
        len(smallest_faithful(ie.Runs(model, pairs), scores, target=0.9, sure=sure, local_search=False))
        for sure in (False, True)
    ]
    assert sizes[0] <= sizes[1]


def test_if_no_size_reaches_the_target_the_largest_is_returned():
    model, pairs, scores = scored()
    found = smallest_faithful(ie.Runs(model, pairs), scores, target=100.0, largest=0.1)
    assert found == scores.share(0.1)
    assert not found.origin["selection"]["reached"]
    assert (smallest_faithful(ie.Runs(model, pairs), scores, target=100.0).kept == model.graph.exists).all()


@pytest.mark.parametrize("target", [float("nan"), float("inf"), 0.0, -0.5])
def test_a_target_that_is_not_a_finite_number_above_zero_is_refused(target: float):
    model, pairs, scores = scored()
    with pytest.raises(InputError, match=rf"^target={target:g} is not a fraction of the gap; give a finite number"):
        smallest_faithful(ie.Runs(model, pairs), scores, target=target)


def test_a_negative_number_of_rounds_is_refused():
    model, pairs, scores = scored()
    with pytest.raises(InputError, match="max_rounds=-1 is not a number of rounds; give at least 0"):
        smallest_faithful(ie.Runs(model, pairs), scores, max_rounds=-1)


def test_the_whole_graph_reaches_any_target_up_to_one():
    model, pairs, scores = scored()
    assert smallest_faithful(ie.Runs(model, pairs), scores, target=1.0, shares=[1.0]).origin["selection"]["reached"]


def test_if_faithfulness_is_undefined_the_circuit_is_empty():
    model, pairs, scores = scored()
    turned = ie.PromptPairs(clean=pairs.clean, corrupt=pairs.corrupt, answer=pairs.foil, foil=pairs.answer)
    found = smallest_faithful(ie.Runs(model, turned), scores)
    assert len(found) == 0
    assert found.origin["selection"]["faithfulness"] is None and not found.origin["selection"]["reached"]


def test_the_circuit_carries_its_origin_and_scores_through_a_file(tmp_path: Any):
    model, pairs, scores = scored("gpt_neox")
    circuit = smallest_faithful(ie.Runs(model, pairs, ablation="zero"), scores, target=0.5)
    assert circuit.origin["method"] == "eap_ig" and circuit.origin["ablation"] == "zero"
    assert circuit.origin["selection"]["target"] == 0.5
    assert (circuit.scores == scores.scores * circuit.kept).all()
    circuit.save(tmp_path / "circuit.json")
    loaded = ie.Circuit.load(tmp_path / "circuit.json")
    assert loaded == circuit and loaded.origin == circuit.origin


def test_batches_and_budget_change_nothing():
    model, pairs, scores = scored()
    options: dict[str, Any] = {"target": 0.4, "shares": SHARES, "sure": False}
    found = smallest_faithful(ie.Runs(model, pairs), scores, **options)
    assert 0 < len(found) < 60
    assert smallest_faithful(ie.Runs(model, pairs, budget=3 << 20), scores, **options) == found
    order = np.random.default_rng(0).permutation(len(pairs))
    assert smallest_faithful(ie.Runs(model, pairs[order]), scores, **options) == found


@pytest.mark.parametrize("given", [{"shares": [0.1, 1.5]}, {"largest": 0.0}, {"shares": [-0.5]}])
def test_shares_out_of_range_are_refused(given: dict[str, Any]):
    model, pairs, scores = scored()
    with pytest.raises(InputError, match=r"is not a share of the graph's edges; give a number above 0"):
        smallest_faithful(ie.Runs(model, pairs), scores, **given)
    with pytest.raises(InputError, match="shares is empty; give some"):
        smallest_faithful(ie.Runs(model, pairs), scores, shares=[])


def test_scores_of_another_graph_are_refused():
    model, pairs, _ = scored()
    with pytest.raises(
        InputError, match="the scores were taken on a model whose graph differs from that of memory/Llama"
    ):
        smallest_faithful(ie.Runs(model, pairs), drawn_scores(GRAPHS["serial"]))
