"""The probes by name."""

from typing import TYPE_CHECKING

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.probing.base import Probe

shelf: "Shelf[Probe]" = Shelf(
    "probe", __package__ or "", not_items=("knowing", "lensing", "scores", "tables", "turning", "using")
)
