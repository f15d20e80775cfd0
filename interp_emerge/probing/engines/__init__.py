"""What the probes share: reading activations, labels, folds, and fits of many problems together."""
