"""SmolLM2: Llama-like models of three sizes, with a checkpoint about every 250 billion tokens."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

# Batches and names of revisions: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-intermediate-checkpoints
BATCHES = {"135m": 1_048_576, "360m": 1_572_864, "1.7b": 2_097_152}

shelf.add(
    HubFamily(
        name="smollm2",
        summary="SmolLM2 from 135M to 1.7B parameters, checkpoints about every 250B tokens; the hub lists which steps",
        source=Source("Ben Allal et al.", 2025, "https://arxiv.org/abs/2502.02737"),
        repositories={size: f"HuggingFaceTB/SmolLM2-{size.upper()}-intermediate-checkpoints" for size in BATCHES},
        revisions="step-{step}",
        tokens_per_step=BATCHES,
        parameters={"135m": 134_515_008},
        license="apache-2.0",
    )
)
