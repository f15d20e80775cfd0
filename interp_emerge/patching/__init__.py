"""What a node or an edge does to a metric: exact patching and its gradient approximations."""

from typing import TYPE_CHECKING

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.patching.base import Method

shelf: "Shelf[Method]" = Shelf("method", __name__, apart=("scores", "scoring"))
