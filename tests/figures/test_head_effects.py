import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures._export import save
from interp_emerge.figures.head_effects import head_effects
from tests.figures.drawn import assert_same_rows, dataset, parts, spec_of
from tests.figures.invented import node_scores

VALUES = ["size", "seed", "node", "layer", "kind", "index", "score", "ci_low", "ci_high", "share"]


def test_cells_are_the_tables_heads_and_mlps():
    table = node_scores()
    drawn = dataset(head_effects(table))
    assert_same_rows(drawn, table[table["kind"] != "embed"], VALUES)
    assert set(drawn.loc[drawn["kind"] == "mlp", "column"]) == {"MLP"}
    heads = drawn[drawn["kind"] == "head"]
    assert (heads["column"] == heads["index"].astype(str)).all()


def test_colours_are_symmetric_around_zero_and_shared_by_all_sizes():
    table = node_scores()
    largest = table.loc[table["kind"] != "embed", "score"].abs().max()
    domains = parts(spec_of(head_effects(table)), "domain")
    assert [domain for domain in domains if isinstance(domain, list)] == [[-largest, largest]] * 7


def test_there_is_a_panel_per_size_in_the_tables_order_and_seeds_are_told_apart():
    assert parts(spec_of(head_effects(node_scores())), "text")[:7] == ["3k", "12k", "25k", "60k", "200k", "500k", "1m"]
    two = pd.concat([node_scores(), node_scores().assign(seed=1)])
    titles = parts(spec_of(head_effects(two[two["size"] == "1m"])), "text")
    assert titles[:2] == ["1m, seed 0", "1m, seed 1"]


def test_an_undefined_score_is_grey_and_no_number(tmp_path):
    table = node_scores()
    table.loc[table["node"] == "a0.h0", ["score", "ci_low", "ci_high"]] = np.nan
    chart = head_effects(table)
    assert dataset(chart).query("node == 'a0.h0'")["score"].isna().all()
    assert "!isValid(datum.score)" in parts(spec_of(chart), "filter")
    assert save(chart, tmp_path / "heads.svg").read_text().count('fill="#bdbdbd"') == 7


def test_scores_of_several_methods_are_not_laid_over_each_other():
    table = pd.concat([node_scores(), node_scores().assign(method="eap")])
    with pytest.raises(InputError, match=r"2 values of 'method' \(activation_patching, eap\)"):
        head_effects(table)


def test_a_table_of_embeddings_alone_is_refused():
    table = node_scores()
    with pytest.raises(InputError, match="no head and no MLP"):
        head_effects(table[table["kind"] == "embed"])


def one_dark_cell() -> pd.DataFrame:
    """Scores of a model of 30 layers in which the first MLP has the whole effect, as in a real model."""
    random = np.random.default_rng(0)
    nodes = [(f"a{layer}.h{head}", layer, "head", head) for layer in range(30) for head in range(9)]
    nodes += [(f"m{layer}", layer, "mlp", 0) for layer in range(30)]
    table = pd.DataFrame(nodes, columns=["node", "layer", "kind", "index"]).assign(score=random.normal(0, 0.3, 300))
    table.loc[table["node"] == "m0", "score"] = 7.6
    about = {"size": "135m", "step": 1, "seed": 0, "ability": "x", "method": "y", "metric": "z"}
    tests = {"ci_low": table["score"] - 0.2, "ci_high": table["score"] + 0.2, "p_value": 1.0, "q_value": 1.0}
    return table.assign(**about, **tests, share=0.1)


def test_one_dark_cell_does_not_make_all_others_white_and_is_named():
    table = one_dark_cell()
    chart = head_effects(table)
    (domain,) = {tuple(domain) for domain in parts(spec_of(chart), "domain") if isinstance(domain, list)}
    others = table.loc[table["node"] != "m0", "score"].abs()
    assert domain[1] == -domain[0] == others.max()
    drawn = dataset(chart)
    assert drawn.loc[drawn["beyond"], "node"].tolist() == ["m0"]
    assert (drawn["score"].abs() > domain[1]).tolist() == drawn["beyond"].tolist()
    assert "m0 (+7.6)" in spec_of(chart)["title"]["text"]
    assert "title" not in spec_of(head_effects(node_scores()))


def test_a_node_that_stands_twice_is_refused():
    with pytest.raises(InputError, match=r"several rows of node embed"):
        head_effects(pd.concat([node_scores().query("size == '1m'")] * 2))
