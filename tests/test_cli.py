"""The command line: data on standard output, one line and exit status 2 for what a user can mend."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge import cli
from interp_emerge.cli._shared import choices_of
from interp_emerge.patching.ablation import ABLATIONS
from interp_emerge.patching.scoring import all_options


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["interp-emerge", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize("shelf", list(cli.SHELVES))
def test_list_names_every_item_with_a_line(shelf: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "list", shelf, "--json") == 0
    rows = json.loads(capsys.readouterr().out)

    assert [row["name"] for row in rows] == cli.SHELVES[shelf].names()
    assert all(row["summary"] for row in rows)


def test_probe_prints_the_numbers_of_python_for_every_kind_of_probe(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    model = ie.load_family("miniature").load("3k")
    pairs = ie.load_ability("induction").sample(model, n=160)
    for method, call, column in (
        ("nearest_centroid", ie.probe, "accuracy"),
        ("logit_lens", ie.lens, "divergence"),
        ("interchange", ie.probing.use, "beyond_placebo"),
    ):
        words = ["probe", "miniature", "3k", "induction", "--n", "160", "--method", method, "--sites", "resid_post"]
        assert run(monkeypatch, *words, "--json") == 0
        printed = [row[column] for row in json.loads(capsys.readouterr().out)]
        assert printed == pytest.approx(
            call(model, pairs, method=method, sites="resid_post").to_frame()[column].tolist()
        )


def test_probe_writes_probes_that_python_reads(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    path = tmp_path / "probes.safetensors"
    words = ["probe", "miniature", "3k", "induction", "--n", "160", "--method", "nearest_centroid"]
    assert run(monkeypatch, *words, "--out", str(path)) == 0
    assert len(ie.probing.ProbeScores.load(path).to_frame()) == ie.load_family("miniature").load("3k").graph.n_layers
    capsys.readouterr()
    assert run(monkeypatch, *words[:-1], "logit_lens", "--out", str(path)) == 2
    assert "no probes to save" in capsys.readouterr().err


def test_list_names_the_metrics_that_help_texts_name(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "list", "metrics", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"logit_diff", "prob", "choice_prob", "kl"} <= {row["name"] for row in rows}
    assert all(row["summary"] for row in rows)
    for verb in ("score", "circuit"):
        assert run(monkeypatch, verb, "--help") == 0
        assert ", ".join(row["name"] for row in rows) in " ".join(capsys.readouterr().out.split())


def test_circuit_names_every_ablation_in_its_help(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "circuit", "--help") == 0
    assert ", ".join(ABLATIONS) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("verb", ["score", "circuit"])
def test_every_option_of_every_method_can_be_given(verb: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, verb, "--help") == 0
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    names = {name.replace("_", "-") for name in all_options()}
    assert {"steps", "threshold", "seed"} <= names
    assert {name for name in names if not {f"--{name}", f"--method-{name}"} & flags} == set()


def test_circuit_hands_the_options_of_a_method_to_the_search(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    words = ["circuit", "miniature", "7k", "induction", "--n", "8", "--edges", "3", "--parts", "none"]
    for method, flag, option, value in [
        ("eap_ig", "--steps", "steps", 2),
        ("acdc", "--method-threshold", "threshold", 1),
    ]:
        out = tmp_path / f"{method}.json"
        assert run(monkeypatch, *words, "--method", method, flag, str(value), "--out", str(out)) == 0
        assert ie.Circuit.load(out).origin[option] == value


def test_circuit_refuses_steps_for_a_method_that_does_not_integrate(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "circuit", "miniature", "3k", "induction", "--method", "eap", "--steps", "4") == 2
    assert "eap takes no option 'steps' (options that it takes: positions, direction)" in capsys.readouterr().err


def test_measure_prints_numbers_that_can_be_read_back(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "measure", "miniature", "25k", "induction", "--n", "16", "--json") == 0
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}

    assert rows["accuracy"]["n_pairs"] == 16
    assert rows["accuracy"]["value"] > 0.9


def test_measure_compares_what_could_stand_first(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "measure", "miniature", "25k", "--first-tokens", "--prepend-bos", "false", "--json") == 0
    rows = json.loads(capsys.readouterr().out)

    assert [(row["token"], row["id"], row["in_use"]) for row in rows] == [("<bos>", 0, False), ("", None, True)]
    assert rows[1]["above_best"] == pytest.approx(rows[1]["loss"] - rows[0]["loss"])


@pytest.mark.parametrize("words", [["miniature", "3k"], ["miniature", "3k", "markov", "--first-tokens"]])
def test_measure_wants_abilities_or_first_tokens(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "measure", *words) == 2
    assert "either abilities (`list abilities` shows them) or --first-tokens" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["measure", "score", "circuit"])
def test_a_first_token_that_is_not_one_is_refused(verb: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, verb, "miniature", "3k", "induction", "--prepend-bos", "Mary John") == 2
    assert "prepend_bos = 'Mary John' is not one token of miniature/3k" in capsys.readouterr().err


def test_score_puts_the_strongest_first(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    words = ["score", "miniature", "7k", "induction", "--method", "activation_patching", "--n", "8", "--json"]
    assert run(monkeypatch, *words) == 0
    rows = json.loads(capsys.readouterr().out)

    magnitudes = [abs(row["score"]) for row in rows]
    assert magnitudes == sorted(magnitudes, reverse=True)
    assert {row["kind"] for row in rows} == {"embed", "head", "mlp"}


def test_circuit_finds_tests_and_saves(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    out = tmp_path / "circuit.json"
    words = ["circuit", "miniature", "7k", "induction", "--n", "16", "--parts", "ablations,roles"]
    assert run(monkeypatch, *words, "--json", "--out", str(out)) == 0
    content = json.loads(capsys.readouterr().out)

    saved = ie.Circuit.load(out)
    assert content["circuit"] == json.loads(saved.to_json())
    assert saved.origin["ability"] == "induction" and saved.origin["model"]["size"] == "7k"
    assert {"evaluation", "ablations", "roles"} <= {*content}
    assert run(monkeypatch, *words, "--circuit", str(out)) == 0
    assert content["sentences"][0] in capsys.readouterr().out


def test_circuit_repeats_the_whole_search_on_request(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    words = ["circuit", "miniature", "7k", "induction", "--n", "16", "--parts", "none", "--repeat", "3"]
    assert run(monkeypatch, *words) == 0
    assert "Circuits that the whole search finds on two independent sets of as many prompts" in capsys.readouterr().out


def test_circuit_says_beforehand_what_it_would_take(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    out = tmp_path / "circuit.json"
    words = ["circuit", "miniature", "7k", "induction", "--n", "16", "--dry-run", "--json", "--out", str(out)]
    assert run(monkeypatch, *words) == 0
    content = json.loads(capsys.readouterr().out)
    stages = {row["stage"]: row for row in content["stages"]}

    assert re.match(r"At most about \d+ seconds .* for a circuit of \d+ edges?; an empty one", content["sentences"][0])
    assert {"score", "select", "evaluation", "hypotheses", "minimality"} <= {*stages}
    assert all(row["passes"] > 0 and row["bytes"] > 0 and row["seconds"] > 0 for row in stages.values())
    assert not out.exists()


def test_compare_runs_each_circuit_in_the_model_of_the_other(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    files = [tmp_path / f"{seed}.json" for seed in (1, 2)]
    for seed, path in zip(("1", "2"), files, strict=True):
        words = ["circuit", "miniature", "14k", "induction", "--seed", seed, "--n", "16", "--edges", "6"]
        assert run(monkeypatch, *words, "--parts", "none", "--out", str(path)) == 0
    capsys.readouterr()
    assert run(monkeypatch, "compare", *map(str, files), "--n", "16", "--json") == 0
    content = json.loads(capsys.readouterr().out)

    assert len(content["transfer"]) == 4
    assert {row["level"] for row in content["overlap"]} == {"edges", "nodes", "heads", "weighted edges"}


def test_a_dry_run_prints_the_plan_and_writes_nothing(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "run", "--sizes", "3k,7k", "--out", str(out), "--dry-run", "--json") == 0
    rows = json.loads(capsys.readouterr().out)

    assert rows[0]["stage"] == "abilities"
    assert rows[0]["models"] == 12 + 3 * 12
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--family", "minature"], "did you mean 'miniature'"),
        (["run", "--steps", "0,ten"], "'ten' is not a step; give numbers or last, separated by commas, as in 0,100,la"),
        (["run", "--steps", "0,spaced"], "'spaced' is not a step; give numbers or last"),
        (["run", "--seeds", "0,x"], "--seeds 0,x: 'x' is not a whole number"),
        (["measure", "miniature", "25k", "induction", "--step", "0,5"], "--step '0,5' is not a step; give one number"),
        (["circuit", "miniature", "7k", "induction", "--out", "c.txt"], "ends in neither .json nor .graphml"),
        (
            ["circuit", "miniature", "7k", "induction", "--edges", "3", "--share", "0.1"],
            "a share each set the size of the circuit; give only one of them",
        ),
        (["circuit", "miniature", "7k", "induction", "--circuit", "c.json", "--edges", "3"], "is tested as it is"),
        (["circuit", "miniature", "7k", "induction", "--circuit", "c.json", "--steps", "3"], "is tested as it is"),
        (["circuit", "miniature", "7k", "induction", "--out", "/proc/no/c.json"], "cannot be written"),
        (["circuit", "miniature", "7k", "induction", "--edges", "3", "--ablation", "means"], "did you mean 'mean"),
        (["circuit", "miniature", "7k", "induction", "--parts", "rolls"], "did you mean 'roles'"),
        (["circuit", "miniature", "7k", "induction", "--circuit", "no.json"], "is not a circuit file"),
        (["circuit", "miniature", "7k", "induction", "--repeat", "1"], "3 sets of prompts or more"),
        (["compare", "no.json", "no.json"], "is not a circuit file"),
        (["run", "nowhere.toml"], "not a study file"),
        (["list", "familes"], "list shows families"),
        (["train", "miniatur"], "did you mean 'miniature'"),
        (["train", "text"], "needs --files FOLDER"),
        (["train", "text", "--files", "nowhere"], "there is no folder nowhere"),
        (["train", "text", "--files", __file__, "--sizes", "big"], "cannot read 'big' as a size"),
        (["train", "text", "--files", __file__, "--out", "/proc/no"], "cannot be written"),
        (["train", "text", "--files", __file__, "--vocabulary", "9000", "--dry-run"], "too little for a vocabulary"),
        (["train", "miniature", "--steps", "5"], "--steps is an option of the recipe text"),
        (["measure", "miniature", "24k", "induction"], "did you mean '25k'"),
        (["measure", "miniature", "25k", "indution"], "did you mean 'induction'"),
        (["score", "miniature", "25k", "induction", "--metric", "logitdiff"], "did you mean 'logit_diff'"),
        (["report", "."], "holds no"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert run(monkeypatch, *words) == 2
    said = capsys.readouterr()

    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not said.out


def test_an_option_that_does_not_exist_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "run", "--famly", "miniature") == 2
    assert "--family" in capsys.readouterr().err


def test_an_unknown_axis_of_scale_is_one_line_and_a_known_one_is_offered(
    monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert run(monkeypatch, "run", "--axis", "tokns", "--dry-run") == 2
    (line,) = capsys.readouterr().err.splitlines()

    assert "axis = 'tokns' is not valid (Input should be 'parameters', 'tokens', 'flops' or 'loss')" in line
    assert choices_of("axis")("lo") == ["loss"]


def test_text_begins_under_its_heading_and_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys):
    from interp_emerge.cli._shared import show

    table = pd.DataFrame({"name": ["a", "bcd"], "what": ["word " * 20, "x[/b]"], "value": [1.5, np.nan]})
    show(table, as_json=False)
    heading, first, second = capsys.readouterr().out.splitlines()
    assert [line.index(word) for line, word in ((heading, "what"), (first, "word"), (second, "x[/b]"))] == [5, 5, 5]
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show(table, as_json=False)
    folded = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert max(map(len, folded.splitlines())) <= 60 and folded.count("word") == 20 and "x[/b]" in folded
