"""How an ability and its circuit emerge, along size (scale), along training (forming), between models (sameness)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
