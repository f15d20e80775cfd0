"""Speed against TransformerLens and against bare forward passes, as ratios measured in one run."""
