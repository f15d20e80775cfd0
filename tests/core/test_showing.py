"""Results show themselves in a notebook and draw their figure; no name in them becomes markup."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.showing import html_of
from interp_emerge.emergence.scale.axes import load_axis
from interp_emerge.emergence.scale.ladder import Ladder
from interp_emerge.figures.circuit_graph import circuit_graph
from interp_emerge.figures.head_effects import head_effects
from interp_emerge.patching.scores import EdgeScores, NodeScores
from tests.figures.drawn import assert_same_rows, dataset

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)
HOSTILE = "<img src=x onerror=alert(1)>"
ORIGIN = {"model": {"family": "f", "size": HOSTILE, "step": 8, "seed": 1}, "method": HOSTILE, "metric": "logit_diff"}


def node_scores() -> NodeScores:
    values = np.random.default_rng(0).normal(size=(6, len(GRAPH.writers)))
    return NodeScores(graph=GRAPH, per_pair=values, origin=ORIGIN)


def edge_scores() -> EdgeScores:
    values = np.random.default_rng(0).normal(size=(6, GRAPH.n_edges)).astype(np.float32)
    return EdgeScores.from_pairs(GRAPH, values, origin=ORIGIN)


def curve() -> FaithfulnessCurve:
    random = np.random.default_rng(0)

    def at(share: float) -> Evaluation:
        clean = random.normal(5, 0.1, 12)
        kept = {"metric": share * clean, "clean": clean, "corrupt": 0 * clean, "kl": clean, "right": np.ones(12)}
        return Evaluation(**kept, ablation="resample")

    shares = (0.1, 0.5, 1.0)
    both = {"by_score": tuple(map(at, shares)), "by_magnitude": tuple(map(at, shares))}
    return FaithfulnessCurve(shares=shares, n_edges=(3, 15, 30), **both)


RESULTS = {"nodes": node_scores(), "edges": edge_scores(), "circuit": edge_scores().top(36), "curve": curve(),
           "evaluation": curve().by_score[1]}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_a_line_and_few_rows_and_escapes_every_name(name: str):
    html = RESULTS[name]._repr_html_()
    assert html.count("<tr") <= 12
    assert "<img" not in html
    assert len(repr(RESULTS[name])) < 160


def test_the_strongest_rows_come_first_and_the_rest_is_counted():
    html = edge_scores()._repr_html_()
    writer, reader = edge_scores().ranked()[0]
    assert (
        f"<td>{GRAPH.writer_names[writer]}</td>\n      <td>{GRAPH.reader_names[reader]}</td>" in html.split("</tr>")[1]
    )
    assert f"{GRAPH.n_edges - 8} more" in html


def test_undefined_values_are_named():
    assert "undefined" in html_of("", pd.DataFrame({"a": [np.nan], "b": [1.0]}))


def test_node_scores_plot_their_head_map():
    chart = node_scores().plot()
    assert isinstance(chart, alt.VConcatChart)
    table = node_scores().to_frame()
    assert_same_rows(dataset(chart), table[table["kind"] != "embed"], ["node", "score", "ci_low", "ci_high", "layer"])
    assert set(dataset(chart)["size"]) == {HOSTILE} and set(dataset(chart)["step"]) == {8}


@pytest.mark.parametrize("result", [edge_scores(), edge_scores().top(36)], ids=["scores", "circuit"])
def test_edge_scores_and_circuits_plot_their_graph(result: EdgeScores | Circuit):
    drawn = dataset(result.plot(), "edges")
    assert_same_rows(drawn, result.to_frame(), ["writer", "reader", "score"])
    assert len(dataset(result.plot(most=5), "edges")) == 5


def test_a_curve_plots_both_rankings_with_their_intervals():
    drawn = dataset(curve().plot())
    table = curve().to_frame().assign(ranking=lambda frame: "edges by " + frame["ranking"])
    assert_same_rows(drawn, table, ["ranking", "share", "faithfulness", "ci_low", "ci_high"])


def test_a_ladder_plots_every_metric_over_scale():
    runs = tuple((np.random.default_rng(at).uniform(size=(8, 2)),) for at in range(3))
    about = {"points": ("a", "b", "c"), "places": np.array([10.0, 100.0, 1000.0]), "metrics": ("accuracy", "prob")}
    ladder = Ladder(ability=HOSTILE, axis=load_axis("parameters"), values=runs, **about)
    assert_same_rows(dataset(ladder.plot()), ladder.to_frame(), ["metric", "place", "value", "ci_low", "ci_high"])
    assert "<img" not in ladder._repr_html_()


def test_figures_take_what_functions_return_without_a_studys_columns():
    assert len(dataset(head_effects(node_scores().to_frame()))) == len(GRAPH.writers) - 1
    assert len(dataset(circuit_graph(edge_scores().top(36).to_frame()), "edges")) == len(edge_scores().top(36))
    with pytest.raises(InputError, match="lacks column 'seed'"):
        head_effects(node_scores().to_frame().assign(size="", step=0))


def test_scores_at_several_positions_are_not_drawn_over_each_other():
    values = np.zeros((2, 2, len(GRAPH.writers)))
    scores = NodeScores(graph=GRAPH, per_pair=values, positions=("a", "b"), origin=ORIGIN)
    with pytest.raises(InputError, match="at several positions"):
        scores.plot()
