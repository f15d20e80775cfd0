"""The vocabulary that every other folder speaks: models, graphs, tables, registries, errors."""
