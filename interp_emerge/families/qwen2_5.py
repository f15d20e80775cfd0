"""Qwen2.5: seven base models with grouped queries; the end of training only. The 3B and 72B have other licences."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

SIZES = ["0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"]

shelf.add(
    HubFamily(
        name="qwen2_5",
        summary="Qwen2.5 base models of 0.5B to 72B parameters; the end of training only",
        source=Source("Qwen team", 2024, "https://arxiv.org/abs/2412.15115"),
        repositories={size: f"Qwen/Qwen2.5-{size.upper()}" for size in SIZES},
        revisions="main",
        license="apache-2.0 (3b: qwen-research, 72b: qwen)",
    )
)
