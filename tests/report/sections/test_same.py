"""Sentences on the circuits of two sizes."""

import pandas as pd

from interp_emerge.report.sections.same import comparisons


def test_each_comparison_gives_one_sentence():
    row = {
        "size_a": "7k",
        "seed_a": 0,
        "size_b": "14k",
        "seed_b": 0,
        "level": "edges",
        "sentence": "differs (p = 0.01)",
    }
    assert comparisons(pd.DataFrame([row, row])) == ["7k and 14k, edges: differs (p = 0.01)."]
