"""Attention weights as text inside a page: exact numbers for small views, one byte a number for large ones.

Exact numbers are 32-bit floats. A byte is a whole number of parts of the largest weight of its head: of 254 parts, or
of 127 to each side where weights have both signs, so it is at most half a part off. The last byte is kept for NaN. Both
are deflated and written in base64.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from interp_emerge.core.attention import AttentionWeights

EXACT_BYTES = 4 << 20
"""Largest view, in bytes of its 32-bit floats, that is written exactly."""
MISSING = 255


def is_exact(frames: Sequence[AttentionWeights]) -> bool:
    """Whether a page holds the numbers of these frames exactly."""
    return sum(_n_floats(frame) for frame in frames) * 4 <= EXACT_BYTES


def estimated_bytes(n_heads: int, n_tokens: int, *, n_models: int = 1, interval: bool = False) -> int:
    """About how many bytes a page of this shape takes at most, before its weights are known."""
    cells = n_models * n_heads * n_tokens**2
    numbers = cells * (3 if interval else 1)
    # Half of the cells lie after the query and are zero. Floats and bytes of a softmax barely shrink otherwise.
    return 40_000 + int((numbers * 4 if numbers * 4 <= EXACT_BYTES else cells) * 0.5 * 4 / 3)


def largest(frames: Sequence[AttentionWeights]) -> dict[str, float]:
    """The largest magnitude of each head's weights over all frames, so that one colour means one number in all."""
    found: dict[str, float] = {}
    for frame in frames:
        of_heads = np.nanmax(np.abs(frame.weights), axis=(1, 2), initial=0, where=~np.isnan(frame.weights))
        for head, one in zip(frame.heads, of_heads.tolist(), strict=True):
            found[head] = max(found.get(head, 0.0), one)
    return found


def coded(frame: AttentionWeights, *, exact: bool) -> tuple[str, dict[str, Any]]:
    """The numbers of a frame as base64, and how to read them: `arrays` are (name, kind, numbers), one after another."""
    arrays: list[tuple[str, np.ndarray]] = []
    how: dict[str, Any] = {}
    if exact:
        arrays += [("weights", frame.weights)]
        arrays += [("low", frame.low), ("high", frame.high)] if frame.low is not None and frame.high is not None else []
    if frame.uniform is not None:
        kinds, which = np.unique(frame.uniform, axis=0, return_inverse=True)
        arrays.append(("uniform", kinds))
        how["kinds"] = np.broadcast_to(which.ravel(), len(frame.heads)).tolist()
    if not exact:
        codes, unit = quantised(frame.weights)
        how["unit"] = unit.tolist()
        arrays.append(("weights", codes))
    # Floats come first: they have to lie at multiples of four bytes.
    content = b"".join(np.ascontiguousarray(one).astype(one.dtype.newbyteorder("<")).tobytes() for _, one in arrays)
    how["arrays"] = [[name, "bytes" if one.dtype == np.uint8 else "floats", int(one.size)] for name, one in arrays]
    return base64.b64encode(zlib.compress(content, 6)).decode(), how


def quantised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights as bytes, and the weight that one part is worth for each head; below zero if bytes start at 127."""
    missing = np.isnan(weights)
    filled = np.where(missing, 0, weights)
    signed = bool((filled < 0).any())
    top = np.abs(filled).max((1, 2))
    unit = np.where(top > 0, top, 1) / (127 if signed else 254)
    codes = np.round(filled / unit[:, None, None]) + (127 if signed else 0)
    return np.where(missing, MISSING, codes).astype(np.uint8), (-unit if signed else unit)


def _n_floats(frame: AttentionWeights) -> int:
    return frame.weights.size * (1 if frame.low is None else 3)
