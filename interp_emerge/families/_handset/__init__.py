"""Models whose weights are set by hand, so that their circuits are known."""
