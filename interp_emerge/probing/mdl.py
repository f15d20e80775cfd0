"""Logistic probes judged by the length of the online code of their labels, with the portions of the source.

Every decoder with probabilities has a description length. This one fits a new probe at eleven portions, as the source
does, where the others fit at five: a shorter code for more fits.
"""

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.logistic_fits import fit_logistic
from interp_emerge.probing.logistic import STRENGTHS

PORTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)

shelf.add(
    Decoder(
        name="mdl",
        summary="logistic regression with the online code of the source: eleven portions of the pairs; classes",
        source=Source("Voita and Titov", 2020, "https://arxiv.org/abs/2003.12298"),
        fit=fit_logistic,
        strengths=STRENGTHS,
        portions=PORTIONS,
    )
)
