"""Writes charts to files, without a browser or a network."""

import json
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path

from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import write_atomically


def save(chart: ChartType, path: Path | str) -> Path:
    """Write a chart as `.svg`, `.png` (two pixels per point), self-contained `.html` or Vega-Lite `.json`.

    Example:
        >>> frame = pd.DataFrame({"node": ["a0.h0", "a1.h0"], "value": [1.2, 0.3]})
        >>> chart = ie.figures.interval_dots(frame, thing="node", title="effect, nats", ends=("value", "value"))
        >>> ie.figures.save(chart, "effects.svg")

    Raises:
        InputError: the path has another ending.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise InputError(f"cannot save a figure as {path.name!r}: end it in {', '.join(_FORMATS)}")
    write_atomically(path, _FORMATS[path.suffix](chart))
    return path


def _svg(chart: ChartType) -> bytes:
    buffer = StringIO()
    chart.save(buffer, format="svg")
    return buffer.getvalue().encode()


def _png(chart: ChartType) -> bytes:
    buffer = BytesIO()
    chart.save(buffer, format="png", scale_factor=2)
    return buffer.getvalue()


def _html(chart: ChartType) -> bytes:
    return chart.to_html(inline=True).encode()


def _json(chart: ChartType) -> bytes:
    return json.dumps(chart.to_dict(), indent=1).encode()


_FORMATS: dict[str, Callable[[ChartType], bytes]] = {".svg": _svg, ".png": _png, ".html": _html, ".json": _json}
