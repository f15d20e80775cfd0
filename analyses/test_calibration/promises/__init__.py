"""The promises that verdicts and intervals make: each file has those of one subject in `PROMISES`."""

import importlib
import pkgutil

from promises.base import Promise

_SUBJECTS = (importlib.import_module(f"promises.{found.name}") for found in pkgutil.iter_modules(__path__))
PROMISES: tuple[Promise, ...] = tuple(one for subject in _SUBJECTS for one in getattr(subject, "PROMISES", ()))
