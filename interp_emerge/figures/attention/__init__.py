"""Attention views: what heads attend to, as a page to explore, as a picture, and as a table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
