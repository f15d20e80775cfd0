import numpy as np
import pytest

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Edge, Graph


def graph(
    *, layers: int = 2, heads: int = 2, kv_heads: int | None = None, parallel: bool = False, **norms: bool
) -> Graph:
    return Graph(n_layers=layers, n_heads=heads, n_kv_heads=kv_heads or heads, parallel=parallel, **norms)


def pruned(of: Graph, *edges: tuple[str, str]) -> set[tuple[str, str]]:
    kept = of.prune(of.edge_matrix(edges))
    return {(of.writer_names[writer], of.reader_names[reader]) for writer, reader in np.argwhere(kept)}


def test_edges_are_counted_by_hand_in_a_serial_a_parallel_and_a_grouped_model():
    # Layer 0: 3 readers a head with 1 writer, an MLP with 3 (1 if parallel). Layer 1: with 4, an MLP with 6 (4).
    # The logits have 7. Sharing keys and values leaves 4 attention readers a layer instead of 6.
    assert graph().n_edges == 6 * 1 + 3 + 6 * 4 + 6 + 7
    assert graph(parallel=True).n_edges == 6 * 1 + 1 + 6 * 4 + 4 + 7
    assert graph(kv_heads=1).n_edges == 4 * 1 + 3 + 4 * 4 + 6 + 7


def test_nodes_carry_the_names_of_the_literature_in_the_order_in_which_they_run():
    assert graph(layers=1).writer_names == ("embed", "a0.h0", "a0.h1", "m0")
    sides = [f"a0.h{head}.{side}" for side in "qkv" for head in range(2)]
    assert graph(layers=1).reader_names == (*sides, "m0", "logits")


def test_shared_keys_and_values_are_named_by_their_key_value_head():
    names = graph(layers=1, heads=4, kv_heads=2).reader_names
    assert names == (
        *(f"a0.h{head}.q" for head in range(4)),
        "a0.kv0.k",
        "a0.kv1.k",
        "a0.kv0.v",
        "a0.kv1.v",
        "m0",
        "logits",
    )


def test_a_reader_takes_in_the_writers_that_ran_before_it():
    def inputs(of: Graph, reader: str) -> set[str]:
        return {
            name
            for name, there in zip(of.writer_names, of.exists[:, of.reader_names.index(reader)], strict=True)
            if there
        }

    serial, parallel = graph(), graph(parallel=True)
    assert inputs(serial, "a0.h1.v") == {"embed"}
    assert inputs(serial, "m0") == {"embed", "a0.h0", "a0.h1"}
    assert inputs(parallel, "m0") == {"embed"}
    assert inputs(serial, "a1.h0.q") == inputs(parallel, "a1.h0.q") == {"embed", "a0.h0", "a0.h1", "m0"}
    assert inputs(serial, "logits") == set(serial.writer_names)


def test_every_reader_feeds_its_head_and_a_shared_key_feeds_its_whole_group():
    def fed(of: Graph, reader: str) -> list[str]:
        return [of.writer_names[index] for index in np.flatnonzero(of.reaches[of.reader_names.index(reader)])]

    grouped = graph(heads=4, kv_heads=2)
    assert fed(grouped, "a1.h2.q") == ["a1.h2"]
    assert fed(grouped, "a1.kv1.k") == fed(grouped, "a1.kv1.v") == ["a1.h2", "a1.h3"]
    assert fed(grouped, "m1") == ["m1"]
    assert fed(grouped, "logits") == []


def test_where_a_norm_joins_the_heads_a_query_or_key_reaches_all_heads_of_its_layer_and_a_value_its_own():
    def fed(reader: str) -> list[str]:
        return [of.writer_names[index] for index in np.flatnonzero(of.reaches[of.reader_names.index(reader)])]

    of = graph(heads=4, kv_heads=2, joined=True)
    everyone = [f"a1.h{head}" for head in range(4)]
    assert fed("a1.h2.q") == fed("a1.kv0.k") == everyone
    assert fed("a1.kv1.v") == ["a1.h2", "a1.h3"]
    assert of.n_edges == graph(heads=4, kv_heads=2).n_edges


def test_pruning_follows_a_joined_query_and_a_rescaled_value_to_another_head():
    for side, more in (("q", {"joined": True}), ("q", {"rescaled": True}), ("v", {"rescaled": True})):
        path = [("embed", f"a0.h0.{side}"), ("a0.h1", "logits")]
        assert pruned(graph(**more), *path) == set(path)
        assert pruned(graph(), *path) == set()
    value = [("embed", "a0.h0.v"), ("a0.h1", "logits")]
    assert pruned(graph(joined=True), *value) == set()


