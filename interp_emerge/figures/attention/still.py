"""A picture of an attention view: SVG, and PNG or PDF made from it without a browser.

Up to `MOST_LABELLED` patterns have their tokens written beside them, one row a model. More are a contact sheet without
tokens, one row a layer. Each pattern is one small bitmap, so a picture of a thousand heads stays
small. What does not fit is named in the caption.
"""

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
import vl_convert

from interp_emerge.core.attention import AttentionWeights
from interp_emerge.figures._theme import FONT, HAIRLINE, INK, MUTED, OKABE_ITO, WIDTH
from interp_emerge.figures.attention.coding import largest

if TYPE_CHECKING:
    from interp_emerge.figures.attention.view import AttentionView

Pixels = int | float
PNG = b"\x89PNG\r\n\x1a\n"
MOST_LABELLED, MOST_SMALL = 12, 1_600
NARROWEST = 560
MOST_TOKENS, LETTERS = 40, 18
"""Most tokens that are written along a pattern, and most letters of each."""
PATTERN, SMALL, GAP, A_LINE = 190, 44, 12, 24
"""Sides of a labelled and of a small pattern, and the space around one, in pixels; most small ones in a line."""


def svg_of(view: "AttentionView") -> str:
    """The picture as SVG text."""
    n_heads = max(len(frame.heads) for frame in view.frames)
    fits = n_heads * len(view.frames) <= MOST_LABELLED
    tops = largest(view.frames) if view.mode != "pattern" else dict.fromkeys(view.heads, 1.0)
    parts, width, height, left_out = (_labelled if fits else _sheet)(view, tops)
    note = view.note + (f" {left_out}" if left_out else "")
    width = max(width, NARROWEST)
    title = [*_wrapped(view.title, width, 16, size=14, weight=600)]
    title += _wrapped(note, width, 16 + 18 * len(title), size=11, fill=MUTED)
    top = 12 + 18 * len(title)
    width, height = width + 2 * GAP, height + top + 2 * GAP
    inner = "".join(title) + f'<g transform="translate(0 {top})">' + "".join(parts) + "</g>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="{escape(FONT, {chr(34): "&quot;"})}" role="img">'
        f"<title>{escape(_printable(view.title))}</title>"
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>'
        f'<g transform="translate({GAP} {GAP})">{inner}</g></svg>'
    )


def png_of(view: "AttentionView") -> bytes:
    """The picture as PNG, two pixels a point."""
    return _packed(vl_convert.svg_to_png(svg_of(view), scale=2))


def pdf_of(view: "AttentionView") -> bytes:
    """The picture as PDF."""
    return vl_convert.svg_to_pdf(svg_of(view))


