"""A method declares its options in its own file, and no other file names them."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge import cli, patching
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.patching.engines.options import AtLeast, AtPositions, Names, NoOptions, Option, declared
from interp_emerge.patching.scoring import all_options
from tests.models.small_models import random_pairs, small_model

CONSTANT = '''"""Every edge scores the same."""

from dataclasses import dataclass
from typing import Annotated, Literal

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.options import NoOptions


@dataclass(frozen=True, kw_only=True)
class Options(NoOptions):
    height: Annotated[float, "the score of every edge"] = 1.0
    turned: Annotated[Literal["up", "down"], "its sign"] = "up"


def run(task: PatchingTask[Options]) -> EdgeScores:
    exists, options = task.graph.exists, task.options
    scores = exists * (options.height if options.turned == "up" else -options.height)
    return EdgeScores(graph=task.graph, scores=scores, standard_errors=0 * scores, origin=task.origin("constant"))


source = Source("Nobody", 2026, "https://example.org")
cost = lambda task: Cost(passes=0, bytes=1)
shelf.add(
    Method(name="constant", summary="one score", source=source, scores="edges", run=run, cost=cost, options=Options)
)
'''


@dataclass(frozen=True, kw_only=True)
class Every(AtPositions):
    """An option of each kind."""

    n: Annotated[int, AtLeast(2), "a whole number"] = 3
    share: Annotated[float, "a number"] = 0.5
    word: Annotated[Literal["one", "other"], "one of two words"] = "one"
    names: Annotated[Names | None, "names"] = None
    sure: Annotated[bool, "whether"] = False


@pytest.fixture
def constant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A method in a file of its own, in a folder outside the package."""
    (tmp_path / "constant.py").write_text(CONSTANT)
    with monkeypatch.context() as patched:
        patched.setattr(patching, "__path__", [*patching.__path__, str(tmp_path)])
        yield
    patching.shelf._items.pop("constant", None)
    sys.modules.pop("interp_emerge.patching.constant", None)


def test_a_method_brings_its_own_options_in_its_own_file(constant: None):
    model, pairs = small_model("gpt2", layers=1), random_pairs()
    left = ie.score(model, pairs, method="constant")
    given = ie.score(model, pairs, method="constant", height=2, turned="down")
    np.testing.assert_array_equal(left.scores, model.graph.exists)
    np.testing.assert_array_equal(given.scores, -2.0 * model.graph.exists)
    assert (left.origin["height"], given.origin["height"], given.origin["turned"]) == (1.0, 2.0, "down")
    with pytest.raises(UnknownNameError, match="unknown turned 'downs'; did you mean 'down'"):
        ie.score(model, pairs, method="constant", turned="downs")
    with pytest.raises(UnknownNameError, match="unknown option 'heigth'; did you mean 'height'"):
        ie.score(model, pairs, method="constant", heigth=2)
    with pytest.raises(
        InputError, match=r"eap takes no option 'height' \(options that it takes: positions, direction\)"
    ):
        ie.score(model, pairs, method="eap", height=2)
    assert ie.estimate(model, pairs, method="constant", height=2).passes == 0


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["interp-emerge", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_the_command_line_takes_them_too(constant: None, monkeypatch: pytest.MonkeyPatch, capsys):
    asked = ["score", "miniature", "3k", "induction", "--method", "constant", "--n", "4"]
    assert command(monkeypatch, *asked, "--height", "2.5", "--turned", "down", "--json") == 0
    assert {row["score"] for row in json.loads(capsys.readouterr().out)} == {-2.5}
    assert command(monkeypatch, *asked, "--turned", "downs") == 2
    assert "unknown turned 'downs'; did you mean 'down'" in capsys.readouterr().err
    assert command(monkeypatch, "score", "--help") == 0
    assert "its sign: up, down [constant: up]" in " ".join(capsys.readouterr().out.split())


def test_the_help_of_score_names_every_option_of_every_method(monkeypatch: pytest.MonkeyPatch, capsys):
    assert command(monkeypatch, "score", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, by_method in all_options().items():
        assert f"--{name}" in shown or f"--method-{name}" in shown
        assert next(iter(by_method.values())).about.split(":")[0] in shown


def test_an_option_that_the_command_has_for_something_else_is_given_as_the_methods(
    monkeypatch: pytest.MonkeyPatch, capsys
):
    drawn = []
    for seed in ("0", "1", "1"):
        words = ["score", "miniature", "3k", "induction", "--method", "random", "--n", "4", "--json"]
        assert command(monkeypatch, *words, "--method-seed", seed) == 0
        drawn.append(capsys.readouterr().out)
    assert drawn[0] != drawn[1] == drawn[2]


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("n", np.int64(4), 4),
        ("share", 1, 1.0),
        ("word", "other", "other"),
        ("names", "one", ("one",)),
        ("names", ["b", "a", "b"], ("b", "a")),
        ("positions", "all", "all"),
        ("positions", [0, "-1"], ("0", "-1")),
        ("sure", True, True),
    ],
)
def test_a_value_is_taken_in_the_form_that_the_method_reads(name: str, given: object, taken: object):
    found = declared(Every)[name].checked(given)
    assert found == taken and type(found) is type(taken)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("n", 1, "n cannot be 1; give a whole number of at least 2"),
        ("n", 2.5, "n cannot be 2.5; give a whole number"),
        ("n", True, "n cannot be True; give a whole number"),
        ("share", "half", "share cannot be 'half'; give a finite number"),
        ("share", float("nan"), "share cannot be nan; give a finite number"),
        ("word", "ones", "unknown word 'ones'; did you mean 'one'"),
        ("word", ["one"], "unknown word"),
        ("names", 2.5, "names cannot be 2.5; give one name or a list of names"),
        ("names", [], "names is empty; name at least one, or leave it out"),
        ("sure", "yes", "sure cannot be 'yes'; give True or False"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_line(name: str, given: object, message: str):
    with pytest.raises((InputError, UnknownNameError), match=message) as refusal:
        declared(Every)[name].checked(given)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n", "4", 4),
        ("n", "four", "four"),
        ("share", "0.25", 0.25),
        ("names", "a, b", ("a", "b")),
        ("positions", "all", "all"),
        ("positions", "0,last", ("0", "last")),
        ("sure", "true", True),
    ],
)
def test_a_text_stands_for_a_value(name: str, text: str, value: object):
    assert declared(Every)[name].from_text(text) == value


def test_a_class_declares_its_fields_in_order_with_those_of_its_base_first():
    assert list(declared(Every)) == ["positions", "n", "share", "word", "names", "sure"]
    assert declared(NoOptions) == {}
    assert declared(Every)["n"] == Option(name="n", about="a whole number", default=3, kinds=(int,), least=2)


def test_a_caller_with_any_method_hands_on_the_options_that_it_has():
    picked = {name: patching.shelf[name].pick(steps=5, seed=3) for name in ("eap", "eap_ig", "random")}
    assert picked == {"eap": {}, "eap_ig": {"steps": 5}, "random": {"seed": 3}}
