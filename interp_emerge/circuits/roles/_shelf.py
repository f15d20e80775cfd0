"""The roles by name."""

from typing import TYPE_CHECKING

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.circuits.roles.base import Role

shelf: "Shelf[Role]" = Shelf("role", __package__ or "", not_items=("composition", "labels", "repeated", "table"))
