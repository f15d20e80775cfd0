"""What a site of a model knows, with its controls, and whether the model uses it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
