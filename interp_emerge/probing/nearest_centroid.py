"""The class whose mean is nearest: no weights are trained, so there is nothing to overfit with."""

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.least_squares import fit_centroids

shelf.add(
    Decoder(
        name="nearest_centroid",
        summary="the class whose mean activation is nearest; classes",
        source=Source("Tibshirani et al.", 2002, "https://doi.org/10.1073/pnas.082099299"),
        fit=fit_centroids,
        strengths=(0.0,),
    )
)
