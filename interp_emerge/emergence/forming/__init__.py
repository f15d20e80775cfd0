"""Along training: when each part of a circuit forms, in which order, and what depends on it."""
