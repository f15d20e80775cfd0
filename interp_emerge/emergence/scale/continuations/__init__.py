"""Answers of several tokens, scored token by token and as a whole."""
