"""Intervals, significance and multiple testing: NumPy and SciPy only."""
