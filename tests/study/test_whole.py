"""The whole chain on the bundled family, and what it finds there."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.emergence.forming.tables import DependenceCriterion, DependenceVerdict
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.report.sentences.answers import induction_edges
from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import read_table
from tests.report.browser import open_page

pytestmark = pytest.mark.slow
NO_SEED = "no other seed to compare with"


def tables_of(out: Path) -> dict[str, pd.DataFrame]:
    return {name: read_table(table, out / "tables") for name, table in all_tables().items()}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study that `interp-emerge run` makes, with fewer checkpoints."""
    out = tmp_path_factory.mktemp("study") / "whole"
    study = ie.Study(out=str(out), steps=(0, 500, 750, 5000), probed_layers=2)
    assert study.run() == out / "report.html"
    return out


def test_one_layer_is_at_chance_and_the_largest_size_has_the_ability(whole: Path) -> None:
    ability = tables_of(whole)["ability"]
    last = ability[(ability["step"] == 5000) & (ability["metric"] == "accuracy") & (ability["ability"] == "induction")]
    by_size = {row["size"]: row for row in last[last["seed"] == 0].to_dict("records")}

    for size in ("3k", "5k"):
        assert by_size[size]["ci_high"] < 0.25, "one layer cannot do induction"
        assert by_size[size]["ci_low"] <= by_size[size]["chance"] + 0.05
    assert by_size["560k"]["ci_low"] > 0.9


def test_induction_emerges_with_an_interval_and_the_control_does_not(whole: Path) -> None:
    onsets = tables_of(whole)["onsets"]
    over_sizes = {row["ability"]: row for row in onsets[onsets["axis"] == "size"].to_dict("records")}

    assert over_sizes["induction"]["verdict"] == OnsetVerdict.EMERGENT
    assert all(over_sizes["induction"][end] for end in ("last_without", "first_with", "ci_low", "ci_high"))
    assert over_sizes["markov"]["verdict"] != OnsetVerdict.EMERGENT


def test_at_least_three_abilities_appear_at_different_sizes(whole: Path) -> None:
    onsets = tables_of(whole)["onsets"]
    over_sizes = onsets[(onsets["axis"] == "size") & (onsets["verdict"] == OnsetVerdict.EMERGENT)]

    assert over_sizes["first_with"].nunique() >= 3


def test_the_largest_circuit_is_small_faithful_and_beats_chance(whole: Path) -> None:
    circuit = next(row for row in tables_of(whole)["circuits"].to_dict("records") if row["size"] == "560k")

    assert circuit["faithfulness"] >= 0.8
    assert circuit["edge_share"] <= 0.15
    assert circuit["n_random"] == 50
    assert circuit["ci_low"] > circuit["random_p95"]


def test_its_previous_token_heads_feed_the_keys_of_later_induction_heads(whole: Path) -> None:
    tables = tables_of(whole)
    circuit = ie.Circuit.load(whole / "circuits" / "induction-560k-step5000-seed0.json")
    roles, edges = (tables[name][tables[name]["size"] == "560k"] for name in ("roles", "circuit_edges"))
    found = induction_edges(roles, edges, circuit.graph)

    assert found
    assert {(edge.writer, edge.reader) for edge in circuit.edges} >= set(found)
    for writer, reader in found:
        assert int(writer[1 : writer.index(".")]) < int(reader[1 : reader.index(".")])


def test_the_ability_needs_the_circuits_heads_and_not_random_ones(whole: Path) -> None:
    ablation = tables_of(whole)["ablation"]
    here = ablation[ablation["size"] == "560k"].groupby("condition")["accuracy"]

    assert here.get_group("none").item() > 0.9
    assert here.get_group("circuit heads").item() < 0.5
    assert here.get_group("random heads of the same layers").median() > 0.9


def test_the_control_does_not_jump_and_seeds_are_a_distribution(whole: Path) -> None:
    tables = tables_of(whole)
    verdicts = tables["jump"].drop_duplicates("ability").set_index("ability")["verdict"]
    seeds = tables["seeds"].set_index(["ability", "size"])

    assert verdicts["markov"] == MirageVerdict.NO_JUMP
    assert verdicts["indirect_object"] == MirageVerdict.MODEL
    assert tuple(seeds.loc[("induction", "7k"), ["n_seeds", "n_success"]]) == (3, 1)


def test_the_previous_token_head_comes_before_the_induction_head_with_its_probability(whole: Path) -> None:
    order = tables_of(whole)["order"]
    here = order[(order["size"] == "560k") & (order["quantity_a"] == "previous_token")]

    assert (here[here["quantity_b"] == "induction"]["before"] > 0.975).all()


