"""Fits of forms: compared with NumPy's least squares for linear forms, and the criterion that compares forms."""

import numpy as np
import pytest

from interp_emerge.stats.forms import FORMS, aicc, fit_forms

X = np.geomspace(1e2, 1e6, 9)


def test_the_constant_is_the_weighted_mean_with_its_chi_square():
    rng = np.random.default_rng(0)
    y, errors = rng.normal(0.5, 0.1, 9), rng.uniform(0.05, 0.2, 9)
    constant = fit_forms(X, y, errors=errors)[0]
    mean = np.average(y, weights=errors**-2.0)
    assert constant.parameters == pytest.approx({"offset": mean})
    assert constant.chi_square == pytest.approx((((y - mean) / errors) ** 2).sum())
    assert constant.aic == pytest.approx(constant.chi_square + 2), "errors are known: one parameter costs 2"


def test_no_form_fits_worse_than_one_that_it_contains():
    """A constant is a power law with a factor of 0. A straight line over log x is the power law of exponent 0."""
    for seed in range(5):
        y = np.random.default_rng(seed).normal(size=9)
        residuals = {fit.form: fit.chi_square for fit in fit_forms(X, y)}
        line = np.polyval(np.polyfit(np.log(X), y, 1), np.log(X))
        assert residuals["power_law"] <= ((y - line) ** 2).sum() + 1e-9
        assert max(residuals["power_law"], residuals["sigmoid"]) <= residuals["constant"] + 1e-9


def test_another_unit_of_the_axis_changes_no_fit():
    y = 3 * X**-0.3
    one, other = fit_forms(X, y), fit_forms(X / 1e3, y)
    assert [fit.form for fit in one] == [form.name for form in FORMS]
    assert [fit.weight for fit in one] == pytest.approx([fit.weight for fit in other], abs=1e-6)
    assert sum(fit.weight for fit in one) == pytest.approx(1)


def test_the_criterion_by_hand():
    # 2 parameters and 6 values: 10 + 2 · 2 + 2 · 2 · 3 / (6 − 3).
    assert aicc(10.0, 2, 6) == 18
