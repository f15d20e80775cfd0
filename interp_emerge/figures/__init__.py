"""Figures: one function each, from a study's tidy table to an altair chart; `save` writes a chart to a file."""

from typing import TYPE_CHECKING, Any

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.figures.base import Figure

shelf: "Shelf[Figure]" = Shelf("figure", __name__)


def __getattr__(name: str) -> Any:
    """`save`, found only when asked for: listing the figures must not import altair."""
    if name == "save":
        from interp_emerge.figures._export import save

        return save
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
