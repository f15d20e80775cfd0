"""A study's settings: one switch for the axis of scale, and errors on one line."""

from typing import get_args

import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.axes import AXES
from interp_emerge.sweeps.settings import StudySettings, settings_from


def test_every_axis_of_scale_can_be_chosen() -> None:
    assert set(get_args(StudySettings.model_fields["axis"].annotation)) == set(AXES)
    assert settings_from({}, "x").axis == "parameters"
    assert "--axis loss" in settings_from({"axis": "loss"}, "x").command
    assert "--axis" not in settings_from({}, "x").command


def test_an_unknown_axis_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"study.toml: axis = 'tokns' is not valid \(.*'tokens', 'flops' or 'loss'\)"):
        settings_from({"axis": "tokns"}, "study.toml")
