"""GPT-2: four sizes, the end of training only."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

REPOSITORIES = {"small": "gpt2", "medium": "gpt2-medium", "large": "gpt2-large", "xl": "gpt2-xl"}
PARAMETERS = {"small": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}

shelf.add(
    HubFamily(
        name="gpt2",
        summary="GPT-2 of 124M to 1.6B parameters; the end of training only",
        source=Source("Radford et al.", 2019, "https://huggingface.co/openai-community/gpt2"),
        repositories={size: f"openai-community/{name}" for size, name in REPOSITORIES.items()},
        revisions="main",
        parameters=PARAMETERS,
        license="mit",
    )
)
