"""Between models: which heads correspond, and whether two circuits are the same."""
