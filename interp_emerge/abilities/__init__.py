"""What a model can do: prompt pairs with named positions, metrics, chance levels and sources."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
