"""`interp-emerge attend`: the path of the page on standard output; one line and exit status 2 for what cannot be."""

import json
from pathlib import Path

import pytest

from interp_emerge import families
from interp_emerge.cli.attend import _places
from interp_emerge.core.errors import InterpEmergeError
from tests.test_cli import run

WEIGHTS = Path(families.__file__).parent / "miniature_weights"


def test_a_prompt_gives_a_page(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path):
    out = tmp_path / "new" / "page.html"
    assert (
        run(monkeypatch, "attend", "miniature/14k/step0", "Mary met John", "--heads", "a0.h0", "--out", str(out)) == 0
    )
    assert capsys.readouterr().out.strip().splitlines()[-1] == str(out)
    page = out.read_text()
    assert '"tokens":["\\u003cbos\\u003e","Mary","met","John"]' in page
    assert '"heads":["a0.h0"]' in page


def test_an_ability_over_several_sizes_and_steps_gives_sliders(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path):
    out = tmp_path / "page.html"
    words = ["attend", "miniature", "--ability", "induction", "--n", "6", "--size", "5k,14k", "--step", "0,5000"]
    assert run(monkeypatch, *words, "--mode", "difference", "--out", str(out)) == 0
    capsys.readouterr()
    page = out.read_text()
    assert page.count('id="weights-') == 4
    assert "Mean over 6 pairs" in page
    assert run(monkeypatch, *words, "--dry-run", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["models"] == 4
    assert row["page"].endswith("KiB")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["miniature/14k"], "either a prompt or --ability"),
        (["miniature/14k", "a", "--ability", "induction"], "not both"),
        (["miniature/14k", "Mary", "--mode", "patern"], "did you mean 'pattern'"),
        (["miniature/14k", "Mary", "--mode", "difference"], "PromptPairs"),
        (["miniature/14k", "Mary", "--renderer", "own1"], "did you mean 'own'"),
        (["miniature/14k", "Mary", "--heads", "a7.h7"], "unknown head"),
        (["miniature/14k", "Mary", "--out", "x.jpg"], "end it in"),
        (["miniature/14k/steps", "Mary"], "FAMILY/SIZE/stepN/seedN"),
        (["miniature/14k", "Mary", "--size", "3k"], "names a size already"),
        (["miniature", "Mary"], "7 sizes"),
        (["miniature/15k", "Mary"], "did you mean '5k'"),
        (["miniature/14k/step7", "Mary"], "unknown step"),
        (["nowhere/x", "Mary"], "unknown family"),
    ],
)
def test_what_cannot_be_shown_is_one_line(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(monkeypatch, "attend", *words) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not Path("attention.html").exists()


def test_a_page_that_is_too_large_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path):
    monkeypatch.setattr("interp_emerge.study.attention.MOST_BYTES", 1 << 10)
    assert run(monkeypatch, "attend", "miniature/14k", "Mary", "--out", str(tmp_path / "page.html")) == 2
    assert "the page would take about" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_models_are_named_in_several_ways():
    assert _places("miniature/14k", None, None, None)[1] == [("14k", "last", 0)]
    assert _places("miniature/14k/step100/seed0", None, None, None)[1] == [("14k", 100, 0)]
    assert _places("miniature", "5k,14k", "0,last", 0)[1] == [
        ("5k", 0, 0),
        ("5k", "last", 0),
        ("14k", 0, 0),
        ("14k", "last", 0),
    ]
    assert len(_places("miniature/14k", None, "spaced", None)[1]) == 12
    family, found = _places(f"{WEIGHTS}/14k", None, None, None)
    assert family.spec(*found[0]).size == "14k"
    with pytest.raises(InterpEmergeError, match="once"):
        _places("miniature/14k/step100", None, "0", None)
