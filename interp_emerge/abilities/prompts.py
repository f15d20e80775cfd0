"""Seeds of the prompts on which circuits are found and judged, and a cache of prompt pairs for several models."""

from interp_emerge.abilities.base import Ability, Split
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.model import HookedModel

DISCOVERY, EVALUATION, REPEATED = 1000, 2000, 10_000
"""Numbers that are added to the seed of a study or a command. Circuits are found on prompts drawn with the seed plus
`DISCOVERY`, and judged on prompts drawn with the seed plus `EVALUATION`. Abilities are measured on prompts drawn with
the seed itself. So the three uses have three different seeds. A search is repeated on prompts drawn with the seed plus
`REPEATED`, plus 1000 for each further repetition."""

SPLITS: dict[int, Split] = {DISCOVERY: "discovery", EVALUATION: "evaluation"}


def split_of(ability: Ability, first_seed: int) -> Split:
    """The half of its words that an ability with choices uses with this number added to the seed; empty for others.

    Circuits are then judged on words that they were not found with. The abilities of the miniature language have no
    halves: their prompts differ by the seed alone.
    """
    return SPLITS.get(first_seed, "") if ability.chosen else ""


class Prompts:
    """A cache of prompt pairs, with a key of tokenizer, ability, number of pairs, seed and split."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[str, str, int, int, Split], PromptPairs] = {}

    def sample(self, ability: Ability, model: HookedModel, n: int, seed: int, split: Split = "") -> PromptPairs:
        """`ability.sample(model, n, seed, split=split)`, drawn once for all models with the same tokenizer.

        Raises:
            InputError: the tokenizer cannot express the prompts, or they do not fit the model's context.
        """
        key = (model.vocabulary, ability.key, n, seed, split)
        if not model.vocabulary or key not in self._drawn:
            self._drawn[key] = ability.sample(model, n, seed, split=split)
        require_pairs(model, self._drawn[key])
        return self._drawn[key]
