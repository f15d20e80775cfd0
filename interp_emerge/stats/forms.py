"""Forms of a curve over a positive axis, fitted and compared: constant, power law, sigmoid, broken power law.

With u = log x − mean(log x), each form is y = a + b · g(u) with its own g:

| form | g(u) | parameters | reported as |
|---|---|---|---|
| constant | none | 1 | `offset` |
| power_law | (e^(cu) − 1) / c, the line u where c = 0 | 3 | `offset` + `factor` · x^`exponent` |
| sigmoid | 1 / (1 + e^(−k(u − m))) | 4 | from `start` to `end`, half-way at `midpoint`, `steepness` k |
| broken_power_law | exponent c₀ before d, c₁ after | 5 | the same, with `exponent_after` from `break` on |

The broken power law is that of Caballero et al. (2022, https://arxiv.org/abs/2210.14891) with one sharp break.

1. For any shape (c; k and m; c₀, c₁ and d) the least-squares a and b have a closed form. Points are weighted by their
   standard errors if these are given. The shape is searched on a grid, then refined from the best grid points by
   nonlinear least squares.
2. Forms are compared by Akaike's criterion: χ² + 2k for k parameters, if standard errors are known. Without standard
   errors the noise is one more parameter, and the criterion is AICc (Hurvich and Tsai, 1989,
   https://doi.org/10.1093/biomet/76.2.297), which allows for the noise being estimated from few points. Weights are
   exp(−ΔAIC / 2), normalised over the forms that are defined.
3. A form is *undefined* with too few points: fewer than parameters + 1 if errors are known, and parameters + 2 if not.
   The same holds for different places and coefficients: points at one place determine the noise there, not the form.
   Weights say which form is best, not that it fits. `p_value` says whether it fits, if standard errors are known.

A sigmoid whose rise lies between two points fits equally well for every larger `steepness`. So `steepness` is bounded:
the rise takes at least a twentieth of the smallest gap. Forms describe what was measured. Nothing supports them beyond
the last point.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record

SPARE_KNOWN, SPARE = 1, 2
"""Points that a form needs in addition to its parameters, and different places in addition to its coefficients, if
standard errors are known and if not. One is left to say whether the form fits; AICc needs two."""
GRID, COARSE_GRID, STARTS = 25, 13, 5
"""Grid values for each number of a shape, grid values if a shape has three numbers, and grid points refined."""
CURVED = 10.0
"""Largest exponent times the length of the axis, in e-folds."""
STEEPEST = 20.0
"""Largest steepness times the smallest gap."""
BREAK_WIDTH = 0.01
"""Fraction of the axis over which the slope of a broken power law changes."""
EXACT = 1e-24
"""Residual sum of squares, as a fraction of that of y, below which residuals are rounding errors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedForm(Record):
    """One form fitted to a curve. If it is undefined, `parameters` is empty, numbers are NaN and `reason` says why."""

    form: str
    parameters: Mapping[str, float]
    n_parameters: int
    chi_square: float
    """Sum of squared residuals, in squared standard errors if these are known, else in the squared unit of y."""
    aic: float
    """Akaike's criterion; AICc without standard errors."""
    weight: float
    p_value: float
    """Probability of residuals as large if the form is true; NaN without standard errors."""
    curve: Callable[[np.ndarray], np.ndarray] | None
    reason: str = ""

    @property
    def described(self) -> str:
        """The parameters with their values, or why the form is undefined."""
        named = ", ".join(f"{name} {value:.4g}" for name, value in self.parameters.items())
        return named if self.curve else f"undefined: {self.reason}"

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The form's values at places x, shape [point].

        Raises:
            InputError: the form is undefined.
        """
        if self.curve is None:
            raise InputError(
                f"the form {self.form!r} is undefined, so it predicts nothing ({self.reason}); use a defined form"
            )
        return self.curve(np.asarray(x, dtype=np.float64))


def fit_forms(x: np.ndarray, y: np.ndarray, *, errors: np.ndarray | None = None) -> tuple[FittedForm, ...]:
    """Every form fitted to y over x, in the order of `FORMS`.

    Example:
        >>> size = np.array([1, 10, 100, 1000.0])
        >>> [fitted.form for fitted in ie.stats.fit_forms(size, np.array([0.1, 0.2, 0.3, 0.4]))]

    Args:
        x: places above 0, shape [point]; several points may have the same place.
        y: values, shape [point].
        errors: standard errors of y, shape [point]; if left out, they are equal and unknown.

    Raises:
        InputError: shapes that differ, places or errors that are not above 0, or values that are not finite.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = None if errors is None else np.asarray(errors, dtype=np.float64)
    _check(x, y, known)
    weights = np.ones(len(x)) if known is None else known**-2.0
    middle = np.log(x).mean()
    data = _Data(u=np.log(x) - middle, y=y, weights=weights, middle=float(middle), noise_known=known is not None)
    fits = [_fit(form, data) for form in FORMS]
    best = np.nanmin([fit.aic for fit in fits]) if any(fit.curve for fit in fits) else np.nan
    shares = np.nan_to_num(np.exp([-(fit.aic - best) / 2 for fit in fits]))
    total = shares.sum()
    return tuple(
        replace(fit, weight=float(share / total)) if fit.curve else fit for fit, share in zip(fits, shares, strict=True)
    )


