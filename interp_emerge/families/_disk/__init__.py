"""Find checkpoints in directories, on the hub and in its cache, and load them."""
