"""Prompt pairs of one's own: from text, from files, and how they are kept and shown."""
