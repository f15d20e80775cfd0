"""The seeds of the prompts on which a circuit is found and judged, and prompt pairs drawn once for many models."""

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.model import HookedModel

DISCOVERY, EVALUATION = 1000, 2000
"""Added to the seed of a study or a command: circuits are found on prompts of the first sum and judged on those of the
second. Abilities are measured on prompts of the seed itself. So the three uses have three different seeds."""


class Prompts:
    """A memory of prompt pairs, by tokenizer, ability, number of pairs and seed."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[str, str, int, int], PromptPairs] = {}

    def sample(self, ability: Ability, model: HookedModel, n: int, seed: int) -> PromptPairs:
        """`ability.sample(model, n, seed)`, drawn once for all models with the same tokenizer.

        Raises:
            InputError: the tokenizer cannot express the prompts, or they do not fit the model's context.
        """
        key = (model.vocabulary, ability.name, n, seed)
        if not model.vocabulary or key not in self._drawn:
            self._drawn[key] = ability.sample(model, n, seed)
        require_pairs(model, self._drawn[key])
        return self._drawn[key]
