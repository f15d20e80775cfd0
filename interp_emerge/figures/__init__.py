"""Figures: each is a function from a tidy table to an altair chart; `save` writes a chart to a file."""

import lazy_loader

from interp_emerge.figures._shelf import shelf

OTHERS = {
    "_export": ["save"],
    "attention.table": ["ATTENTION"],
    "attention.view": ["AttentionView"],
    "_intervals": ["interval_dots", "interval_lines"],
}
"""The other public names, by their module."""

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={**OTHERS, **{name: [name] for name in shelf.names()}}
)
