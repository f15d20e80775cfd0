"""Tests of the integrity of checkpoints: what each one holds, and how it fits the others of its training run."""