def aicc(minus_twice_log_likelihood: float, n_parameters: int, n: int) -> float:
    """Akaike's information criterion for `n` values, corrected for small `n`; smaller is better."""
    k = n_parameters
    return minus_twice_log_likelihood + 2 * k + 2 * k * (k + 1) / (n - k - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    u: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    middle: float
    noise_known: bool

    @property
    def length(self) -> float:
        return float(np.ptp(self.u)) or 1.0

    @property
    def smallest_gap(self) -> float:
        gaps = np.diff(np.unique(self.u))
        return float(gaps.min()) if len(gaps) else 1.0

    def linear(self, g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offset a, factor b and weighted squared residuals of the best a + b · g, for each row of g, shape [row]."""
        total = self.weights.sum()
        g_mean, y_mean = (g * self.weights).sum(-1) / total, (self.y * self.weights).sum() / total
        centred = g - g_mean[..., None]
        spread = (self.weights * centred**2).sum(-1)
        along = (self.weights * centred * (self.y - y_mean)).sum(-1)
        b = np.divide(along, spread, out=np.zeros_like(spread), where=spread > 0)
        a = y_mean - b * g_mean
        residual = (self.weights * (self.y - a[..., None] - b[..., None] * g) ** 2).sum(-1)
        return np.asarray(a), np.asarray(b), np.asarray(residual)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """A shape g(u; θ), the bounds of θ, and the function that gives the reported parameters."""

    name: str
    n_linear: int
    g: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """From u, shape [point], and θ, shape [..., number], to g, shape [..., point]."""
    bounds: Callable[[_Data], list[tuple[float, float]]]
    report: Callable[[float, float, np.ndarray, float], dict[str, float]]
    """From a, b, θ and the mean of log x to the parameters by name."""


def _power(u: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(e^(cu) − 1) / c, shape [..., point], for c of shape [...]."""
    c = c[..., None]
    return np.where(np.abs(c) < 1e-9, u, np.expm1(c * u) / np.where(np.abs(c) < 1e-9, 1, c))


def _broken(u: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """A power law up to the break and another one after it, equal at the break, with a smooth change of slope."""
    before, after, at = (theta[..., i, None] for i in range(3))
    width = BREAK_WIDTH * (np.ptp(u) or 1.0)
    past = width * np.logaddexp(0, (u - at) / width)
    return np.exp(np.clip(before * (u - at) + (after - before) * past, -50, 50))


def _sigmoid(u: np.ndarray, theta: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(np.exp(theta[..., 0, None]) * (u - theta[..., 1, None]))


def _report_power(a: float, b: float, theta: np.ndarray, middle: float) -> dict[str, float]:
    c = float(theta[0])
    if abs(c) < 1e-6:  # the line a + b · u, which is not an offset plus a multiple of a power
        return {"offset": a - b * middle, "factor": b, "exponent": 0.0}
    return {"offset": a - b / c, "factor": b / c * float(np.exp(-c * middle)), "exponent": c}


def _report_broken(a: float, b: float, theta: np.ndarray, middle: float) -> dict[str, float]:
    before, after, at = (float(value) for value in theta)
    factor = b * float(np.exp(-before * (at + middle)))
    slopes = {"exponent": before, "exponent_after": after, "break": float(np.exp(at + middle))}
    return {"offset": a, "factor": factor, **slopes}


def _report_sigmoid(a: float, b: float, theta: np.ndarray, middle: float) -> dict[str, float]:
    about = {"midpoint": float(np.exp(theta[1] + middle)), "steepness": float(np.exp(theta[0]))}
    return {"start": a, "end": a + b, **about}


def _curvature(data: _Data) -> tuple[float, float]:
    return -CURVED / data.length, CURVED / data.length


def _sigmoid_bounds(data: _Data) -> list[tuple[float, float]]:
    steepness = float(np.log(1 / data.length)), float(np.log(STEEPEST / data.smallest_gap))
    return [steepness, (float(data.u.min()), float(data.u.max()))]


def _broken_bounds(data: _Data) -> list[tuple[float, float]]:
    inner = np.unique(data.u)
    return [
        _curvature(data),
        _curvature(data),
        (float(inner[min(1, len(inner) - 1)]), float(inner[max(-2, -len(inner))])),
    ]


FORMS = (
    _Form(
        name="constant",
        n_linear=1,
        g=lambda u, theta: np.zeros((*theta.shape[:-1], len(u))),
        bounds=lambda data: [],
        report=lambda a, b, theta, middle: {"offset": a},
    ),
    _Form(
        name="power_law",
        n_linear=2,
        g=lambda u, theta: _power(u, theta[..., 0]),
        bounds=lambda data: [_curvature(data)],
        report=_report_power,
    ),
    _Form(name="sigmoid", n_linear=2, g=_sigmoid, bounds=_sigmoid_bounds, report=_report_sigmoid),
    _Form(name="broken_power_law", n_linear=2, g=_broken, bounds=_broken_bounds, report=_report_broken),
)


def _fit(form: _Form, data: _Data) -> FittedForm:
    from scipy.stats import chi2

    bounds, n, places = form.bounds(data), len(data.y), len(np.unique(data.u))
    coefficients = form.n_linear + len(bounds)
    counted = coefficients + (not data.noise_known)
    spare = SPARE_KNOWN if data.noise_known else SPARE
    reason = f"{places} different places, {coefficients + spare} are needed" if places < coefficients + spare else ""
    if n < counted + spare:
        reason = f"{n} points, {counted + spare} are needed"
    if reason:
        undefined = dict.fromkeys(("chi_square", "aic", "weight", "p_value"), np.nan)
        return FittedForm(form=form.name, parameters={}, n_parameters=counted, curve=None, reason=reason, **undefined)
    theta = _search(form, data, bounds)
    a, b, residual = (float(value) for value in data.linear(form.g(data.u, theta)))
    least = EXACT * float((data.weights * data.y**2).sum()) or EXACT
    aic = residual + 2 * counted if data.noise_known else aicc(n * np.log(max(residual, least) / n), counted, n)
    return FittedForm(
        form=form.name,
        parameters=form.report(a, b, theta, data.middle),
        n_parameters=counted,
        chi_square=residual,
        aic=aic,
        weight=np.nan,
        p_value=float(chi2.sf(residual, n - counted)) if data.noise_known else np.nan,
        curve=lambda x: a + b * form.g(np.log(x) - data.middle, theta),
    )


def _search(form: _Form, data: _Data, bounds: list[tuple[float, float]]) -> np.ndarray:
    """The shape with the smallest residuals. The best few points of a grid are each refined by least squares."""
    from scipy.optimize import least_squares

    if not bounds:
        return np.zeros(0)
    steps = GRID if len(bounds) < 3 else COARSE_GRID
    grid = np.array(list(product(*(np.linspace(*bound, steps) for bound in bounds))))
    order = data.linear(form.g(data.u, grid))[2].argsort(kind="stable")
    low, high = np.array(bounds).T

    def residuals(theta: np.ndarray) -> np.ndarray:
        g = form.g(data.u, theta)
        a, b, _ = data.linear(g)
        return np.sqrt(data.weights) * (data.y - a - b * g)

    starts = np.clip(grid[order[:STARTS]], low + 1e-9, np.maximum(high - 1e-9, low + 2e-9))
    options = {"bounds": (low, high + 4e-9), "x_scale": high - low + 1e-9, "xtol": 1e-10, "max_nfev": 50}
    found = [least_squares(residuals, start, **options) for start in starts]
    return np.asarray(min(found, key=lambda result: result.cost).x)


def _check(x: np.ndarray, y: np.ndarray, errors: np.ndarray | None) -> None:
    if x.ndim != 1 or x.shape != y.shape or not len(x) or (errors is not None and errors.shape != x.shape):
        given = "" if errors is None else f", errors {errors.shape}"
        raise InputError(
            f"a trend needs one score for each place, and one error if any; places have shape {x.shape}, scores "
            f"{y.shape}{given}"
        )
    if not (np.isfinite(x) & np.isfinite(y)).all() or (x <= 0).any():
        raise InputError(
            "a trend over the logarithm of scale needs places above 0 and finite scores; leave out untrained models "
            "(step 0) and undefined scores"
        )
    if errors is not None and not (np.isfinite(errors) & (errors > 0)).all():
        raise InputError(
            "standard errors must be above 0; where one is 0 give the resolution instead, such as 1/N for N prompts"
        )
