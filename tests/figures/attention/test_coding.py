"""What a page holds is read back: exactly, or within half a part of the largest weight."""

import base64
import zlib

import numpy as np
import pytest

from interp_emerge.figures.attention.coding import coded, is_exact, largest, quantised
from tests.figures.attention.views import averaged, weights


def read(text: str, how: dict) -> dict[str, np.ndarray]:
    """As the page's script reads it."""
    content, found, start = zlib.decompress(base64.b64decode(text)), {}, 0
    for name, kind, n in how["arrays"]:
        dtype = np.dtype("<f4") if kind == "floats" else np.dtype("u1")
        assert start % dtype.itemsize == 0
        found[name] = np.frombuffer(content, dtype, n, start)
        start += n * dtype.itemsize
    assert start == len(content)
    return found


@pytest.mark.parametrize("mode", ["pattern", "value_weighted", "difference"])
def test_exact_numbers_are_read_back_as_they_are(mode):
    frame = weights(mode=mode)
    found = read(*coded(frame, exact=True))
    np.testing.assert_array_equal(found["weights"], frame.weights.ravel())
    if mode == "pattern":
        assert frame.uniform is not None
        np.testing.assert_array_equal(found["uniform"], frame.uniform.ravel())


def test_intervals_are_read_back_too():
    frame = averaged().frames[0]
    found = read(*coded(frame, exact=True))
    assert frame.low is not None and frame.high is not None
    np.testing.assert_array_equal(found["low"], frame.low.ravel())
    np.testing.assert_array_equal(found["high"], frame.high.ravel())


def decoded(codes: np.ndarray, unit: np.ndarray) -> np.ndarray:
    parts = np.where(unit[:, None, None] < 0, codes.astype(float) - 127, codes.astype(float))
    return np.where(codes == 255, np.nan, parts * np.abs(unit)[:, None, None])


@pytest.mark.parametrize("mode", ["pattern", "value_weighted", "difference"])
def test_bytes_are_within_half_a_part(mode):
    values = weights(mode=mode).weights.copy()
    values[0, 3, 1] = np.nan
    values[2] = 0
    codes, unit = quantised(values)
    found = decoded(codes, unit)
    assert (np.isnan(found) == np.isnan(values)).all()
    parts = np.nanmax(np.abs(found - values), axis=(1, 2)) / np.abs(unit)
    assert (parts <= 0.5 + 1e-4).all()
    assert np.nanmax(np.abs(found[2])) == 0
    tops = np.nanmax(np.abs(values), axis=(1, 2))
    np.testing.assert_allclose(np.nanmax(np.abs(found), axis=(1, 2)), tops, rtol=1e-6)


def test_large_views_are_written_in_bytes_and_uniform_weights_once_for_each_kind():
    frame = weights(8, tuple("ab" * 20))
    assert is_exact([frame])
    assert not is_exact([weights(100, tuple("ab" * 60))])
    assert frame.uniform is not None
    window = frame.uniform.copy()
    window[:, 5:, 0] = 0
    kinds = np.concatenate([frame.uniform if head % 2 else window for head in range(8)])
    text, how = coded(weights(8, frame.tokens, uniform=kinds), exact=False)
    found = read(text, how)
    size = 40 * 40
    for head in range(8):
        kind = how["kinds"][head]
        np.testing.assert_array_equal(found["uniform"][kind * size :][:size], kinds[head].ravel())
    assert found["uniform"].size == 2 * size
    assert found["weights"].size == 8 * size


def test_one_colour_means_one_number_in_all_models():
    frames = [weights(seed=seed, mode="value_weighted") for seed in range(3)]
    tops = largest(frames)
    assert tops["a1.h0"] == max(float(frame.weights[2].max()) for frame in frames)
