"""Logistic regression, binary or multinomial: the linear probe of the field."""

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.logistic_fits import fit_logistic

STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)

shelf.add(
    Decoder(
        name="logistic",
        summary="logistic regression with an L2 penalty; classes",
        source=Source("Alain and Bengio", 2016, "https://arxiv.org/abs/1610.01644"),
        fit=fit_logistic,
        strengths=STRENGTHS,
    )
)
