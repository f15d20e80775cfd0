"""Commands that take a file of prompt pairs where they take the name of an ability."""

import json
import sys
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge import cli
from tests.abilities.own.written import own_file, row, write


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["interp-emerge", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(own_file(tmp_path, 20))


def test_measure_takes_all_rows_of_a_file(mine: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "measure", "miniature", "7k", mine, "induction", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(one["ability"], one["n_pairs"]) for one in rows} == {("mine", 20), ("induction", 128)}


def test_circuit_is_found_and_judged_on_different_rows(
    mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out, words = str(tmp_path / "found.json"), ("circuit", "miniature", "7k", mine, "--parts", "none")
    assert run(monkeypatch, *words, "--edges", "3", "--method", "eap", "--out", out) == 0
    origin = ie.Circuit.load(out).origin
    assert (origin["ability"], origin["n_pairs"]) == (ie.load_ability(mine).key, 10)
    own_file(tmp_path, 18)
    assert run(monkeypatch, *words, "--circuit", out) == 0
    assert "the circuit was found with another ability (mine@" in caplog.text


def test_score_reads_a_file(mine: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "score", "miniature", "3k", mine, "--method", "eap", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) > 10


def test_check_counts_rows_and_names_those_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    rows = [*(row(number) for number in range(6)), row(6, clean=" When Xerxes met")]
    path = str(write(tmp_path / "mine.jsonl", rows))
    assert run(monkeypatch, "ability", "check", path, "--family", "miniature", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chance"] is None and found["ability"].startswith("mine@")
    assert (found["shares"][0]["rows"], found["shares"][0]["expressible"]) == (7, 6)
    assert [one["line"] for one in found["failures"]] == [7]
    assert run(monkeypatch, "ability", "check", path, "--family", "miniature", "--family", "miniature") == 0
    text = capsys.readouterr().out
    assert "chance level not given (a study needs it)" in text
    assert text.count("miniature, line 7: ") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ability", "check", "missing.jsonl"), "missing.jsonl is not there"),
        (("ability", "check", "mine.txt"), "mine.txt ends in '.txt'"),
        (("run", "--ability", "missing.csv"), "missing.csv is not there; give a file of prompt pairs"),
        (("measure", "miniature", "3k", "missing.csv"), "missing.csv is not there"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and said.count("\n") == 1


def test_a_study_plans_for_the_rows_of_a_file(
    mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "run"
    assert run(monkeypatch, "run", "--ability", mine, "--sizes", "3k", "--out", str(out), "--dry-run") == 0
    said = capsys.readouterr().out
    assert "20 prompts each of mine" in said and "\nprompts: <bos> stands first in every prompt; " in said
    assert "\ntime: about " in said and said.count("or less if models lack the ability") == 1
    assert not out.exists()


def test_measure_reads_the_pairs_both_ways(
    mine: str, monkeypatch: pytest.MonkeyPatch, capsys, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(monkeypatch, "measure", "miniature", "3k", mine, "--json") == 0
    rows = {one["metric"]: one for one in json.loads(capsys.readouterr().out)}
    assert rows["corrupt_accuracy"]["n_pairs"] == rows["gap"]["n_pairs"] == 20
    assert rows["corrupt_accuracy"]["ci_low"] >= 0 and rows["gap"]["ci_high"] < 0
    (said,) = [line for line in caplog.messages if "(gap " in line]
    assert said.startswith("mine: the model prefers the answer more after the corrupted prompts than after the clean")


def test_words_that_no_row_can_do_without_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    rows = [row(number, clean=" Mary owns the cup", corrupt=" John owns the cup") for number in range(9)]
    path = str(write(tmp_path / "mine.jsonl", [{k: v for k, v in one.items() if "." not in k} for one in rows]))
    assert run(monkeypatch, "ability", "check", path) == 2
    said = capsys.readouterr().out
    assert "miniature: not in the vocabulary: owns, cup; `interp-emerge list words --family miniature`" in said
    assert said.count("has no token for a part of") == 1 and "(and 8 more rows)" in said
    assert run(monkeypatch, "ability", "check", path, "--json") == 2
    assert json.loads(capsys.readouterr().out)["missing"] == {"miniature": ["owns", "cup"]}
    for words in (("measure", "miniature", "3k", path), ("measure", "miniature", "3k", path, "--n", "4")):
        assert run(monkeypatch, *words) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: none of the 9 rows of {path} can be expressed by the tokenizer of miniature/3k")
        assert "; line 1: the tokenizer of" in said and "(owns, cup)" in said


def test_the_words_of_a_small_vocabulary_are_listed(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, "list", "words") == 0
    words = capsys.readouterr().out.split()
    assert len(words) == 62 and words == sorted(words) and {"Mary", "gave", "lamp", "."} <= {*words}
    assert "<bos>" not in words
    assert run(monkeypatch, "list", "words", "--family", "handset") == 2
    assert "handset has no tokenizer, so its tokens are numbers from 0 to" in capsys.readouterr().err


def test_a_study_that_no_tokenizer_can_serve_is_refused_before_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    words = ("run", "--family", "handset", "--ability", "indirect_object", "--out", str(tmp_path / "out"))
    assert run(monkeypatch, *words, "--dry-run") == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: the prompts of indirect_object are text, but handset/")
    assert "choose a family that has one, or an ability of random tokens such as induction" in said.err


def test_an_argument_that_is_required_shows_no_default(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for verb in ("measure", "circuit"):
        assert run(monkeypatch, verb, "--help") == 0
        assert "[miniature]" not in capsys.readouterr().out
