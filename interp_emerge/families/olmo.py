"""OLMo: the first fully open models of the Allen Institute, with checkpoints at about every thousand steps."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

shelf.add(
    HubFamily(
        name="olmo",
        summary="OLMo of 1B and 7B parameters on Dolma, checkpoints about every 1000 steps; the hub lists which",
        source=Source("Groeneveld et al.", 2024, "https://arxiv.org/abs/2402.00838"),
        # Names of revisions, and that some were lost: https://huggingface.co/allenai/OLMo-7B
        repositories={"1b": "allenai/OLMo-1B-hf", "7b": "allenai/OLMo-7B-hf"},
        revisions="step{step}-tokens{tokens}",
        license="apache-2.0",
    )
)
