"""A circuit's graph as a live widget: its threshold, its search and its pinned nodes are read and set in Python."""

import math
from typing import Any

import anywidget
import traitlets as t

from interp_emerge.core.errors import InputError
from interp_emerge.figures._chart_page import data_of, main_of, packed_library, style_and_scripts
from interp_emerge.figures._export import file_name, picture_in_a_cell, spec_of
from interp_emerge.figures._shown import title_of
from interp_emerge.figures._widget import module_of, with_picture
from interp_emerge.figures._widget_errors import StateError, UnknownStateError

NAMES = {"threshold": "least", "search": "sought", "pinned": "pinned"}
"""The parameters of the figure that hold the widget's state."""


def require_graph(spec: dict[str, Any]) -> set[str]:
    """The names of a specification's parameters.

    Raises:
        InputError: the figure is not a graph of circuits.
    """
    found = {param["name"] for param in spec.get("params", ())}
    if not {NAMES["pinned"], NAMES["search"]} <= found or not spec.get("datasets", {}).get("nodes"):
        raise InputError(
            "this figure has no live widget; ie.figures.circuit_graph(...), ie.figures.circuits_side_by_side(...) and "
            "ie.attention(...) have one, and every figure shows itself without"
        )
    return found


class CircuitGraphWidget(anywidget.AnyWidget):
    """A live graph of a circuit.

    Its state: `threshold` (edges with a smaller |score| are hidden), `search` (what stands in the search field) and
    `pinned` (names of the nodes whose edges are kept in view; a click pins one, with Shift one more).
    """

    _esm = module_of(*style_and_scripts(), "graph_widget.js", ("LIBRARY", str(packed_library())))
    parts = t.Dict().tag(sync=True)
    threshold = t.Float(0.0).tag(sync=True)
    search = t.Unicode().tag(sync=True)
    pinned = t.List(t.Unicode()).tag(sync=True)

    def __init__(self, chart: Any) -> None:
        spec = spec_of(chart)
        self._chart, self._params = chart, require_graph(spec)
        self._nodes = [row["node"] for row in spec["datasets"]["nodes"]]
        title = title_of(chart)
        super().__init__(parts={"main": main_of(title), "figure": str(data_of(spec, file_name(title)))})

    @t.validate("threshold")
    def _possible_threshold(self, proposal: Any) -> float:
        value = proposal["value"]
        if not 0 <= value < math.inf:
            raise StateError(f"threshold cannot be {value}; give the least |score| that is drawn, from 0 on")
        if value and NAMES["threshold"] not in self._params:
            raise StateError("this graph has few edges and no threshold: all of them are drawn; give 0")
        return value

    @t.validate("pinned")
    def _known_nodes(self, proposal: Any) -> list[str]:
        for name in proposal["value"]:
            if name not in self._nodes:
                raise UnknownStateError("node of this graph", name, self._nodes)
        return proposal["value"]

    def __repr__(self) -> str:
        state = f"threshold={self.threshold:g}, search={self.search!r}, pinned={self.pinned}"
        return f"CircuitGraphWidget({state}, of {self._chart!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_picture(super()._repr_mimebundle_(**kwargs), lambda: picture_in_a_cell(self._chart), repr(self))
