"""How a Hugging Face model is taken apart into norms, projections, heads and MLPs, and proven to be the sum of them."""
