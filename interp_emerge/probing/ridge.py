"""Ridge regression: classes as ones and zeros, or real values. It has no probabilities, so no description length."""

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.least_squares import fit_ridge

STRENGTHS = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)

shelf.add(
    Decoder(
        name="ridge",
        summary="least squares with an L2 penalty, in closed form; classes and real values",
        source=Source("Hoerl and Kennard", 1970, "https://doi.org/10.1080/00401706.1970.10488634"),
        fit=fit_ridge,
        strengths=STRENGTHS,
        probabilities=False,
        real=True,
    )
)
