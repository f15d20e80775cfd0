"""Heads matched by what they do: planted permutations, copies, and margins compared with all possible matches."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.emergence.sameness.matching import HeadFeatures, _margins, features_from, head_features, match_heads
from interp_emerge.emergence.sameness.similarity import edge_classes, overlap_by_match
from interp_emerge.patching.base import EdgeScores
from tests.models.small_models import build, telling_pairs
from tests.patching.scored import score_edges

GRAPH = Graph(n_layers=3, n_heads=4, n_kv_heads=4, parallel=False)
ROLES = ("previous_token", "duplicate_token", "induction")


def drawn(graph: Graph = GRAPH, seed: int = 0) -> HeadFeatures:
    rng = np.random.default_rng(seed)
    strength = rng.random((graph.n_layers * graph.n_heads, len(ROLES)))
    return HeadFeatures(graph=graph, roles=ROLES, strength=strength, mass=rng.random(graph.exists.shape) * graph.exists)


def permuted(features: HeadFeatures, seed: int) -> tuple[HeadFeatures, list[tuple[str, str]], np.ndarray, np.ndarray]:
    """The same heads under other names, and the pairs that a match has to find."""
    graph, rng = features.graph, np.random.default_rng(seed)
    orders = [rng.permutation(graph.n_heads) for _ in range(graph.n_layers)]
    heads = np.concatenate([layer * graph.n_heads + order for layer, order in enumerate(orders)])

    def moved(nodes: tuple) -> np.ndarray:
        at = {node: index for index, node in enumerate(nodes)}
        kinds = ("head", "q", "k", "v")
        return np.array([
            at[type(node)(node.layer, node.kind, int(orders[node.layer][node.index]))] if node.kind in kinds else index
            for index, node in enumerate(nodes)
        ])  # fmt: skip

    writers, readers = moved(graph.writers), moved(graph.readers)
    mass = None if features.mass is None else features.mass[np.ix_(writers, readers)]
    other = HeadFeatures(graph=graph, roles=features.roles, strength=features.strength[heads], mass=mass)
    pairs = sorted((features.heads[old], features.heads[new]) for new, old in enumerate(heads))
    return other, pairs, writers, readers


@pytest.mark.parametrize("seed", range(5))
def test_heads_that_are_permuted_within_their_layers_are_found_again(seed: int):
    features = drawn(seed=seed)
    other, pairs, writers, readers = permuted(features, seed)
    match = match_heads(features, other)
    assert sorted(match.pairs) == pairs and not match.unmatched_a and not match.unmatched_b
    assert match.identifiable and match.margin > 0.02
    assert features.mass is not None
    kept = np.random.default_rng(9).random(GRAPH.exists.shape) < 0.3 * GRAPH.exists
    a = Circuit(graph=GRAPH, kept=kept, scores=features.mass * kept)
    moved = kept[np.ix_(writers, readers)]
    b = Circuit(graph=GRAPH, kept=moved, scores=a.scores[np.ix_(writers, readers)])
    found = overlap_by_match(a, b, match, n_random=50)
    assert found.to_frame()["similarity"].tolist() == pytest.approx([1, 1, 1, 1])
    assert (found.unmatched_a, found.unmatched_b, found.ambiguous) == (0, 0, 0)
    assert found["edges"]["random_high"] < 0.5 and found["edges"]["p_value"] == pytest.approx(1 / 51)


def test_heads_of_a_model_that_are_permuted_in_its_weights_are_found_again():
    plain, moved, width = build("llama"), build("llama"), 6
    orders = [[2, 0, 3, 1], [1, 3, 2, 0], [0, 2, 1, 3]]
    with torch.no_grad():
        for layer, order in zip(moved.model.layers, orders, strict=True):
            rows = torch.cat([torch.arange(width) + width * head for head in order])
            for name in ("q_proj", "k_proj", "v_proj"):
                weight = getattr(layer.self_attn, name).weight
                weight.copy_(weight[rows].clone())
            layer.self_attn.o_proj.weight.copy_(layer.self_attn.o_proj.weight[:, rows].clone())
    models = [ie.hook(plain), ie.hook(moved)]
    pairs = telling_pairs(models[0], 12)
    a, b = (head_features(model, score_edges(model, pairs, "eap"), roles=["previous_token"]) for model in models)
    match = match_heads(a, b, least_margin=1e-6)
    expected = {(f"a{layer}.h{old}", f"a{layer}.h{new}") for layer, order in enumerate(orders)
                for new, old in enumerate(order)}  # fmt: skip
    assert set(match.pairs) == expected and match.identifiable


def test_copies_of_one_head_are_not_identifiable_and_the_others_are():
    features = drawn()
    assert features.mass is not None
    strength, mass = features.strength.copy(), features.mass.copy()
    strength[5] = strength[4]
    graph = features.graph
    names, readers = list(graph.writer_names), list(graph.reader_names)
    mass[names.index("a1.h1")] = mass[names.index("a1.h0")]
    for kind in "qkv":
        mass[:, readers.index(f"a1.h1.{kind}")] = mass[:, readers.index(f"a1.h0.{kind}")]
    copied = HeadFeatures(graph=graph, roles=ROLES, strength=strength, mass=mass)
    match = match_heads(copied, copied)
    assert not match.identifiable and match.margin == pytest.approx(0, abs=1e-12)
    assert {a for a, _ in match.ambiguous} == {"a1.h0", "a1.h1"}
    rows = match.to_frame().set_index("a")
    assert rows["identifiable"].sum() == 10 and rows["margin"].drop(["a1.h0", "a1.h1"]).min() > 0.02
    assert {rows["rival"]["a1.h0"], rows["rival"]["a1.h1"]} == {"a1.h0", "a1.h1"}
    assert "2 not identifiable" in repr(match)
    swapped = match.without(("a1.h0", "a1.h0"))
    assert set(swapped.pairs) - set(match.pairs) == {("a1.h0", "a1.h1"), ("a1.h1", "a1.h0")}
    kept = graph.edge_matrix([("embed", "a1.h0.v"), ("a1.h0", "logits")])
    one = Circuit(graph=graph, kept=kept, scores=kept * 1.0)
    found = overlap_by_match(one, one, match, n_random=5)
    # Through the other match its head is the copy, whose edges the circuit does not hold.
    assert (found.jaccard, found.rivals, found.n_rivals) == (1, (0, 1), 1)
    assert (found.doubts.ambiguous_a, found.doubts.ambiguous_b, found.doubts.n_ambiguous) == (1, 1, 2)


@pytest.mark.parametrize(("shape", "seed"), [*product([(3, 3), (3, 5), (5, 3)], range(6))])
def test_a_margin_is_what_the_best_of_all_other_matches_costs_more(shape: tuple[int, int], seed: int):
    cost, most = np.random.default_rng(seed).random(shape), 0.6

    def total(images: tuple[int, ...]) -> float:
        return sum(cost[row, at] - most for row, at in enumerate(images) if at >= 0)

    # Every row takes a column of its own, or none.
    places = [*range(shape[1]), *[-1] * shape[0]]
    matches = set(permutations(places, shape[0]))
    best = min(matches, key=total)
    margins, rival = _margins(cost, np.array(best), most)
    for row, at in enumerate(best):
        if at < 0:
            assert np.isnan(margins[row])
            continue
        others = [images for images in matches if images[row] != at]
        second = min(others, key=total)
        assert margins[row] == pytest.approx(total(second) - total(best))
        assert rival[row] == second[row]


def test_a_head_unlike_all_others_stays_unmatched():
    small = Graph(n_layers=1, n_heads=2, n_kv_heads=2, parallel=False)
    a = HeadFeatures(graph=small, roles=("induction",), strength=np.array([[0.9], [0.0]]))
    b = HeadFeatures(graph=small, roles=("induction",), strength=np.array([[0.05], [0.1]]))
    match = match_heads(a, b, most=0.25)
    assert match.pairs == [("a0.h1", "a0.h0")] and (match.unmatched_a, match.unmatched_b) == (["a0.h0"], ["a0.h1"])
    assert match.to_frame()["b"].tolist() == ["", "a0.h0", "a0.h1"]
    kept = small.edge_matrix([("embed", "a0.h0.v"), ("a0.h0", "logits"), ("embed", "logits")])
    circuit = Circuit(graph=small, kept=kept, scores=kept * 1.0)
    found = overlap_by_match(circuit, circuit, match, n_random=20)
    # a0.h0 of a has no partner, and that of b is the partner of another head, whose edges a does not keep.
    assert (found["edges"]["shared"], found.jaccard) == (1, pytest.approx(1 / 5))
    assert found.unmatched_a == pytest.approx(2 / 3) and found.unmatched_b == 0
    assert (found.n_rivals, found.rivals) == (0, (found.jaccard, found.jaccard))


def test_strength_is_how_far_a_head_clears_its_baseline():
    small = Graph(n_layers=1, n_heads=3, n_kv_heads=3, parallel=False)
    rows = [(f"a0.h{head}", role, score, 0.2, score > 0.3)
            for role, scores in {"induction": (0.6, 0.25, 1.0), "copying": (4.2, 2.2, 0.1)}.items()
            for head, score in enumerate(scores)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["node", "role", "score", "baseline", "clears_baseline"])
    features = features_from(small, table)
    np.testing.assert_allclose(features.strength, [[0.5, 1], [0, 0.5], [1, 0]])
    # A role with a largest value takes precedence over one without.
    assert features.labels == ("induction", "copying", "induction")
    undefined = table.assign(score=table["score"].where(table["role"] == "induction"))
    assert features_from(small, undefined).roles == ("induction",)
    with pytest.raises(InputError, match="lists 2 heads for role 'induction', the graph has 3; give"):
        features_from(small, table[table["node"] != "a0.h0"])


def test_a_shared_key_has_a_partner_if_the_partners_of_its_heads_share_a_key():
    grouped = Graph(n_layers=1, n_heads=4, n_kv_heads=2, parallel=False)
    strength = np.eye(4)[:, :3]
    features = HeadFeatures(graph=grouped, roles=ROLES, strength=strength)
    swapped = HeadFeatures(graph=grouped, roles=ROLES, strength=strength[[2, 3, 0, 1]])
    mixed = HeadFeatures(graph=grouped, roles=ROLES, strength=strength[[0, 2, 1, 3]])
    names = grouped.reader_names
    at = match_heads(features, swapped).readers
    assert names[at[names.index("a0.kv0.k")]] == "a0.kv1.k" and (at >= 0).all()
    at = match_heads(features, mixed).readers
    assert at[names.index("a0.kv0.k")] == -1 and names[at[names.index("a0.h1.q")]] == "a0.h2.q"


def test_mlps_of_a_deeper_model_are_matched_by_depth():
    deep = drawn(Graph(n_layers=6, n_heads=4, n_kv_heads=4, parallel=False), seed=1)
    match = match_heads(drawn(), deep, most=1.0)
    names, theirs = GRAPH.writer_names, deep.graph.writer_names
    partners = {names[row]: theirs[at] for row, at in enumerate(match.writers) if at >= 0}
    assert [partners[f"m{layer}"] for layer in range(3)] == ["m1", "m3", "m5"] and partners["embed"] == "embed"
    backward = match_heads(deep, drawn(), most=1.0)
    assert sum(at >= 0 for name, at in zip(theirs, backward.writers, strict=True) if name[0] == "m") == 3
    images = match.edges[match.edges >= 0]
    assert len(set(images)) == len(images)


def test_edge_classes_name_what_feeds_what():
    small = Graph(n_layers=2, n_heads=1, n_kv_heads=1, parallel=False)
    features = HeadFeatures(graph=small, roles=("previous_token", "induction"), strength=np.eye(2))
    kept = small.edge_matrix([("embed", "a0.h0.v"), ("a0.h0", "a1.h0.k"), ("a1.h0", "logits")])
    values = np.where(kept, 1.0, 0.0)
    values[small.edge_matrix([("a0.h0", "a1.h0.k")])] = -2
    frame = edge_classes(Circuit(graph=small, kept=kept, scores=values), features)
    assert frame["edge_class"][0] == "previous_token → induction K"
    assert (frame["share"][0], frame["n_edges"][0], frame["enrichment"][0]) == (0.5, 1, 0.5 * small.n_edges)
    assert frame["share"].sum() == pytest.approx(1)


def test_what_cannot_be_matched_is_refused():
    features = drawn()
    with pytest.raises(InputError, match=r"no role in common: previous_token, .* and none; measure"):
        match_heads(features, HeadFeatures(graph=GRAPH, roles=(), strength=np.zeros((12, 0))))
    with pytest.raises(InputError, match="compare nothing; give three"):
        match_heads(features, features, weights=(0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="most=2 is not a possible cost"):
        match_heads(features, features, most=2.0)
    with pytest.raises(InputError, match=r"need strengths of shape \(12, 3\)"):
        HeadFeatures(graph=GRAPH, roles=ROLES, strength=np.zeros((3, 3)))
    other = Graph(n_layers=2, n_heads=1, n_kv_heads=1, parallel=False)
    bare = Circuit(graph=other, kept=other.exists, scores=np.zeros(other.exists.shape))
    with pytest.raises(InputError, match="another shape than its side of the match; match"):
        overlap_by_match(bare, bare, match_heads(features, features))
    scores = EdgeScores.from_pairs(other, np.ones((2, other.n_edges), np.float32))
    with pytest.raises(InputError, match="another shape than the heads; give scores"):
        features_from(GRAPH, pd.DataFrame(columns=["role", "score", "baseline"]), scores)
