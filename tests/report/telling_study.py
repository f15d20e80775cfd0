"""An invented study in which every kind of open, undefined and unlearned result stands at least once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import write_table
from tests.figures import invented_further
from tests.figures.invented import probe_onsets
from tests.report.fake_study import provenance, write_attention, write_study

RUN = {"size": "1m", "seed": 0, "ability": "induction"}
ANSWER = (
    "Induction emerges between 60k and 200k parameters: accuracy on 128 prompts is 0.04 [0.01, 0.07] at 3k and 0.97 "
    "[0.94, 1.00] at 1m, where a guess scores 0.04.",
    "At 1m, 142 of 1280 edges (11.1%) keep 0.95 [0.90, 1.00] of the clean-corrupt gap on prompts that were not used to "
    "find them, where 95% of 100 random circuits of the same size keep at most 0.31.",
    "In this circuit, previous-token heads (a0.h1) feed the keys of induction heads (a3.h0).",
    "During training at 1m, these reach half of their final value: between steps 256 and 512, the ability.",
    "Circuits of neighbouring sizes compared, 200k with 500k: same within a margin; 500k with 1m: different.",
    "Open: whether the jump is the model's or the metric's (3 runs disagree).",
)
PROMPT = ("In", "2024", "the", "control", "was", "-5")
COMPARED = (
    "{}: Jaccard index 0.90 [0.86, 0.94] across halves of the prompts of both models (corrected similarity 0.97 [0.94, "
    "1.00], p = 0.4); other seeds 0.60 [0.60, 0.60] (n = 2, p = 1); random circuits 0.05 [0.01, 0.09]"
)


def write_telling_study(directory: Path) -> Path:
    """The invented study with the tables that it lacks, and an answer as studies write it; returns the directory."""
    study = write_study(directory)
    made = {"jump": jump(), "correlations": correlations(), "comparisons": comparisons(), "lags": lags()}
    made |= {"order": order(), "dependence": dependence(), "dependence_onsets": dependence_onsets()}
    made |= {"seeds": invented_further.seeds(), "loss_changes": invented_further.loss_changes()}
    made |= {"probe_onsets": pd.concat([probe_onsets(), unlearned()], ignore_index=True)}
    for name, rows in made.items():
        table = all_tables()[name]
        write_table(table.shaped(rows.assign(known_fault="")), table, study / "tables")
    write_attention(study / "attention" / "1m.json", "1m", [*PROMPT], size="1m")
    settings = {"ability": "induction", "n_pairs": 64, "n_measured": 128}
    record = provenance() | {"answer": [*ANSWER], "settings": settings}
    (study / "provenance.json").write_text(json.dumps(record))
    return study


def jump() -> pd.DataFrame:
    ends = {"concentration": 0.54, "concentration_low": 0.46, "concentration_high": 1.0, "rise": 0.9, "width": 0.2}
    shared = {f"{name}{end}": value for name in ("shared", "earlier")
              for end, value in {"": 0.9, "_low": 0.8, "_high": 1.0}.items()}  # fmt: skip
    rows = []
    for ability, verdict, reason in (
        ("induction", "undecided", "3 runs disagree"),
        ("two_hop", "the model's", ""),
        ("markov", "no jump at this resolution", ""),
    ):
        about = {"ability": ability, "axis": "parameters", "verdict": verdict, "reason": reason}
        rows += [{**about, "metric": metric, "shape": shape, **ends, **shared}
                 for metric, shape in (("accuracy", "steep"), ("log_prob", "sharp"))]  # fmt: skip
    return pd.DataFrame(rows)


def correlations() -> pd.DataFrame:
    about = {"ability": "induction", "axis": "parameters", "reason": ""}
    known = {"per_prompt": -0.011, "per_prompt_low": -0.05, "per_prompt_high": 0.03}
    return pd.DataFrame([{**about, "metric": "log_prob", **known}, {**about, "metric": "accuracy"}])


def comparisons() -> pd.DataFrame:
    rows = invented_further.comparisons()
    rows["sentence"] = [COMPARED.format(verdict) for verdict in rows["verdict"]]
    seeds = rows[rows["comparison"] == "across"].assign(comparison="other seeds", index=0.6, low=0.6, high=0.6, n=2)
    seeds.loc[seeds["size_a"] == "500k", ["index", "low", "high", "n"]] = [np.nan, np.nan, np.nan, 0]
    return pd.concat([rows, seeds], ignore_index=True)


def lags() -> pd.DataFrame:
    """Of 29 edges one forms after the ability, 27 are open, and one has no final effect."""
    verdicts = ["lags", *["unresolved"] * 27, "undefined"]
    return pd.DataFrame(
        [{**RUN, "quantity": "edge effect", "component": f"edge {n}", "verdict": one, "answer": ""}
         for n, one in enumerate(verdicts)]
    )  # fmt: skip


def order() -> pd.DataFrame:
    parts = {"quantity_a": "accuracy", "component_a": "model", "quantity_b": "induction", "component_b": "a3.h0"}
    open_ = {"before": 0.0, "after": 0.0, "tie": 1.0, "answer": "cannot be told: both fall between step 2000 and 3000"}
    return pd.DataFrame([{**RUN, **parts, **open_}])


def dependence() -> pd.DataFrame:
    """At the last step random heads cost as much as the circuit's."""
    about = {**RUN, "step": 4000, "metric": "logit_diff", "component": "circuit heads", "note": ""}
    cost = {"drop": 26.8, "drop_low": 24.9, "drop_high": 28.9, "random_p95": 26.86, "p_value": 0.2857}
    null = {"n_random": 20, "null": "any heads"}
    return pd.DataFrame([{**about, "kind": "circuit", **cost, **null}, {**about, "step": 512, "kind": "circuit"}])


def dependence_onsets() -> pd.DataFrame:
    about: dict[str, Any] = {**RUN, "metric": "logit_diff", "n_random": 20, "component": ""}
    found = {"last_without": 1024, "first_with": 2048, "ci_low": 2048, "ci_high": 3000}
    return pd.DataFrame([
        {**about, "kind": "circuit", "criterion": "above random", "verdict": "not reached"},
        {**about, "kind": "circuit", "criterion": "half of last", "verdict": "depends", **found},
        {**about, "kind": "edges", "criterion": "above random", "verdict": "too few random choices", **found},
        {**about, "kind": "edges", "criterion": "half of last", "verdict": "undecided", **found, "ci_high": np.nan},
    ])  # fmt: skip


def unlearned() -> pd.DataFrame:
    """A variable that an untrained model decodes as well, of which no use can be measured."""
    common = {"ability": "induction", "variable": "repeated token", "position": "after it", "axis": "step", "at": "1m"}
    common |= {"threshold": 0.53, "last_without": "", "level": 0.87, "level_low": 0.8, "level_high": 0.92, "reason": ""}
    start = {"first_with": "0", "ci_low": "0", "ci_high": "0", "verdict": "from the start"}
    never = {"first_with": "", "ci_low": "", "ci_high": ""}
    unused = {"verdict": "undefined", "reason": "an exchange moves nothing", "lead": "undefined"}
    late = {"first_with": "512", "ci_low": "512", "ci_high": "1024", "verdict": "learned", "lead": "leads"}
    return pd.DataFrame([
        {**common, "question": "known", **start, "untrained": 0.88},
        {**common, "question": "embedding", **never, "verdict": "not reached", "level": 0.03},
        {**common, "question": "used", **never, **unused},
        {**common, "question": "ability", **late},
    ])  # fmt: skip
