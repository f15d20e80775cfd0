"""The figures, by name."""

from typing import TYPE_CHECKING, TypeVar

from interp_emerge.core.arguments import checked
from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.figures.base import Figure  # noqa: F401

Drawing = TypeVar("Drawing")


class Figures(Shelf["Figure"]):
    """The shelf of figures. Each refuses arguments that do not fit its annotations."""

    def add(self, item: Drawing) -> Drawing:
        """Register a figure, with the check of its arguments."""
        return super().add(checked(item))  # pyright: ignore[reportArgumentType]


shelf = Figures("figure", __package__ or "")
