"""Compares a notebook's kept outputs with those that its cells give now."""

import base64
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
ROUNDED = 0.0101
"""Notebooks print two decimals, and the last may fall on either side; whole numbers have to be the same."""
RELATIVE = 0.001
MARGIN = 0.05
"""By how much of its width or height a picture may have changed: labels are as wide as their fonts."""


def differences(kept: Sequence[Any], now: Sequence[Any]) -> list[str]:
    """What the outputs of one cell say differently now, in words; empty if they say the same."""
    before, after = _said(kept), _said(now)
    if [kind for kind, _ in before] != [kind for kind, _ in after]:
        return [f"the kinds of output are {[kind for kind, _ in after]}, not {[kind for kind, _ in before]}"]
    return [
        f"{kind}: {new.strip()!r}, not {old.strip()!r}"
        for (kind, old), (_, new) in zip(before, after, strict=True)
        if not (_alike_pictures if kind == "image/png" else _alike_words)(old, new)
    ]


def _said(outputs: Sequence[Any]) -> list[tuple[str, str]]:
    """Kind and content of each output. What a cell prints counts as one, in however many pieces it came."""
    printed: dict[str, str] = {}
    found = []
    for output in outputs:
        if output["output_type"] == "stream":
            printed[output["name"]] = printed.get(output["name"], "") + output["text"]
        else:
            data = output.get("data", {})
            found += [(kind, "" if kind == "text/html" else data[kind]) for kind in sorted(data)]
    return [*printed.items(), *found]


def _alike_words(old: str, new: str) -> bool:
    if [*NUMBER.sub("#", old).split()] != [*NUMBER.sub("#", new).split()]:
        return False
    return all(map(_alike_numbers, NUMBER.findall(old), NUMBER.findall(new)))


def _alike_numbers(old: str, new: str) -> bool:
    if old.lstrip("-").isdigit() and new.lstrip("-").isdigit():
        return old == new
    return abs(float(old) - float(new)) <= max(ROUNDED, RELATIVE * abs(float(old)))


def _alike_pictures(old: str, new: str) -> bool:
    return all(abs(a - b) <= MARGIN * a for a, b in zip(_size(old), _size(new), strict=True))


def _size(picture: str) -> tuple[int, int]:
    """Width and height of a PNG, pixels."""
    width, height = struct.unpack(">II", base64.b64decode(picture)[16:24])
    return width, height
