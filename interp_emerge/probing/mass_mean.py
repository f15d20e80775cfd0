"""Mass-mean probes: the difference of class means, with the covariance within classes divided out.

This is the probe that the paper uses for prediction. The plain difference of means is `nearest_centroid`.
"""

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.least_squares import fit_shared_covariance

shelf.add(
    Decoder(
        name="mass_mean",
        summary="difference of class means, with the covariance within classes divided out; classes",
        source=Source("Marks and Tegmark", 2023, "https://arxiv.org/abs/2310.06824"),
        fit=fit_shared_covariance,
        strengths=(0.01, 0.1, 1.0),
    )
)
