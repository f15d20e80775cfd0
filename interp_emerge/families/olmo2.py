"""OLMo 2: open models with norms after attention and MLP. Only the first stage of training is followed.

Revisions name stage, step and tokens. Steps count anew in stage 2, which mixes three runs on other data, so its
checkpoints are not steps of the same run. Some early revisions of the 7B model lack the stage in their name.
"""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families.base import Fault

SAME = "steps 101000, 175000 and 300000 have the same weights"

shelf.add(
    HubFamily(
        name="olmo2",
        summary="OLMo 2 from 1B to 32B parameters, first stage of training; the hub lists which steps",
        source=Source("OLMo team", 2024, "https://arxiv.org/abs/2501.00656"),
        # Names of revisions: https://huggingface.co/allenai/OLMo-2-1124-7B and its discussion 6
        repositories={
            "1b": "allenai/OLMo-2-0425-1B",
            "7b": "allenai/OLMo-2-1124-7B",
            "13b": "allenai/OLMo-2-1124-13B",
            "32b": "allenai/OLMo-2-0325-32B",
        },
        revisions=["stage1-step{step}-tokens{tokens}", "step{step}-tokens{tokens}"],
        license="apache-2.0",
        faults=(
            Fault(
                size="7b",
                steps=(101_000, 175_000, 300_000),
                what=SAME,
                source="https://github.com/allenai/OLMo/issues/915",
            ),
        ),
    )
)
