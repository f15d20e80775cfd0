"""Activations of a run: what to record, and where it is kept on disk."""
