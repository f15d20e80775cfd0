"""The registry of all abilities, by name."""

from typing import TYPE_CHECKING

from interp_emerge.core.arguments import checked
from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.abilities.base import Ability

_NOT_ABILITIES = ("measuring", "metrics", "pairs", "prompts", "tables")
shelf: "Shelf[Ability]" = Shelf("ability", __package__ or "", not_items=_NOT_ABILITIES)


@checked
def load_ability(name: str) -> "Ability":
    """The ability of that name.

    Raises:
        UnknownNameError: no ability has the name; the message suggests the most similar name.
        InputError: the name is not a string.
    """
    return shelf[name]
