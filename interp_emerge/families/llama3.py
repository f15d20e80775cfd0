"""Llama 3: base models of releases 3.2 (1B, 3B) and 3.1 (8B, 70B), with grouped queries; the end of training only."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

REPOSITORIES = {"1b": "Llama-3.2-1B", "3b": "Llama-3.2-3B", "8b": "Llama-3.1-8B", "70b": "Llama-3.1-70B"}

shelf.add(
    HubFamily(
        name="llama3",
        summary="Llama 3.2 and 3.1 base models of 1B to 70B parameters; the end of training only; gated",
        source=Source("Grattafiori et al.", 2024, "https://arxiv.org/abs/2407.21783"),
        repositories={size: f"meta-llama/{name}" for size, name in REPOSITORIES.items()},
        revisions="main",
        license="llama3.2 (1b, 3b), llama3.1 (8b, 70b)",
        gated=True,
    )
)
