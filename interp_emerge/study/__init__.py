"""A study: one family, one ability with others beside it, every stage from measuring to the report."""
