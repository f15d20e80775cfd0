"""All recipes, by name."""

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.training.grokking import RECIPE as GROKKING
from interp_emerge.training.miniature import RECIPE as MINIATURE
from interp_emerge.training.recipe import Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (MINIATURE, GROKKING)}


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Example:
        >>> recipe = ie.training.load_recipe("miniature")
        >>> recipe.n_steps
        5000

    Raises:
        UnknownNameError: no recipe has the name.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
