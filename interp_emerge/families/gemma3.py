"""Gemma 3: the two pretrained models that read text alone; the end of training only. Larger ones also read images."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

shelf.add(
    HubFamily(
        name="gemma3",
        summary="Gemma 3 pretrained on text, 270M and 1B parameters; the end of training only; gated",
        source=Source("Gemma team", 2025, "https://arxiv.org/abs/2503.19786"),
        repositories={"270m": "google/gemma-3-270m", "1b": "google/gemma-3-1b-pt"},
        revisions="main",
        license="gemma",
        gated=True,
    )
)
