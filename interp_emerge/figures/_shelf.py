"""The figures, by name."""

from typing import TYPE_CHECKING

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.figures.base import Figure

shelf: "Shelf[Figure]" = Shelf("figure", __package__ or "")
