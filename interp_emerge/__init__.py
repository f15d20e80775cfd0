"""Find the circuit behind an ability of a language model, and watch it form as models grow and train.

A few names and the rooms; `__init__.pyi` lists them, and each room lists its own. All are imported when first used, so
that `import interp_emerge` loads nothing.
"""

from typing import Any

import lazy_loader

_found, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("interp-emerge")
    return _found(name)
