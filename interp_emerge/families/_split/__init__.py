"""Split a Hugging Face model into norms, projections, heads and MLPs, and prove that these compute its logits."""