def _labelled(view: "AttentionView", tops: dict[str, float]) -> tuple[list[str], Pixels, Pixels, str]:
    """Patterns with their tokens, one row a model, wrapped at the figure's width."""
    parts: list[str] = []
    y = width = 0.0
    for frame in view.frames:
        if len(view.frames) > 1:
            parts.append(_text(frame.label, 0, y + 14, size=12, weight=600))
            y += 22
        named = len(frame.tokens) <= MOST_TOKENS
        side = PATTERN if len(frame.tokens) <= 20 else 320
        margin = 6.3 * max(len(_short(token)) for token in frame.tokens) + 8 if named else 0
        line = side * frame.n_queries / len(frame.tokens) + margin + 22 + GAP
        columns = max(1, int((WIDTH + GAP) // (side + margin + GAP)))
        for at, head in enumerate(frame.heads):
            x, top = (at % columns) * (side + margin + GAP), y + (at // columns) * line
            parts.append(_text(head, x + margin, top + 13, weight=600))
            parts.append(_pattern(frame, at, tops[head], x + margin, top + 20, side))
            parts += _tokens(frame, x + margin, top + 20, side) if named else []
            width = max(width, x + margin + side)
        y += -(-len(frame.heads) // columns) * line
    return parts, width, y, ""


def _sheet(view: "AttentionView", tops: dict[str, float]) -> tuple[list[str], Pixels, Pixels, str]:
    """Small patterns, one row a layer where heads are named by layers, one model below the other."""
    parts: list[str] = []
    y = width = 0.0
    n_drawn = 0
    for frame in view.frames:
        if n_drawn >= MOST_SMALL:
            break
        if len(view.frames) > 1:
            parts.append(_text(frame.label, 0, y + 14, size=12, weight=600))
            y += 22
        for row in _lines(frame.heads[: MOST_SMALL - n_drawn]):
            for place, at in enumerate(row):
                x = place * (SMALL + 6)
                parts.append(_text(frame.heads[at], x, y + 10, size=9))
                parts.append(_pattern(frame, at, tops[frame.heads[at]], x, y + 13, SMALL))
            width, y, n_drawn = max(width, len(row) * (SMALL + 6)), y + SMALL + 18, n_drawn + len(row)
        y += GAP
    n_heads = sum(len(frame.heads) for frame in view.frames)
    left_out = f"Drawn are the first {n_drawn:,} of {n_heads:,} patterns." if n_drawn < n_heads else ""
    return parts, width, y, left_out


def _lines(heads: Sequence[str]) -> list[list[int]]:
    """Indices of heads in lines: a new one for each layer, and after `A_LINE` heads."""
    lines: list[list[int]] = []
    layer = None
    for at, head in enumerate(heads):
        if layer != (layer := head.split(".")[0]) or len(lines[-1]) == A_LINE:
            lines.append([])
        lines[-1].append(at)
    return lines


def _pattern(frame: AttentionWeights, at: int, top: Pixels, x: Pixels, y: Pixels, side: Pixels) -> str:
    """One head's pattern as a bitmap with a frame."""
    height = side * frame.n_queries / len(frame.tokens)
    image = base64.b64encode(_png(_coloured(frame.weights[at], top or 1))).decode()
    return (
        f'<image x="{x:g}" y="{y:g}" width="{side:g}" height="{height:g}" preserveAspectRatio="none" '
        f'image-rendering="optimizeSpeed" href="data:image/png;base64,{image}"/>'
        f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{height:g}" fill="none" stroke="{HAIRLINE}"/>'
    )


def _tokens(frame: AttentionWeights, x: Pixels, y: Pixels, side: Pixels) -> list[str]:
    cell = side / len(frame.tokens)
    size = max(5.0, min(10.0, cell))
    parts = []
    for at, token in enumerate(frame.tokens):
        middle = (at + 0.5) * cell
        if at < frame.n_queries:
            parts.append(_text(_short(token), x - 4, y + middle + size / 3, size=size, anchor="end", fill=MUTED))
        bottom = y + side * frame.n_queries / len(frame.tokens) + 4
        turned = f' transform="rotate(-90 {x + middle:g} {bottom:g})"'
        parts.append(
            _text(_short(token), x + middle, bottom + size / 3, size=size, anchor="end", fill=MUTED, more=turned)
        )
    return parts


def _coloured(weights: np.ndarray, top: Pixels) -> np.ndarray:
    """Colours of weights, shape [query, key, 3]: blue above zero, orange below, black for NaN. Cells are enlarged."""
    plus, minus = (np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], float) for colour in OKABE_ITO[:2])
    strength = np.nan_to_num(np.abs(weights) / top).clip(0, 1)[..., None]
    full = np.where((np.nan_to_num(weights) < 0)[..., None], minus, plus)
    colours = np.where(np.isnan(weights)[..., None], 0, 255 - strength * (255 - full))
    enlarged = max(1, 256 // max(weights.shape))
    return colours.round().astype(np.uint8).repeat(enlarged, 0).repeat(enlarged, 1)


def _png(colours: np.ndarray) -> bytes:
    """A bitmap of shape [row, column, 3] as a PNG file (ISO/IEC 15948)."""
    height, width = colours.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), colours.reshape(height, -1)], 1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 6)) + _chunk(b"IEND", b"")


def _packed(png: bytes) -> bytes:
    """The same picture, deflated better: a quarter of the bytes that the converter writes (73 kB for 313 kB)."""
    at, others, data = len(PNG), [], []
    while at < len(png):
        n, kind = struct.unpack(">I4s", png[at : at + 8])
        (data if kind == b"IDAT" else others).append((kind, png[at + 8 : at + 8 + n]))
        at += n + 12
    lines = zlib.decompress(b"".join(content for _, content in data))
    *before, end = (_chunk(*one) for one in others)
    return PNG + b"".join(before) + _chunk(b"IDAT", zlib.compress(lines, 6)) + end


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _text(
    text: str,
    x: Pixels,
    y: Pixels,
    *,
    size: Pixels = 11,
    weight: int = 400,
    anchor: str = "start",
    fill: str = INK,
    more: str = "",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}"{more}>{escape(_printable(text))}</text>'
    )


def _wrapped(text: str, width: Pixels, y: Pixels, *, size: Pixels, **style: Any) -> list[str]:
    """A text in lines of this width, the first one at this height."""
    lines = [""]
    for word in text.split():
        if lines[-1] and (len(lines[-1]) + len(word)) * 0.53 * size > width:
            lines.append("")
        lines[-1] += f"{word} "
    return [_text(line.strip(), 0, y + 18 * at, size=size, **style) for at, line in enumerate(lines)]


def _short(token: str) -> str:
    token = token.strip() or token
    return token if len(token) <= LETTERS else f"{token[: LETTERS - 1]}…"


def _printable(text: str) -> str:
    """A text without characters that XML forbids."""
    return "".join(one if one.isprintable() else "�" for one in text)
