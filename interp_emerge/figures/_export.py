"""Writes charts to files and to notebooks, without a browser or a network."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import vl_convert
from altair.typing import ChartType

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.files import write_atomically
from interp_emerge.figures._cell import bundle_of
from interp_emerge.figures._chart_page import page_of
from interp_emerge.figures._shown import UNTITLED, title_of
from interp_emerge.figures._theme import in_dark

THEMES = ("light", "dark")
DENSITY = 2.0
"""Pixels of a saved picture per point; one in a notebook, which is kept twice, has fewer."""
IN_A_CELL = 1.5
ABOVE = 60
"""Height that a page needs beyond the picture, for controls and margins, pixels."""
LARGEST = 900
"""Largest height of a figure in a notebook's cell; the frame of a higher one scrolls."""


@checked
def save(
    chart: ChartType,
    path: Path | str,
    *,
    theme: Literal["light", "dark"] | str = "light",
    density: float = DENSITY,
) -> Path:
    """Write a chart as `.svg`, `.pdf`, `.png`, self-contained `.html` or Vega-Lite `.json`.

    A page is drawn in light or dark colours as its reader prefers; `theme` chooses those of the other forms.

    Args:
        chart: the chart.
        path: where to; the ending says in which form.
        theme: `light` or `dark`.
        density: pixels of a `.png` per point.

    Example:
        >>> frame = pd.DataFrame({"node": ["a0.h0", "a1.h0"], "value": [1.2, 0.3]})
        >>> chart = ie.figures.interval_dots(frame, thing="node", title="effect, nats", ends=("value", "value"))
        >>> ie.figures.save(chart, "effects.svg")

    Raises:
        InputError: the path has another ending, or the density is not positive.
        UnknownNameError: no theme has the name.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise InputError(f"cannot save a figure as {path.name!r}: end it in {', '.join(_FORMATS)}")
    if theme not in THEMES:
        raise UnknownNameError("theme", theme, THEMES)
    if not 0 < density < float("inf"):
        raise InputError(f"density cannot be {density}; give pixels per point, a number above 0")
    spec = in_dark(spec_of(chart)) if theme == "dark" and path.suffix != ".html" else spec_of(chart)
    write_atomically(path, _png(spec, density) if path.suffix == ".png" else _FORMATS[path.suffix](spec))
    return path


def spec_of(chart: ChartType) -> dict[str, Any]:
    """The chart's Vega-Lite specification. It is not compared with the schema, which takes most of the time."""
    return chart.to_dict(validate=False)


def html_of(chart: ChartType) -> str:
    """A page that draws the chart without a network."""
    return _page(spec_of(chart))


def cell_of(chart: ChartType) -> dict[str, str]:
    """The forms of the chart in a notebook: HTML, PNG and plain text."""
    spec = spec_of(chart)
    picture = _png(spec, IN_A_CELL)
    height = min(LARGEST, int(int.from_bytes(picture[20:24], "big") / IN_A_CELL) + ABOVE)
    return bundle_of(title=title_of(chart), page=_page(spec), picture=picture, text=str(chart), height=height)


def picture_in_a_cell(chart: ChartType) -> bytes:
    """The chart as a PNG of the size that a notebook keeps."""
    return _png(spec_of(chart), IN_A_CELL)


def file_name(title: str) -> str:
    """What a picture that a reader downloads is called."""
    return re.sub(r"\W+", "-", title)[:60].strip("-").lower()


def _page(spec: dict[str, Any]) -> str:
    title = str(spec.get("description") or UNTITLED)
    return page_of(spec, title=title, name=file_name(title))


def _svg(spec: dict[str, Any]) -> bytes:
    return vl_convert.vegalite_to_svg(spec).encode()


def _png(spec: dict[str, Any], density: float = DENSITY) -> bytes:
    return vl_convert.vegalite_to_png(spec, scale=density)


def _pdf(spec: dict[str, Any]) -> bytes:
    return vl_convert.vegalite_to_pdf(spec)


def _html(spec: dict[str, Any]) -> bytes:
    return _page(spec).encode()


def _json(spec: dict[str, Any]) -> bytes:
    return json.dumps(spec, indent=1).encode()


_FORMATS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    ".svg": _svg,
    ".pdf": _pdf,
    ".png": _png,
    ".html": _html,
    ".json": _json,
}
