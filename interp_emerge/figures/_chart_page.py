"""The page of one figure: a file that needs no network, in which nothing that a name in the table holds can run.

Vega, Vega-Lite and Vega-Embed lie in the page, packed: 0.4 MB instead of 0.9 MB. The page's script unpacks them. The
security policy allows these two scripts by their hashes and forbids to fetch anything. Expressions are interpreted, not
compiled. The figure is drawn in the colours of a light or a dark page, whichever the reader prefers.
"""

import base64
import gzip
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from interp_emerge.figures._page import inert, json_for_script, policy
from interp_emerge.figures._theme import DARK

HERE = Path(__file__).parent
SHARED = ("ground.js", "place.js", "keyboard.js", "chart.js")
"""What a page and a widget have in common."""
SCRIPTS = (*SHARED, "chart_start.js")


def page_of(spec: dict[str, Any], *, title: str, name: str) -> str:
    """The HTML of a Vega-Lite specification; `name` is what a picture that the reader downloads is called."""
    script, style, library = inert("".join(map(_text, SCRIPTS))), inert(_text("chart.css")), _library()
    page = _template("chart.html.j2").render(
        title=title,
        policy=policy([script, library], style),
        style=style,
        script=script,
        library=packed_library(),
        data=data_of(spec, name),
    )
    return page.encode("ascii", "xmlcharrefreplace").decode()


def main_of(title: str) -> str:
    """The elements in which the scripts draw a figure; whatever its title contains is text."""
    return _template("chart_main.html.j2").render(title=title)


def data_of(spec: dict[str, Any], name: str) -> Markup:
    """What the scripts read, as JSON."""
    return json_for_script({"spec": spec, "dark": DARK, "name": name})


def style_and_scripts() -> tuple[str, str]:
    """The style of a figure, and the scripts that a page and a widget share."""
    return _text("chart.css"), "".join(map(_text, SHARED))


@cache
def _template(name: str) -> Template:
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)


@cache
def _library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return Markup(vl_convert.javascript_bundle())  # noqa: S704  # pyright: ignore[reportCallIssue]


@cache
def packed_library() -> Markup:
    """The same script, deflated and in base64."""
    packed = gzip.compress(_library().encode(), 9, mtime=0)
    return Markup(base64.b64encode(packed).decode())  # noqa: S704


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text("utf-8")
