"""The page of an attention view: one file that needs no network and that nothing in a prompt can break.

The package's own renderer draws any view. CircuitsVis draws small ones: one model, at most 64 heads and 64 tokens.
Measured in Chromium (`python -m benchmarks.attention`), the own renderer is smaller and faster at every size.
"""

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from interp_emerge.core.attention import AttentionWeights
from interp_emerge.core.errors import InputError
from interp_emerge.figures._page import circuitsvis_bundle, inert, json_for_script, policy
from interp_emerge.figures._theme import OKABE_ITO
from interp_emerge.figures.attention.coding import coded, is_exact, largest

if TYPE_CHECKING:
    from interp_emerge.figures.attention.view import AttentionView

HERE = Path(__file__).parent
SHARED = ("../ground.js", "../place.js", "numbers.js", "page.js")
"""What a page and a widget have in common."""
SCRIPTS = (*SHARED, "start.js")
MOST_HEADS = MOST_TOKENS = 64
"""Largest view that CircuitsVis draws in a few seconds."""
DRAW = """
const drawn = JSON.parse(document.getElementById("data").textContent);
CircuitsVis.render("heads-by-circuitsvis", CircuitsVis.AttentionHeads, drawn);
document.querySelectorAll("canvas").forEach((canvas, at) => {
  canvas.setAttribute("aria-label", "Attention of " + (drawn.attentionHeadNames[at] || "the chosen head"));
});
document.documentElement.dataset.state = "drawn";
document.documentElement.dataset.ms = String(Math.round(performance.now()));
"""


def page_of(view: "AttentionView") -> str:
    """The HTML of a view."""
    return _circuitsvis(view) if view.renderer == "circuitsvis" else _own(view)


def _own(view: "AttentionView") -> str:
    style, scripts = inert(_text("page.css")), [inert(_script(name)) for name in SCRIPTS]
    page = _filled("page.html.j2", view, style=style, scripts=scripts, parts=parts_of(view))
    return page.encode("ascii", "xmlcharrefreplace").decode()


def main_of(view: "AttentionView") -> str:
    """The elements in which the scripts draw a view; whatever its title contains is text."""
    return _environment().get_template("main.html.j2").render(title=view.title, note=view.note)


def style_and_scripts() -> tuple[str, str]:
    """The style of a view, and the scripts that a page and a widget share."""
    return _text("page.css"), "".join(map(_script, SHARED))


def parts_of(view: "AttentionView") -> dict[str, Markup]:
    """What the scripts read: `data` as JSON, and each model's `weights-0` and so on as base64."""
    exact, frames = is_exact(view.frames), []
    parts: dict[str, Markup] = {}
    for at, frame in enumerate(view.frames):
        text, how = coded(frame, exact=exact)
        parts[f"weights-{at}"] = Markup(text)  # noqa: S704 (base64)
        frames.append(
            {
                "label": frame.label,
                "size": frame.size,
                "step": frame.step,
                "seed": frame.seed,
                "heads": frame.heads,
                "tokens": frame.tokens,
                "queries": frame.n_queries,
                "roles": {head: _scores(view.roles.get(head, {})) for head in frame.heads if head in view.roles},
                **how,
            }
        )
    signed = any(bool((frame.weights < 0).any()) for frame in view.frames)
    data = {
        "frames": frames,
        "tops": largest(view.frames) | (dict.fromkeys(view.heads, 1.0) if view.mode == "pattern" else {}),
        "signed": signed,
        "exact": exact,
        "beside": view.beside,
        "start": start_of(view),
    }
    return {"data": json_for_script(data), **parts}


def start_of(view: "AttentionView") -> int:
    """The number of the frame that is shown first."""
    return len(view.frames) - 1 if view.beside is None else 0


def _scores(of_head: dict[str, float]) -> list[list[Any]]:
    return [[role, score if math.isfinite(score) else None] for role, score in of_head.items()]


def _circuitsvis(view: "AttentionView") -> str:
    frame = require_small(view)
    top = max(largest([frame]).values()) if view.mode != "pattern" else 1.0
    payload = {
        "attention": frame.weights.tolist(),
        "attentionHeadNames": frame.heads,
        "tokens": frame.tokens,
        "minValue": -(top or 1),
        "maxValue": top or 1,
        "positiveColor": OKABE_ITO[0],
        "negativeColor": OKABE_ITO[1],
        "maskUpperTri": frame.n_pairs == 1,
    }
    scripts = [circuitsvis_bundle(), inert(DRAW)]
    style = inert("body { background: white; font-family: sans-serif; }")
    return _filled("circuitsvis.html.j2", view, style=style, scripts=scripts, data=json_for_script(payload))


def require_small(view: "AttentionView") -> AttentionWeights:
    """The only frame of a view that CircuitsVis can draw.

    Raises:
        InputError: several models, too many heads or tokens, another shape, or NaN, which it would draw as zero.
    """
    frame, remedy = view.frames[0], "use the default renderer"
    n_heads, n_tokens = len(frame.heads), len(frame.tokens)
    if len(view.frames) > 1:
        raise InputError(f"CircuitsVis draws one model, and the view has {len(view.frames)}; {remedy}")
    if n_heads > MOST_HEADS or n_tokens > MOST_TOKENS:
        raise InputError(f"CircuitsVis draws at most {MOST_HEADS} heads and {MOST_TOKENS} tokens, and the view has "
                         f"{n_heads:,} and {n_tokens:,}; name fewer heads, or {remedy}")  # fmt: skip
    if frame.n_queries != n_tokens:
        raise InputError(f"CircuitsVis needs as many queries as keys, not {frame.n_queries} and {n_tokens}; {remedy}")
    if np.isnan(frame.weights).any():
        raise InputError(f"CircuitsVis would draw the NaN in these weights as zero; {remedy}")
    return frame


def _filled(name: str, view: "AttentionView", *, style: Markup, scripts: list[Markup], **fields: Any) -> str:
    about = {"title": view.title, "note": view.note, "policy": policy(scripts, style)}
    return _environment().get_template(name).render(**about, style=style, scripts=scripts, **fields)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _script(name: str) -> str:
    """A script in ASCII, so that its hash holds in whatever encoding a notebook or server hands the page on."""
    return "".join(one if one.isascii() else f"\\u{ord(one):04x}" for one in _text(name))


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text("utf-8")
