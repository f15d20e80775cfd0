"""Roles of heads: what heads do, compared with untrained models and with the effect of removing the head."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
