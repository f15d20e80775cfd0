"""Facts about published models that several families share."""
