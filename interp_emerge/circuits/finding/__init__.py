"""From scores to a circuit: choosing its size and edges, how stable the choice is, random circuits to compare with."""
