"""A circuit run with everything else ablated, and how much of the ability it keeps."""
