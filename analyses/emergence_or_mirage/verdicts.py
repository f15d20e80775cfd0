"""What the verdicts on jumps and onsets look like: one curve for each, with the verdict that the package gives on it.

python analyses/emergence_or_mirage/verdicts.py    # writes jumps.svg and onsets.svg into this folder
"""

from pathlib import Path

import numpy as np
import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import scale

HERE = Path(__file__).parent
N_PROMPTS, CHANCE, LOW = 256, 0.02, -4.0
TITLES = ("parameters", "share of the rise")


def main() -> None:
    """Draw a panel for each curve. Its title is the verdict."""
    options = {"x": "parameters", "colour": "metric", "panel": "verdict", "titles": TITLES}
    ie.figures.interval_lines(jumps(), **options).save(HERE / "jumps.svg")
    onset = {"x": "parameters", "panel": "verdict", "titles": ("parameters", "accuracy")}
    ie.figures.interval_lines(onsets(), **onset).save(HERE / "onsets.svg")


def jumps() -> pd.DataFrame:
    """Accuracy and log-probability over nine sizes, each as a share of its way."""
    x = np.linspace(0, 1, 9)
    step = 1 / (1 + np.exp(-60 * (x - 0.56)))
    curves = {
        "a step of the model": (LOW * (1 - step), lambda log_prob: log_prob > np.log(0.3)),
        "a threshold": (LOW * (1 - x), lambda log_prob: log_prob > np.log(0.13)),
        "all of five tokens": (LOW * 10 ** (-2 * x), lambda log_prob: np.exp(5 * log_prob)),
        "in proportion": (np.log(0.02 + 0.95 * x), np.exp),
    }
    rng, parts = np.random.default_rng(0), []
    for name, (expected, right) in curves.items():
        log_prob = np.minimum(expected[:, None] + rng.normal(0, 0.1, (len(x), N_PROMPTS)), 0)
        accuracy = (rng.random(log_prob.shape) < right(log_prob)).astype(float)
        places = 10 ** np.linspace(4, 8, len(x))
        ladder = scale.Ladder(
            ability=name,
            axis=scale.AXES["parameters"],
            points=tuple(f"{place:.0e}" for place in places),
            places=places,
            metrics=("accuracy", "log_prob"),
            values=tuple((np.stack(values, 1),) for values in zip(accuracy, log_prob, strict=True)),
            chance=CHANCE,
        )
        found = scale.mirage_check(ladder)
        for metric, values in (("accuracy", accuracy.mean(1)), ("log_prob", log_prob.mean(1))):
            share = (values - values.min()) / np.ptp(values)
            about = {"verdict": f"{found.verdict}: {name}", "metric": metric, "parameters": places}
            parts.append(pd.DataFrame({**about, "value": share}))
    return pd.concat(parts, ignore_index=True)


def onsets() -> pd.DataFrame:
    """Accuracies over six sizes of a choice between two, with the interval over prompts."""
    curves = (
        (0.5, 0.5, 0.5, 0.97, 0.97, 0.97),
        (0.7, 0.71, 0.73, 0.85, 0.95, 0.97),
        (0.6, 0.6, 0.6, 0.97, 0.97, 0.97),
        (0.95, 0.96, 0.97, 0.97, 0.97, 0.98),
        (0.5, 0.97, 0.5, 0.5, 0.97, 0.97),
        (0.5, 0.5, 0.97, 0.97, 0.6, 0.5),
        (0.5, 0.5, 0.5, 0.52, 0.55, 0.6),
        (0.5, 0.5, 0.5, 0.6, 0.7, 0.77),
    )
    criterion, parts = scale.Criterion(0.5, 1.0), []
    for rates in curves:
        places = 10 ** np.linspace(4, 8, len(rates))
        answers = [(np.arange(N_PROMPTS) < round(rate * N_PROMPTS)).astype(float) for rate in rates]
        found = scale.find_onset({place: [right] for place, right in zip(places, answers, strict=True)}, criterion)
        ends = [ie.stats.intervals.success_interval(int(right.sum()), N_PROMPTS) for right in answers]
        about = {"verdict": str(found.verdict), "parameters": places, "value": [one.value for one in ends]}
        bars = {"value_low": [one.low for one in ends], "value_high": [one.high for one in ends]}
        parts.append(pd.DataFrame({**about, **bars}))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    main()
