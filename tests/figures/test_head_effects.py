import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
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


def test_an_undefined_score_is_grey_and_no_number():
    table = node_scores()
    table.loc[table["node"] == "a0.h0", ["score", "ci_low", "ci_high"]] = np.nan
    chart = head_effects(table)
    assert dataset(chart).query("node == 'a0.h0'")["score"].isna().all()
    assert "isValid(datum.score)" in parts(spec_of(chart), "test")


def test_scores_of_several_methods_are_not_laid_over_each_other():
    table = pd.concat([node_scores(), node_scores().assign(method="eap")])
    with pytest.raises(InputError, match=r"2 values of 'method' \(activation_patching, eap\)"):
        head_effects(table)


def test_a_table_of_embeddings_alone_is_refused():
    table = node_scores()
    with pytest.raises(InputError, match="no head and no MLP"):
        head_effects(table[table["kind"] == "embed"])
