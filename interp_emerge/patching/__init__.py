"""What a node or an edge does to a metric: exact patching and its gradient approximations."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
