"""The methods by name."""

from typing import TYPE_CHECKING

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.patching.base import Method

shelf: "Shelf[Method]" = Shelf("method", __package__ or "", not_items=("scores", "scoring"))
