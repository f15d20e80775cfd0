"""Parts of self-contained pages: scripts that a parser cannot end early, data that cannot become markup, and a policy.

The policy allows exactly the page's own scripts and styles, by their hashes, and forbids to fetch anything. So nothing
that a prompt or a name contains can run, and a page looks the same with and without a network.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from markupsafe import Markup


def json_for_script(value: Any) -> Markup:
    """JSON for a script element, in which nothing is read as markup.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def policy(scripts: Sequence[Markup], style: Markup) -> str:
    """The content security policy that allows exactly these scripts and this style, and forbids fetching anything."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def inert(script: str) -> Markup:
    """A script that an HTML parser cannot end early; its line ends are as the parser sees them, so its hash agrees."""
    script = (
        script.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    )
    return Markup(script)  # noqa: S704


@cache
def circuitsvis_bundle() -> Markup:
    """CircuitsVis as one script, read from the file in its wheel; importing the package would import torch."""
    path = Path(str(distribution("circuitsvis").locate_file("circuitsvis/dist/cdn/iife.js")))
    return inert(path.read_text("utf-8").replace("//# sourceMappingURL=iife.js.map", ""))


def _hash(text: Markup) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
