"""Where models lie: directories of checkpoints, the hub and its cache, and how one is loaded."""
