"""Along model size: metrics and their jumps, mirage checks, forms of curves, onsets, seeds, rare successes."""