def test_nodes_of_some_kinds_come_in_the_order_in_which_they_run():
    of = graph(heads=2, kv_heads=1)
    named = [of.node_name(node) for node in of.nodes(["mlp", "head", "embed", "k", "pattern", "resid_pre", "q"])]
    layers = [
        f"r{i}.pre a{i}.h0.q a{i}.h1.q a{i}.kv0.k a{i}.h0.pattern a{i}.h1.pattern a{i}.h0 a{i}.h1 m{i}"
        for i in range(2)
    ]
    assert " ".join(named) == f"embed {layers[0]} {layers[1]}"
    whole = [of.node_name(node) for node in of.nodes(["resid_mid", "attention", "resid_post", "v"])]
    assert whole == [name for i in range(2) for name in (f"a{i}.kv0.v", f"a{i}", f"r{i}.mid", f"r{i}.post")]
    assert of.nodes([]) == ()


def test_a_kind_of_node_that_a_graph_lacks_is_refused():
    with pytest.raises(UnknownNameError, match="unknown site 'heads'; did you mean 'head'"):
        graph().nodes(["heads"])
    assert len(graph().nodes(["resid_mid"])) == 2
    with pytest.raises(UnknownNameError, match="unknown site 'resid_mid'"):  # heads and MLP read the same stream
        graph(parallel=True).nodes(["resid_mid"])


def test_named_edges_become_a_matrix_whether_given_as_pairs_or_as_edges():
    of = graph()
    kept = of.edge_matrix([("embed", "a0.h1.k"), Edge("a0.h1", "logits")])
    assert {(int(writer), int(reader)) for writer, reader in np.argwhere(kept)} == {
        (0, of.reader_names.index("a0.h1.k")),
        (2, of.reader_names.index("logits")),
    }


@pytest.mark.parametrize(
    ("edge", "error", "message"),
    [
        (("a0.h7", "logits"), UnknownNameError, "unknown writer 'a0.h7'; did you mean 'a0.h"),
        (("embed", "a0.h0"), UnknownNameError, "unknown reader 'a0.h0'; did you mean 'a0.h0"),
        (("m1", "a0.h0.q"), InputError, "no edge m1 → a0.h0.q: m1 runs after a0.h0.q; give edges from earlier nodes"),
        (("m0", "m0"), InputError, "no edge m0 → m0"),
    ],
)
def test_an_edge_that_cannot_be_is_refused(edge: tuple[str, str], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        graph().edge_matrix([edge])


def test_a_parallel_block_has_no_edge_from_its_heads_to_its_mlp():
    assert graph().edge_matrix([("a0.h0", "m0")]).any()
    with pytest.raises(InputError, match=r"no edge a0\.h0 → m0"):
        graph(parallel=True).edge_matrix([("a0.h0", "m0")])


def test_pruning_keeps_a_whole_path_and_nothing_beside_it():
    path = [("embed", "a0.h1.v"), ("a0.h1", "a1.h0.k"), ("a1.h0", "logits")]
    unheard, unreached = ("embed", "m1"), ("a0.h0", "logits")
    assert pruned(graph(), *path, unheard, unreached) == set(path)


def test_pruning_follows_dead_ends_back_to_where_they_leave_the_path():
    branch = [("embed", "a0.h0.v"), ("a0.h0", "m0"), ("m0", "a1.h1.q")]
    assert pruned(graph(), *branch) == set()
    assert pruned(graph(), *branch, ("embed", "logits")) == {("embed", "logits")}


@pytest.mark.parametrize("side", "qkv")
def test_a_head_counts_as_reached_through_any_of_its_readers(side: str):
    path = {("embed", f"a1.h0.{side}"), ("a1.h0", "logits")}
    assert pruned(graph(), *path) == path


def test_a_shared_key_is_heard_through_any_head_of_its_group_and_reaches_all_of_them():
    grouped = graph(heads=4, kv_heads=2)
    path = {("embed", "a0.kv0.k"), ("a0.h1", "logits")}
    assert pruned(grouped, *path, ("a0.h2", "logits")) == path


def test_pruning_keeps_the_whole_graph_and_pruning_twice_is_pruning_once():
    whole = graph(layers=3)
    assert (whole.prune(whole.exists) == whole.exists).all()
    rng = np.random.default_rng(0)
    for share in (0.05, 0.2, 0.5):
        once = whole.prune(whole.exists & (rng.random(whole.exists.shape) < share))
        assert (whole.prune(once) == once).all()


def test_pruning_agrees_with_a_search_for_paths():
    import networkx

    whole, rng = graph(layers=3, heads=3), np.random.default_rng(1)
    for share in (0.03, 0.08, 0.15, 0.3):
        kept = whole.exists & (rng.random(whole.exists.shape) < share)
        directed = networkx.DiGraph([("in", "w0"), (f"r{kept.shape[1] - 1}", "out")])
        directed.add_edges_from((f"w{writer}", f"r{reader}") for writer, reader in np.argwhere(kept))
        directed.add_edges_from((f"r{reader}", f"w{writer}") for reader, writer in np.argwhere(whole.owner))
        before, after = networkx.ancestors(directed, "out"), networkx.descendants(directed, "in")
        on_path = {(w, r) for w, r in np.argwhere(kept).tolist() if f"w{w}" in after and f"r{r}" in before}
        assert {(w, r) for w, r in np.argwhere(whole.prune(kept)).tolist()} == on_path
