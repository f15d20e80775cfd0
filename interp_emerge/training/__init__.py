"""Recipes that grow a family: documents of a known language, training, checkpoints and their card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
