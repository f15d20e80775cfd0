"""A study's settings: one switch for the axis of scale, and errors on one line."""

import shlex
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

import interp_emerge as ie
from interp_emerge.cli import app
from interp_emerge.cli._shared import first_token
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.axes import AXES
from interp_emerge.study.settings import QUICK, StudySettings, settings_from


def test_every_axis_of_scale_can_be_chosen() -> None:
    assert set(get_args(StudySettings.model_fields["axis"].annotation)) == set(AXES)
    assert settings_from({}, "x").axis == "parameters"
    assert "--axis loss" in settings_from({"axis": "loss"}, "x").command
    assert "--axis" not in settings_from({}, "x").command


def test_an_unknown_axis_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"study.toml: axis = 'tokns' is not valid \(.*'tokens', 'flops' or 'loss'\)"):
        settings_from({"axis": "tokns"}, "study.toml")


@pytest.mark.parametrize(
    ("choice", "words"),
    [(True, "True"), (False, "False"), (7, "7"), ("<|endoftext|>", "<|endoftext|>"), ("two words", "two words")],
)
def test_the_first_token_survives_the_shell(choice: bool | int | str, words: str) -> None:
    settings = settings_from({"prepend_bos": choice}, "x")
    given = shlex.split(settings.command)
    assert given[-2:] == ["--prepend-bos", words]
    assert first_token(given[-1]) == choice and type(first_token(given[-1])) is type(choice)
    assert StudySettings.model_validate_json(settings.model_dump_json()) == settings
    assert first_token(None) is None and "--prepend-bos" not in settings_from({}, "x").command


def test_a_quick_study_has_fewer_of_everything_that_is_not_given() -> None:
    whole, quick = settings_from({}, "x"), settings_from({"quick": True, "n_pairs": 16}, "x")
    assert quick.n_pairs == 16 and not quick.local_search and whole.local_search
    for name in ("n_measured", "n_random", "n_resamples", "n_ablations", "steps_of_integration"):
        assert getattr(quick, name) == QUICK[name] < getattr(whole, name)
    assert settings_from({"quick": False}, "x") == whole
    assert StudySettings.model_validate_json(quick.model_dump_json()) == quick


def test_the_command_of_a_quick_study_gives_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_from({"quick": True, "n_pairs": 16, "local_search": True}, "x")
    given: list[dict[str, Any]] = []
    monkeypatch.setattr("interp_emerge.study.study.Study.__init__", lambda self, **fields: given.append(fields))
    monkeypatch.setattr("interp_emerge.study.study.Study.expected_time", lambda self: "")
    monkeypatch.setattr("interp_emerge.study.study.Study.run", lambda self, **_: "report.html")
    monkeypatch.setattr("interp_emerge.study.study.Study.findings", lambda self: [])
    words = shlex.split(settings.command)
    assert "--quick" in words and "True" not in words
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert settings_from(given[0], "x") == settings


def test_the_help_names_what_a_quick_study_leaves_out() -> None:
    description = str(StudySettings.model_fields["quick"].description)
    assert all(name.replace("_", "-") in description for name in QUICK)


def test_abilities_of_the_miniature_language_stand_beside_others_only_there(tmp_path):
    usual = StudySettings.model_fields["beside"].default
    family = ie.load_family("miniature")
    assert ie.Study(family="miniature", sizes=("3k",)).settings.beside == usual
    checkpoints = tmp_path / "other"
    checkpoints.symlink_to(family.files("3k", seed=0))
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({}, ()),
        ({"beside": usual}, usual),
        ({"beside": ("markov",)}, ("markov",)),
    ]
    for fields, beside in cases:
        settings = ie.Study(family=str(checkpoints), **fields).settings
        assert settings.beside == beside
        assert ("--beside" in settings.command) == bool(beside), "the command gives the same study back"
