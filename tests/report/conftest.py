from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from interp_emerge.report import build_report
from tests.figures.attention.test_accessible import axe
from tests.report.browser import browse
from tests.report.fake_study import write_study

__all__ = ["axe", "report"]


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """The report of an invented study whose tokens would like to be HTML."""
    return build_report(write_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def opened(report: Path) -> Iterator[Page]:
    """The report in a module's browser. A page's state outlives a test: go to `about:blank` before an address."""
    with browse(report) as page:
        yield page
