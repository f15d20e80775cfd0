"""SmolLM3: one Llama-like model without rotary positions in every fourth layer, a checkpoint every 40,000 steps.

The three stages of pretraining change the mixture of data and count their steps on: https://huggingface.co/
HuggingFaceTB/SmolLM3-3B-checkpoints. Checkpoints of the extension to long contexts, which count anew, are left out.
"""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

shelf.add(
    HubFamily(
        name="smollm3",
        summary="SmolLM3 of 3B parameters, checkpoints every 40,000 steps of pretraining; the hub lists which steps",
        source=Source("Bakouch et al.", 2025, "https://huggingface.co/HuggingFaceTB/SmolLM3-3B-checkpoints"),
        repositories={"3b": "HuggingFaceTB/SmolLM3-3B-checkpoints"},
        revisions=["stage1-step-{step}", "stage2-step-{step}", "stage3-step-{step}"],
        tokens_per_step=2_359_296,
        license="apache-2.0",
    )
)
