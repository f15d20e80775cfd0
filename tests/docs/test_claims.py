"""The page of claims is what the tests and measurements make of it."""

import pytest

from docs.site import claims


def test_the_page_of_claims_is_made_from_the_tests_that_there_are():
    assert claims.PAGE.read_text() == claims.page(), "write it anew: python docs/site/claims.py"


def test_a_claim_whose_test_is_gone_is_an_error():
    assert claims.sentence("test_architecture.py::test_nothing_pickles") == "Nothing pickles"
    for gone in ("test_architecture.py::test_everything_pickles", "test_nowhere.py::test_nothing_pickles"):
        with pytest.raises(LookupError, match=f"names tests/{gone}, which is gone"):
            claims.sentence(gone)


def test_a_promise_that_a_measurement_breaks_is_called_refuted(tmp_path, monkeypatch: pytest.MonkeyPatch):
    measured = tmp_path / "validity.md"
    rows = "| case | required | measured | simulations | kept |\n|---|---|---|---|---|\n| a | 1 | 1 | 10 | {} |\n"
    measured.write_text(f"## It holds.\n\n{rows.format('yes')}\n## It does not.\n\n{rows.format('no')}")
    monkeypatch.setattr(claims, "VALIDITY", measured)
    assert "| [It holds](validity.md#it-holds) | `python analyses/test_calibration/validity.py` | supported in 1" in (
        found := claims.page()
    )
    assert "| [It does not](validity.md#it-does-not) |" in found and "refuted in 1 of 1 cases" in found
