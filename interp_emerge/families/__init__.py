"""Models across size, training step and seed: the only way in for weights, and all that knows architectures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
