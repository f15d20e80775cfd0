"""Qwen3: five dense base models with grouped queries and norms of queries and keys; the end of training only."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

SIZES = ["0.6b", "1.7b", "4b", "8b", "14b"]

shelf.add(
    HubFamily(
        name="qwen3",
        summary="Qwen3 dense base models of 0.6B to 14B parameters; the end of training only",
        source=Source("Qwen team", 2025, "https://arxiv.org/abs/2505.09388"),
        repositories={size: f"Qwen/Qwen3-{size.upper()}-Base" for size in SIZES},
        revisions="main",
        license="apache-2.0",
    )
)
