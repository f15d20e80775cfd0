"""Figures: one function each, from a study's tidy table to an altair chart; `save` writes a chart to a file."""

import lazy_loader

from interp_emerge.figures._shelf import shelf

OTHERS = {"_export": ["save"], "_intervals": ["interval_dots", "interval_lines"]}
"""Names beside the figures of a study, by their module."""

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={**OTHERS, **{name: [name] for name in shelf.names()}}
)
