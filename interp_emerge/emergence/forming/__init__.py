"""Changes along training: when each part of a circuit forms, in which order, and when the ability depends on it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
