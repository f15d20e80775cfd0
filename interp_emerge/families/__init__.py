"""Load models across size, training step and seed. All code that depends on an architecture is here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
