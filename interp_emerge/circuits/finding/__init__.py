"""From scores to a circuit: choosing its size and edges, how stable the choice is, random circuits to compare with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
