"""A study: one family, one ability in question and others for comparison, from measuring to the report."""
