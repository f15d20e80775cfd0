"""Further tables with invented numbers: comparisons, lags, seeds, changes of the loss, transfers and turns."""

from itertools import pairwise

import numpy as np
import pandas as pd

SIZES = ("200k", "500k", "1m")
STEPS = (128, 256, 512, 1024)


def comparisons() -> pd.DataFrame:
    rows = []
    for at, (a, b) in enumerate(pairwise(SIZES)):
        verdict = "same within a margin" if at == 0 else "different"
        for level in ("edges", "classes"):
            for comparison, index in (("across", 0.9 - 0.6 * at), ("random circuits", 0.05), ("halves of a", 0.95)):
                across = comparison == "across"
                rows.append(
                    {
                        "size_a": a, "seed_a": 0, "size_b": b, "seed_b": 0, "ability": "induction", "level": level,
                        "verdict": verdict, "p_value_verdict": 0.4, "comparison": comparison, "index": index,
                        "low": index - 0.04, "high": index + 0.04, "n": 200, "beyond_chance": (index - 0.05) / 0.95,
                        "p_value": 0.4 if across else np.nan, "asks": "an index as low", "unmatched_a": np.nan,
                        "unmatched_b": np.nan, "ambiguous_a": np.nan, "ambiguous_b": np.nan, "n_ambiguous": np.nan,
                        "n_rivals": np.nan, "rival_low": np.nan, "rival_high": np.nan, "note": "", "sentence": "",
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def lags() -> pd.DataFrame:
    rows = []
    for size in SIZES:
        for component, quantity, low, high, verdict in (
            ("a0.h1", "previous_token", -np.inf, -0.2, "leads"),
            ("a3.h0", "induction", -0.4, 0.4, "unresolved"),
            ("m0", "effect", 0.1, 2.0, "lags"),
            ("circuit", "faithfulness", np.nan, np.nan, "undefined"),
        ):
            middle = np.nan if np.isnan(low) else max(low, -1.0) / 2 + high / 2
            rows.append(
                {
                    "size": size, "seed": 0, "ability": "induction", "quantity": quantity, "component": component,
                    "steps_low": 500 * low, "steps_high": 500 * high, "log_low": low, "log_high": high,
                    "crossing": 500 * middle, "crossing_low": 500 * (middle - 0.1),
                    "crossing_high": 500 * (middle + 0.1), "log_crossing": middle, "log_crossing_low": middle - 0.1,
                    "log_crossing_high": middle + 0.1, "verdict": verdict, "answer": f"{component} {verdict}",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def seeds() -> pd.DataFrame:
    rows = []
    for ability in ("induction", "markov"):
        for size, values in zip(SIZES, ("0.10 0.90 0.88", "0.97 0.98 0.96", "1.00"), strict=True):
            of_runs = [float(value) for value in values.split()]
            succeed = sum(value > 0.5 for value in of_runs)
            rows.append(
                {
                    "size": size, "n_parameters": 1000, "ability": ability, "n_seeds": len(of_runs),
                    "n_success": succeed, "p": succeed / len(of_runs), "ci_low": 0.2, "ci_high": 1.0,
                    "values": values, "p_alike": 0.001 if min(of_runs) < 0.5 else 0.6 if len(of_runs) > 1 else np.nan,
                    "shape": "two groups", "low": 0.1, "high": 0.9, "share_high": 2 / 3,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def loss_changes() -> pd.DataFrame:
    rows = []
    for size in SIZES:
        changes = size != "200k"
        rows.append(
            {
                "size": size, "seed": 0, "n_steps": 12, "n_changes": int(changes), "p_value": 0.01,
                "before": 256 if changes else None, "after": 512 if changes else None,
                "ci_low": 200.0 if changes else np.nan, "ci_high": 600.0 if changes else np.nan,
                "slope_before": -0.1, "slope_after": -0.5, "jump": 0.0,
                "verdict": "changes" if changes else "no change seen",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def transfer() -> pd.DataFrame:
    rows = []
    for circuit in SIZES:
        for model in SIZES:
            fits = circuit == model
            value = 0.9 if fits else -0.1 if circuit == "1m" else np.nan
            rows.append(
                {
                    "circuit": circuit, "n_edges": 12, "model": model, "ability": "induction", "metric": "logit_diff",
                    "ablation": "resample", "template": "", "faithfulness": value, "ci_low": value - 0.05,
                    "ci_high": value + 0.05, "accuracy": 0.9, "model_accuracy": 0.95, "random_median": 0.02,
                    "random_p95": 0.2, "p_value": 0.05, "note": "" if fits else "a graph of another shape",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def turns() -> pd.DataFrame:
    rows = []
    for place, (a, b) in enumerate([(0, 0), (0, 500), (0, 5000), (500, 500), (500, 5000), (5000, 5000)]):
        cosine = [0.4, 0.0, np.nan, 0.8, 0.7, 0.9][place]
        rows.append(
            {
                "size": "1m", "seed": 0, "ability": "indirect_object", "variable": "receiver", "method": "mass_mean",
                "site": "resid_post", "layer": 1, "head": -1, "position": "last", "step_a": a, "step_b": b,
                "cosine": cosine, "ci_low": cosine - 0.05, "ci_high": cosine + 0.05,
                "ceiling": np.nan if np.isnan(cosine) else 0.95, "null_low": -0.1, "null_high": 0.1, "p_value": 0.005,
                "accuracy_a": 0.1 if a == 0 else 0.9, "accuracy_b": 0.1 if b == 0 else 0.9, "majority": 0.1,
                "n_pairs": 256,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def further() -> dict[str, pd.DataFrame]:
    return {"comparisons": comparisons(), "lags": lags(), "seeds": seeds(), "loss_changes": loss_changes()}
