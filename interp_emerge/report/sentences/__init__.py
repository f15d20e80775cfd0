"""Tables of a study as sentences."""
