"""OPT: eight sizes; the end of training only. The 350M model normalises its stream, so it is measured but not split.

The repositories hold pickled weights, which this package does not read: docs/families.md shows how to convert them.
"""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

SIZES = ["125m", "350m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b"]

shelf.add(
    HubFamily(
        name="opt",
        summary="OPT of 125M to 66B parameters; the end of training only; pickled",
        source=Source("Zhang et al.", 2022, "https://arxiv.org/abs/2205.01068"),
        repositories={size: f"facebook/opt-{size}" for size in SIZES},
        revisions="main",
        license="other (https://huggingface.co/facebook/opt-125m/blob/main/LICENSE.md)",
    )
)
