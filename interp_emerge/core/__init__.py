"""The vocabulary that every other folder speaks: models, graphs, circuits, registries, errors."""
