"""All recipes, by name."""

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.training.grokking import RECIPE as GROKKING
from interp_emerge.training.miniature import RECIPE as MINIATURE
from interp_emerge.training.recipe import Recipe

TEXT = "text"
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (MINIATURE, GROKKING)}


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Example:
        >>> recipe = ie.training.load_recipe("miniature")
        >>> recipe.n_steps
        5000

    Raises:
        UnknownNameError: no recipe has the name.
        InputError: the name is `text`, whose recipe depends on the text.
    """
    if name == TEXT:
        raise InputError("the recipe text depends on a text; make it with text_recipe(FOLDER)")
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, [*RECIPES, TEXT])
    return RECIPES[name]
