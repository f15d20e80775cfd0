"""Models whose weights are set by hand, so that their circuit is known."""
