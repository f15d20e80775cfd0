import json
from pathlib import Path

import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures import save
from interp_emerge.figures.ablation import ablation
from tests.figures.invented import ablation as invented
from tests.report.browser import open_chart


@pytest.fixture(scope="module")
def chart():
    return ablation(invented())


def test_json_is_the_chart(chart, tmp_path: Path):
    assert json.loads(save(chart, tmp_path / "figure.json").read_text()) == chart.to_dict()


def test_html_opens_from_disk_without_network(chart, tmp_path: Path):
    path = save(chart, str(tmp_path / "figure.html"))
    requests, errors = open_chart(path)
    assert requests == []
    assert errors == []


def test_another_ending_is_refused_and_nothing_is_written(chart, tmp_path: Path):
    with pytest.raises(
        InputError, match=r"cannot save a figure as 'figure.gif': end it in .svg, .pdf, .png, .html, .json"
    ):
        save(chart, tmp_path / "figure.gif")
    assert list(tmp_path.iterdir()) == []
