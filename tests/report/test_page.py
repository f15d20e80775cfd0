"""The report in a real browser: no request leaves the machine, nothing complains, every figure is drawn."""

from pathlib import Path

import pytest

from interp_emerge.report import build_report
from tests.report.browser import PageObservation, open_page
from tests.report.fake_study import QUESTION, write_study


@pytest.fixture(scope="module")
def seen(report: Path) -> PageObservation:
    return open_page(report)


def test_no_request_leaves_the_machine(seen):
    assert seen.requests == []


def test_nothing_complains(seen):
    assert seen.errors == []


def test_every_figure_is_drawn(seen):
    assert seen.n_charts == 12  # ability, heads, five circuits, formation, faithfulness, ablation, two of probes
    assert seen.n_attention == 2
    assert seen.n_figures == seen.n_charts + seen.n_attention
    assert seen.n_empty == 0
    assert seen.n_tabs == 7


def test_tokens_that_would_like_to_be_html_are_read_as_text(seen):
    assert seen.title == QUESTION
    assert "<img src=x onerror=alert(1)>" in seen.text
    assert "<bos>" in seen.text
    assert "&amp;" in seen.text


def test_the_answer_stands_above_the_first_figure(seen):
    assert 0 < seen.text.index("Induction is at chance up to 60k") < seen.text.index("Ability over scale")


def test_the_browser_would_notice_a_request_and_a_forbidden_script(report: Path, tmp_path: Path):
    page = report.read_text()
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(
        page.replace("</main>", '<img src="https://example.invalid/x.png"><script>alert(1)</script></main>')
    )
    seen = open_page(spoilt)
    assert any("Content Security Policy" in error for error in seen.errors)
    assert not any("dialog" in error for error in seen.errors)
    spoilt.write_text(
        page.replace("img-src data:", "img-src https: data:").replace(
            "</main>", '<img src="https://example.invalid/x.png"></main>'
        )
    )
    assert open_page(spoilt).requests == ["https://example.invalid/x.png"]


def test_the_page_fits_a_telephone(report: Path):
    assert open_page(report, width=390).overflow == 0


def test_a_page_with_holes_complains_of_nothing(tmp_path: Path):
    holes = ("circuits", "circuit_edges", "ablation", "roles", "onsets")
    seen = open_page(build_report(write_study(tmp_path / "study", empty=holes)))
    assert seen.errors == []
    assert seen.n_empty == 0
    assert "no size has the ability" in seen.text
