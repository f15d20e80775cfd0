"""What a notebook's cell shows: a page in a frame, and a picture for viewers that strip scripts and frames."""

import base64
from functools import cache
from html import escape
from pathlib import Path

from interp_emerge.figures._page import inert


def bundle_of(*, title: str, page: str, picture: bytes, text: str, height: int) -> dict[str, str]:
    """The forms of an output, from which each viewer of notebooks chooses: HTML, PNG and plain text.

    The frame is sandboxed and fetches nothing, so it looks the same with and without a network and cannot reach the
    notebook. The one script outside it, which holds no data, answers a frame that asks whether the notebook is light or
    dark; where it may not run, the reader's system decides. The picture lies under the frame too: a viewer that keeps
    HTML but strips frames then shows the picture.

    Args:
        title: what is shown; may hold any text.
        page: a self-contained HTML page.
        picture: a PNG.
        text: the plain form.
        height: height of the frame, pixels.
    """
    code, name = base64.b64encode(picture).decode(), escape(title)
    html = (
        f'<div style="position:relative;min-height:{height}px">'
        f'<img alt="{name}" style="max-width:100%;max-height:{height}px" src="data:image/png;base64,{code}">'
        f'<iframe title="{name}" sandbox="allow-scripts" srcdoc="{escape(page)}" '
        'style="position:absolute;top:0;left:0;width:100%;height:100%;border:0;background:white"></iframe>'
        f"</div><script>{_around()}</script>"
    )
    return {"text/html": html, "image/png": code, "text/plain": text}


@cache
def _around() -> str:
    here = Path(__file__).parent
    return inert(f"{{\n{(here / 'around.js').read_text('utf-8')}{(here / 'ground_around.js').read_text('utf-8')}}}")
