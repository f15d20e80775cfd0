"""A study's settings: one switch for the axis of scale, and errors on one line."""

import shlex
from typing import get_args

import pytest

from interp_emerge.cli._shared import first_token
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.axes import AXES
from interp_emerge.study.settings import StudySettings, settings_from


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
