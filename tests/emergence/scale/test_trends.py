"""Forms over scale: each is recovered from curves that it generated, and undefined where points are too few."""

import numpy as np
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.trends import TrendVerdict, fit_trends

X = np.geomspace(1e3, 1e7, 12)
CURVES = {
    "constant": np.full(12, 0.4),
    "power_law": -0.2 - 30 * X**-0.35,
    "sigmoid": 0.1 + 0.8 / (1 + (X / 8e4) ** -2.5),
    "broken_power_law": np.where(X < 1e5, 2 * (X / 1e5) ** -0.05, 2 * (X / 1e5) ** -0.5),
}


@pytest.mark.parametrize("form", CURVES)
@pytest.mark.parametrize("noise", [0.003, 0.03])
@pytest.mark.parametrize("known", [True, False], ids=["errors known", "errors unknown"])
def test_the_generating_form_is_recovered(form: str, noise: float, known: bool) -> None:
    for seed in range(2):
        y = CURVES[form] + np.random.default_rng(seed).normal(0, noise, len(X))
        found = fit_trends(X, y, errors=np.full(len(X), noise) if known else None)

        assert found.best == form
        assert sum(fit.weight for fit in found.fits) == pytest.approx(1)
        assert not known or found[form].p_value > 0.005


@pytest.mark.parametrize(
    ("form", "parameters"),
    [
        ("constant", {"offset": 0.4}),
        ("power_law", {"offset": -0.2, "factor": -30, "exponent": -0.35}),
        ("sigmoid", {"start": 0.1, "end": 0.9, "midpoint": 8e4, "steepness": 2.5}),
        ("broken_power_law", {"exponent": -0.05, "exponent_after": -0.5, "break": 1e5}),
    ],
)
def test_so_are_its_parameters(form: str, parameters: dict[str, float]) -> None:
    fit = fit_trends(X, CURVES[form], errors=np.full(len(X), 1e-3))[form]

    for name, value in parameters.items():
        assert fit.parameters[name] == pytest.approx(value, rel=0.02)
    assert np.allclose(fit.predict(X), CURVES[form], atol=0.01)


def test_a_line_over_the_logarithm_is_the_power_law_of_exponent_zero() -> None:
    y = 0.1 * np.log(X)
    fit = fit_trends(X, y, errors=np.full(len(X), 0.01))["power_law"]

    assert abs(fit.parameters["exponent"]) < 0.01
    assert np.allclose(fit.predict(np.array([1e8])), 0.1 * np.log(1e8), atol=0.02)


@pytest.mark.parametrize(
    ("n", "known", "defined"),
    [(1, True, 0), (2, True, 1), (4, True, 2), (5, True, 3), (6, True, 4), (3, False, 0), (4, False, 1), (8, False, 4)],
)
def test_a_form_needs_one_point_more_than_parameters_and_two_more_if_errors_are_unknown(
    n: int, known: bool, defined: int
) -> None:
    found = fit_trends(X[:n], CURVES["power_law"][:n], errors=np.ones(n) if known else None)

    assert sum(fit.curve is not None for fit in found.fits) == defined
    assert (found.best == "undefined") == (defined == 0)
    assert found.to_frame()["parameters"].str.startswith("undefined: ").sum() == 4 - defined
    with pytest.raises(
        InputError, match=r"the form 'constant' is undefined, so it predicts nothing \(2 points, 4 are needed\)"
    ):
        fit_trends(X[:2], X[:2])["constant"].predict(X)


# Two places six times each have twelve points, and let neither a curve nor a break be seen.
@pytest.mark.parametrize(("places", "known", "defined"), [
    (2, True, 1), (3, True, 1), (4, True, 2), (5, True, 3), (6, True, 4), (2, False, 0), (4, False, 1), (7, False, 4),
])  # fmt: skip
def test_and_as_many_different_places_more_than_coefficients_however_many_points(
    places: int, known: bool, defined: int
) -> None:
    x = np.repeat(np.geomspace(1e3, 1e5, places), 6)
    found = fit_trends(x, np.log(x), errors=np.ones(len(x)) if known else None)

    assert sum(fit.curve is not None for fit in found.fits) == defined
    assert (found.best == "undefined") == (defined == 0)
    assert (
        defined == 4 or found["broken_power_law"].reason == f"{places} different places, {6 if known else 7} are needed"
    )


def test_a_weight_of_one_does_not_mean_that_the_form_is_good() -> None:
    zigzag = np.tile([0.0, 1.0], 6)
    found = fit_trends(X, zigzag, errors=np.full(12, 0.01))

    assert found[found.best].p_value < 1e-9


def test_with_too_few_points_for_every_form_the_verdict_is_constant_or_none() -> None:
    x, errors = np.geomspace(1e3, 1e5, 5), np.full(5, 0.02)
    convex = fit_trends(x, 1e-3 * x**0.6, errors=errors / 10)
    level = fit_trends(x, np.full(5, 0.5), errors=errors)

    assert (convex.best, convex.verdict) == ("power_law", TrendVerdict.CANNOT_BE_TOLD)
    assert convex.reason == "it is not constant, but 5 points are too few for broken_power_law, which may fit as well"
    assert (level.verdict, level.reason) == (TrendVerdict.CONSTANT, "5 points are too few for broken_power_law")


def test_a_form_is_the_verdict_if_the_forms_that_do_not_contain_it_fit_much_worse() -> None:
    steep = fit_trends(X, 1e-4 * X**0.6, errors=np.full(12, 0.02))
    line = fit_trends(X, 0.1 * np.log(X), errors=np.full(12, 0.05))

    assert (steep.verdict, steep.reason) == (TrendVerdict.POWER_LAW, "")
    assert steep["broken_power_law"].aic == pytest.approx(steep["power_law"].aic + 4, abs=0.1), "it contains the other"
    assert line.best == "power_law"
    assert line.verdict == TrendVerdict.CANNOT_BE_TOLD
    assert line.reason.startswith("AIC is ") and line.reason.endswith(" for sigmoid")


def test_points_with_small_errors_count_more() -> None:
    y, errors = np.repeat([0.0, 1.0], [6, 6]), np.repeat([0.001, 10.0], [6, 6])

    assert fit_trends(X, y, errors=errors)["constant"].parameters["offset"] == pytest.approx(0, abs=1e-5)


def test_what_has_no_logarithm_or_no_error_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"needs places above 0 and finite scores; leave out untrained models \(step 0\)"
    ):
        fit_trends(np.arange(5.0), np.ones(5))
    with pytest.raises(InputError, match="standard errors must be above 0; where one is 0 give the resolution"):
        fit_trends(X, np.ones(12), errors=np.zeros(12))
    with pytest.raises(InputError, match=r"places have shape \(12,\), scores \(3,\)"):
        fit_trends(X, np.ones(3))
