"""The tokens of a model: their names, texts as ids, and what stands first in a prompt."""
