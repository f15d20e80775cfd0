"""The test of whether two models share a circuit."""