def test_the_ability_comes_to_depend_on_its_circuit_and_not_on_random_heads(whole: Path) -> None:
    tables = tables_of(whole)
    here = tables["dependence"][(tables["dependence"]["size"] == "560k") & (tables["dependence"]["kind"] == "circuit")]
    last = here[(here["step"] == 5000) & (here["metric"] == "logit_diff")].iloc[0]
    onsets = tables["dependence_onsets"]

    assert (last["null"], last["n_random"]) == ("any heads", 20)
    assert last["drop"] > last["random_p95"] and last["p_value"] < 0.05
    of_560k: Any = onsets[(onsets["size"] == "560k") & (onsets["metric"] == "logit_diff")].set_index(
        ["kind", "criterion"]
    )
    assert of_560k.loc[("circuit", DependenceCriterion.ABOVE_RANDOM), "verdict"] == DependenceVerdict.DEPENDS
    assert of_560k.loc[("circuit", DependenceCriterion.HALF_OF_LAST), "verdict"] == DependenceVerdict.DEPENDS
    assert {*of_560k.index.get_level_values("kind")} == {"model", "edges", "circuit", "role", "head", "mlp"}


def test_circuits_of_neighbouring_sizes_are_compared_with_all_three_nulls(whole: Path) -> None:
    rows = tables_of(whole)["comparisons"]
    pairs = [*zip(rows["size_a"], rows["size_b"], strict=True)]

    assert {*pairs} == {("7k", "14k"), ("14k", "25k"), ("25k", "200k"), ("200k", "560k")}
    nulls = {"across", "halves of a", "halves of b", "same scores", "exchanged heads", "other seeds", "random circuits"}
    for (size, _), compared in rows.groupby(["size_a", "level"]):
        assert {*compared["comparison"]} >= nulls
        seeds = compared[compared["comparison"] == "other seeds"]
        assert (seeds["n"] > 0).all() if size in ("14k", "25k") else (seeds["note"] == NO_SEED).all()


def test_every_node_and_edge_of_a_circuit_has_an_onset_and_a_lag(whole: Path) -> None:
    tables = tables_of(whole)
    circuit = ie.Circuit.load(whole / "circuits" / "induction-560k-step5000-seed0.json")
    nodes = {node for node in circuit.nodes if node != "embed"}
    edges = {f"{edge.writer} → {edge.reader}" for edge in circuit.edges}
    for name, at in (("onsets", "at"), ("lags", "size")):
        rows = tables[name][tables[name][at] == "560k"]
        assert {*rows[rows["quantity"] == "effect"]["component"]} == nodes
        assert {*rows[rows["quantity"] == "edge effect"]["component"]} == edges


def test_a_finished_circuit_changes_little_between_checkpoints(whole: Path) -> None:
    turnover: Any = tables_of(whole)["turnover"].set_index(["size", "step"])

    assert turnover.loc[("560k", 0), "note"] == "no circuit at this step"
    last = turnover.loc[("560k", 5000)]
    assert last["previous"] == 750
    assert last["jaccard"] > last["random_high"]


def test_every_table_has_its_columns_in_both_formats(whole: Path) -> None:
    for name, table in tables_of(whole).items():
        assert len(table), name
        written = pd.read_csv(whole / "tables" / f"{name}.csv")
        assert list(written.columns) == list(all_tables()[name].columns)
        assert len(written) == len(table)


def test_the_report_opens_offline_and_draws_everything(whole: Path) -> None:
    seen = open_page(whole / "report.html")

    assert not seen.requests
    assert not seen.errors
    assert seen.n_figures and not seen.n_empty
    assert seen.n_charts + seen.n_attention == seen.n_figures
    assert seen.n_attention
    assert seen.n_bytes < 6e6 and seen.height <= 6000
    assert "previous-token heads" in seen.text
    assert "interp-emerge run" in seen.text


def test_a_second_run_computes_nothing(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ie.Study.load(write_study(whole)).settings
    study = ie.Study(settings)
    monkeypatch.setattr(type(study.family), "load", lambda *_a, **_k: pytest.fail("a model was loaded"))
    monkeypatch.setattr(study, "_require_expressible", lambda: None)
    before = {path: path.stat().st_mtime_ns for path in (whole / "cells").rglob("*.*")}

    study.run()

    assert before == {path: path.stat().st_mtime_ns for path in (whole / "cells").rglob("*.*")}


def write_study(out: Path) -> Path:
    """A study file with the settings that a directory was run with."""
    settings = json.loads((out / "study.json").read_text())
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if value is not None]
    path = out.parent / "again.toml"
    path.write_text("\n".join(lines))
    return path


def test_a_directory_of_another_study_is_left_alone(whole: Path, tmp_path: Path) -> None:
    before = (whole / "study.json").read_bytes()
    with pytest.raises(ie.InterpEmergeError, match="belongs to a study of induction"):
        ie.Study(out=str(whole), ability="indirect_object").run()
    assert (whole / "study.json").read_bytes() == before

    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ie.InterpEmergeError, match="not the directory of a study"):
        ie.Study(out=str(tmp_path)).run()
