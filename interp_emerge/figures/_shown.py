"""Charts that show themselves in every notebook viewer, with and without a network, and save themselves to files.

A plain altair chart shows nothing without a network, since its HTML loads Vega from a server. These are altair charts
too: what altair does with one chart, such as `chart.properties(width=300)`, works. altair cannot join them with `|` and
`&`, since each has a style and tables of its own; show them one after the other.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

import altair as alt
import pandas as pd
from altair.typing import ChartType

AnyChart = TypeVar("AnyChart", bound=ChartType)
UNTITLED = "Figure"
ROWS, COLUMNS = 8, 8
"""Most rows and columns of the table in a figure's text form."""


class Shown:
    """What a chart of this package can do beyond altair's."""

    def save(self, path: str | Path, *, theme: Literal["light", "dark"] | str = "light", density: float = 2.0) -> Path:
        """Write the figure as `.html` (offline), `.png`, `.svg`, `.pdf` or Vega-Lite `.json`, by the path's ending.

        A page is drawn in light or dark colours as its reader prefers; `theme` chooses those of the other forms, and
        `density` the pixels of a `.png` per point.

        Raises:
            InputError: the path has another ending, or the density is not positive.
            UnknownNameError: no theme has the name.
        """
        from interp_emerge.figures._export import save

        return save(self, path, theme=theme, density=density)  # pyright: ignore[reportArgumentType]

    def to_html(self, *_: Any, **__: Any) -> str:
        """The figure's page: self-contained, needs no network."""
        from interp_emerge.figures._export import html_of

        return html_of(self)  # pyright: ignore[reportArgumentType]

    def widget(self) -> Any:
        """The circuit's graph as a live widget, whose `threshold`, `search` and `pinned` Python reads and sets.

        It is what `ie.figures.circuit_graph` or `circuits_side_by_side` draws, in a notebook with a running kernel:
        `widget.observe(print, "pinned")` is told of every click on a node, and `widget.pinned = ["a1.h0"]` pins it.

        Example:
            >>> widget = ie.figures.circuit_graph(circuit.to_frame()).widget()
            >>> widget.pinned = ["logits"]

        Raises:
            InputError: anywidget is not installed, or the figure is not a graph of circuits.
        """
        from interp_emerge.figures._widget import require_anywidget

        require_anywidget()
        from interp_emerge.figures._graph_widget import CircuitGraphWidget

        return CircuitGraphWidget(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook keeps: the page in a frame of its own, a picture, and text."""
        from interp_emerge.figures._export import cell_of

        return cell_of(self)  # pyright: ignore[reportArgumentType]

    def __repr__(self) -> str:
        return f"Figure({title_of(self)}; {', '.join(f'{len(rows):,} {name}' for name, rows in _tables(self).items())})"

    def __str__(self) -> str:
        rows = next(iter(_tables(self).values()), [])
        table = pd.DataFrame(rows[:ROWS]).iloc[:, :COLUMNS]
        more = f"\n… and {len(rows) - ROWS:,} more rows" if len(rows) > ROWS else ""
        return f"{self!r}\n{table.to_string(index=False, max_colwidth=24)}{more}" if rows else repr(self)


class Single(Shown, alt.Chart):  # pyright: ignore[reportIncompatibleMethodOverride]
    pass


class Layered(Shown, alt.LayerChart):  # pyright: ignore[reportIncompatibleMethodOverride]
    pass


class Faceted(Shown, alt.FacetChart):  # pyright: ignore[reportIncompatibleMethodOverride]
    pass


class SideBySide(Shown, alt.HConcatChart):  # pyright: ignore[reportIncompatibleMethodOverride]
    pass


class Stacked(Shown, alt.VConcatChart):  # pyright: ignore[reportIncompatibleMethodOverride]
    pass


class InAGrid(Shown, alt.ConcatChart):  # pyright: ignore[reportIncompatibleMethodOverride]
    pass


KINDS: dict[type, type] = {kind.__mro__[2]: kind for kind in (Single, Layered, Faceted, SideBySide, Stacked, InAGrid)}


def showing_itself(chart: AnyChart) -> AnyChart:
    """The chart, which shows and saves itself from now on."""
    if type(chart) in KINDS:
        object.__setattr__(chart, "__class__", KINDS[type(chart)])  # setattr would set a field of the specification
    return chart


def title_of(chart: Any) -> str:
    """What a chart says that it shows."""
    about = chart._get("description")
    return about if isinstance(about, str) else UNTITLED


def _tables(chart: Any) -> dict[str, list[Any]]:
    tables = chart._get("datasets")
    return {name: rows for name, rows in tables.items() if isinstance(rows, list)} if isinstance(tables, dict) else {}
