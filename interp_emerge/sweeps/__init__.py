"""The grid of runs: which results there are already, and one model in memory at a time."""
