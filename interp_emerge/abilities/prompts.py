"""Prompt pairs of a sweep, drawn once for all models that share a tokenizer."""

from interp_emerge.abilities.base import Ability, PromptPairs
from interp_emerge.core.model import HookedModel


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
