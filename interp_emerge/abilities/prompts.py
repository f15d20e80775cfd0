"""Which prompts a circuit is found on and judged on, and prompt pairs that are drawn once for many models."""

from interp_emerge.abilities.base import Ability, PromptPairs
from interp_emerge.core.model import HookedModel

DISCOVERY, EVALUATION = 1000, 2000
"""Added to the seed of a study or a command: circuits are found on prompts of the first and judged on those of the
second. Abilities are measured on prompts of the seed itself, so that no two of the three share prompts."""


class Prompts:
    """Prompt pairs that were drawn before, by tokenizer, ability, number and seed."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[str, str, int, int], PromptPairs] = {}

    def sample(self, ability: Ability, model: HookedModel, n: int, seed: int) -> PromptPairs:
        """`ability.sample(model, n, seed)`, without drawing again what another model of the tokenizer was given.

        Raises:
            InputError: the tokenizer cannot express the prompts, or they do not fit the model's context.
        """
        key = (model.vocabulary, ability.name, n, seed)
        if not model.vocabulary or key not in self._drawn:
            self._drawn[key] = ability.sample(model, n, seed)
        model.require_tokens(self._drawn[key].clean)
        return self._drawn[key]
