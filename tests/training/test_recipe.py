"""A recipe says all that decides the weights, and its hash changes with any of it."""

from dataclasses import fields, replace
from typing import Any

import pytest

from interp_emerge.abilities import _language as language
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.training.miniature import RECIPE
from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.recipes import load_recipe

OTHER: dict[str, Any] = {
    "name": "other",
    "sizes": RECIPE.sizes[:-1],
    "checkpoints": (0, 1),
    "documents": {"markov": 1},
    "warmup": 7,
    "betas": (0.9, 0.99),
    "weight_decay": 0.0,
    "gradient_clip": 0.5,
    "threads": 2,
}
OTHER_SIZE: dict[str, Any] = {
    "name": "other",
    "n_layers": 9,
    "d_model": 64,
    "n_heads": 1,
    "learning_rate": 0.5,
    "n_seeds": 9,
}


def test_the_hash_is_the_same_for_the_same_recipe():
    assert replace(RECIPE).hash == RECIPE.hash


def test_the_hash_changes_with_every_field():
    assert set(OTHER) == {field.name for field in fields(Recipe)}
    hashes = {replace(RECIPE, **{name: value}).hash for name, value in OTHER.items()}
    assert len(hashes | {RECIPE.hash}) == len(OTHER) + 1


def test_the_hash_changes_with_every_field_of_a_size():
    assert set(OTHER_SIZE) == {field.name for field in fields(SizeRecipe)}
    first, *rest = RECIPE.sizes
    hashes = {
        replace(RECIPE, sizes=(replace(first, **{name: value}), *rest)).hash for name, value in OTHER_SIZE.items()
    }
    assert len(hashes | {RECIPE.hash}) == len(OTHER_SIZE) + 1


@pytest.mark.parametrize("change", ["words", "chain"])
def test_the_hash_changes_with_the_language(monkeypatch: pytest.MonkeyPatch, change: str):
    before = RECIPE.hash
    if change == "words":
        monkeypatch.setattr(language, "VOCABULARY", [*language.VOCABULARY, "new"])
    else:
        chain = language.markov_chain()[::-1]
        monkeypatch.setattr(language, "markov_chain", lambda: chain)
    assert RECIPE.hash != before


def test_sizes_are_found_by_name():
    assert RECIPE.size("3k") is RECIPE.sizes[0]
    with pytest.raises(UnknownNameError, match=r"unknown size of miniature '3K'; did you mean '3k'\?"):
        RECIPE.size("3K")


def test_recipes_are_found_by_name():
    assert load_recipe("miniature") is RECIPE
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'minature'; did you mean 'miniature'\?"):
        load_recipe("minature")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sizes": ()}, "needs at least one size, each with its own name"),
        ({"sizes": RECIPE.sizes[:1] * 2}, "needs at least one size, each with its own name, not "),
        ({"checkpoints": ()}, r"checkpoints cannot be \[\]"),
        ({"checkpoints": (0, 8, 4)}, r"checkpoints cannot be \[0, 8, 4\]; give increasing steps from 0 on"),
        ({"checkpoints": (0, 4, 4)}, r"checkpoints cannot be \[0, 4, 4\]"),
        ({"documents": {"markof": 1}}, "unknown kind of document 'markof'; did you mean 'markov'"),
    ],
)
def test_a_recipe_that_cannot_be_grown_is_refused(change: dict[str, Any], said: str):
    with pytest.raises((InputError, UnknownNameError), match=said):
        replace(RECIPE, **change)


def test_heads_have_to_divide_the_width():
    with pytest.raises(InputError, match="size 'odd': 3 heads do not divide a width of 16"):
        SizeRecipe(name="odd", n_layers=1, d_model=16, n_heads=3, learning_rate=1e-3)


@pytest.mark.parametrize(("d_model", "n_heads", "rotary"), [(16, 2, 4), (20, 2, 4), (24, 3, 4), (96, 8, 6)])
def test_about_half_of_a_heads_dimensions_turn_with_position(d_model: int, n_heads: int, rotary: int):
    size = SizeRecipe(name="x", n_layers=1, d_model=d_model, n_heads=n_heads, learning_rate=1e-3)
    assert size.rotary_dimensions == rotary
