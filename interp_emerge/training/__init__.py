"""Grow (train) a family of small models by a recipe: documents of a known language, checkpoints, model card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
