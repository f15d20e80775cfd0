"""The recipe of the bundled family.

There are seven sizes, from three thousand to half a million non-embedding parameters, and thirteen training runs with
twelve checkpoints each. With two bytes for each weight this fits into 24 MB. The sizes on either side of the onset of
induction, 7k and 14k, have three seeds. So has 25k, where modular addition appears in only some of the runs.
"""

from interp_emerge.training.recipe import Recipe, SizeRecipe

RECIPE = Recipe(
    name="miniature",
    sizes=(
        SizeRecipe(name="3k", n_layers=1, d_model=16, n_heads=2, learning_rate=4e-3),
        SizeRecipe(name="5k", n_layers=1, d_model=20, n_heads=2, learning_rate=4e-3),
        SizeRecipe(name="7k", n_layers=2, d_model=16, n_heads=2, learning_rate=4e-3, n_seeds=3),
        SizeRecipe(name="14k", n_layers=2, d_model=24, n_heads=3, learning_rate=4e-3, n_seeds=3),
        SizeRecipe(name="25k", n_layers=2, d_model=32, n_heads=4, learning_rate=4e-3, n_seeds=3),
        SizeRecipe(name="200k", n_layers=4, d_model=64, n_heads=8, learning_rate=3e-3),
        SizeRecipe(name="560k", n_layers=5, d_model=96, n_heads=8, learning_rate=2e-3),
    ),
    checkpoints=(0, 10, 30, 100, 250, 500, 750, 1000, 1500, 2000, 3000, 5000),
    documents={"markov": 10, "induction": 20, "indirect_object": 20, "modular_addition": 20, "two_hop": 26},
)
