"""Live widgets in notebooks: the drawings of the offline pages, whose state Python reads and sets.

anywidget carries the state. The JavaScript is that of the pages, in one module, and nothing is fetched. What a notebook
keeps without a running widget is the picture.
"""

import base64
import json
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from interp_emerge.core.errors import InputError

HERE = Path(__file__).parent
SCRIPTS = ("around.js", "widget.js")
"""What all widgets have in common."""


def require_anywidget() -> None:
    """Raise an `InputError` unless widgets can be made here."""
    if find_spec("anywidget") is None:
        raise InputError("a live widget needs the package anywidget; install it by pip install 'interp-emerge[widget]'")


@cache
def module_of(style: str, scripts: str, own: str, *constants: tuple[str, str]) -> str:
    """The JavaScript module of a widget.

    Args:
        style: its style sheet.
        scripts: what it shares with the page.
        own: its file of which `render` is the last word.
        constants: names and texts that its file uses.
    """
    texts = "".join(f"const {name} = {json.dumps(text)};\n" for name, text in (("STYLE", style), *constants))
    around = "".join((HERE / name).read_text("utf-8") for name in (*SCRIPTS, own))
    return f"{texts}{scripts}{around}\nexport default {{ render }};\n"


def with_picture(bundle: Any, picture: Callable[[], bytes], text: str) -> Any:
    """The forms of a widget's output, with a picture for where no widget runs."""
    if bundle is None:
        return None
    data, metadata = bundle
    return {**data, "image/png": base64.b64encode(picture()).decode(), "text/plain": text}, metadata
