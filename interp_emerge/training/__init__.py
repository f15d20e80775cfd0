"""Recipes that grow a family: documents of a known language, training, checkpoints and their card."""
