"""Runs of a circuit with everything else ablated, and how much of the ability it keeps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
