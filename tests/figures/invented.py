"""A study's tables as a run would write them, with invented numbers: seven sizes, three of them with three seeds."""

import zlib
from itertools import product
from math import erfc

import numpy as np
import pandas as pd

from interp_emerge.emergence.forming.tables import PROBE_ONSETS
from interp_emerge.probing.tables import PROBE_SCORES

SIZES = {"3k": (1, 1), "12k": (1, 2), "25k": (2, 2), "60k": (2, 4), "200k": (3, 4), "500k": (4, 6), "1m": (4, 8)}
"""Layers and heads of each size."""
PARAMETERS = {
    "3k": 3_072,
    "12k": 12_544,
    "25k": 25_600,
    "60k": 61_440,
    "200k": 199_680,
    "500k": 503_808,
    "1m": 1_048_576,
}
STEPS = (0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3000, 4000)
ONSET = {"induction": 1.0, "indirect_object": 1.6, "two_hop": 2.2, "markov": None}
"""Where on the scale of log10(parameters / 12 k) an ability passes half its rise; the control never jumps."""
LAST = STEPS[-1]
TOKENS_PER_STEP = 4096


def seeds_of(size: str) -> tuple[int, ...]:
    return (0, 1, 2) if size in ("25k", "60k", "200k") else (0,)


def noise(*key: object) -> np.random.Generator:
    """The same numbers for the same key in every process."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def strength(ability: str, size: str, step: int = LAST, seed: int = 0) -> float:
    """How far an ability has come, between 0 and 1."""
    scale = np.log10(PARAMETERS[size] / 12_000)
    learned = 1 / (1 + np.exp(-(np.log10(step + 1) - 2.6) * 6))
    onset = ONSET[ability]
    grown = 0.35 + 0.2 * scale if onset is None else 1 / (1 + np.exp(-(scale - onset) * 9))
    return float(np.clip(grown * learned + noise(ability, size, step, seed).normal(0, 0.008), 0, 1))


def tables() -> dict[str, pd.DataFrame]:
    """Every table of a study of induction, by name."""
    filled = {
        "ability": ability(),
        "node_scores": node_scores(),
        "circuits": circuits(),
        "circuit_edges": circuit_edges(),
        "roles": roles(),
        "formation": formation(),
        "onsets": onsets(),
        "ablation": ablation(),
        "probe_scores": probe_scores(),
        "probe_onsets": probe_onsets(),
    }
    return {name: table.assign(known_fault="") for name, table in filled.items()}


def interval(value: float, half: float, *, highest: float = np.inf) -> dict[str, float]:
    return {"ci_low": value - half, "ci_high": min(value + half, highest)}


def tested(value: float, error: float) -> dict[str, float]:
    p = erfc(abs(value) / error / 2**0.5)
    return {"p_value": p, "q_value": min(1, 2 * p)}


def ability(steps: tuple[int, ...] = (LAST,)) -> pd.DataFrame:
    rows = []
    for size, parameters in PARAMETERS.items():
        for seed, step in product(seeds_of(size), steps):
            tokens = float(step * TOKENS_PER_STEP)
            behind = 0.5 * np.log10((LAST + 1) / (step + 1))
            for name in ONSET:
                up = strength(name, size, step, seed)
                chance = 0.5 if name == "indirect_object" else 0.04
                highest = {"accuracy": 1, "log_prob": 0, "logit_diff": 9}
                ends = {"accuracy": (chance, 0.98), "log_prob": (-4.2, -0.15), "logit_diff": (0.0, 6.5)}
                for metric, (worst, best) in ends.items():
                    value = worst + (best - worst) * (up if metric == "accuracy" else up**0.6)
                    rows.append(
                        {
                            "size": size, "step": step, "seed": seed, "n_parameters": parameters,
                            "loss": 4.6 - 0.42 * np.log10(parameters) + 0.02 * seed + behind, "tokens": tokens,
                            "flops": 6 * parameters * tokens, "ability": name,
                            "control": name == "markov", "metric": metric, "value": value,
                            **interval(value, 0.03 * (best - worst), highest=highest[metric]), "chance": chance,
                             "ceiling": 1.0, "n_pairs": 128,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def node_scores() -> pd.DataFrame:
    rows = []
    for size, (layers, heads) in SIZES.items():
        up = strength("induction", size)
        nodes = [("embed", -1, "embed", 0)]
        for layer in range(layers):
            nodes += [(f"a{layer}.h{head}", layer, "head", head) for head in range(heads)]
            nodes.append((f"m{layer}", layer, "mlp", 0))
        for node, layer, kind, index in nodes:
            score = float(noise(size, node).normal(0, 0.12))
            if layers > 1 and node in ("a0.h1", f"a{layers - 1}.h0"):
                score += 4.0 * up
            if kind == "embed":
                score = 6.0 * up
            rows.append(
                {
                    "size": size, "step": LAST, "seed": 0, "ability": "induction", "method": "activation_patching",
                    "metric": "logit_diff", "node": node, "layer": layer, "kind": kind, "index": index,
                    "score": score, **interval(score, 0.2), **tested(score, 0.1),
                    "share": score / 6 if up > 0.2 else np.nan,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def circuits() -> pd.DataFrame:
    rows = []
    for size, (layers, heads) in SIZES.items():
        for seed in seeds_of(size):
            up = strength("induction", size, seed=seed)
            defined = up > 0.25
            value = 0.6 + 0.35 * up if defined else np.nan
            edges = 40 * layers * heads
            rows.append(
                {
                    "size": size, "step": LAST, "seed": seed, "ability": "induction", "method": "eap_ig",
                    "metric": "logit_diff", "n_edges": edges // 9, "n_graph_edges": edges, "edge_share": 1 / 9,
                    "clean": 6 * up, "corrupt": -0.2, "faithfulness": value, **interval(value, 0.05),
                    "random_median": 0.06 if defined else np.nan, "random_p95": 0.31 if defined else np.nan,
                    "kl": 0.4, "accuracy": up, "accuracy_without": 0.1, "stability": 0.8, "stability_low": 0.6,
                    "stability_high": 1.0, "n_random": 100, "random_kind": "random paths",
                    "verdict": "faithful" if defined else "undefined: the gap is within noise",
                    "file": f"circuits/{size}-step{LAST}-seed{seed}.json",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def circuit_edges() -> pd.DataFrame:
    """An induction circuit in each size that has one, and weaker edges around it."""
    rows = []
    for size, seed in [(name, seed) for name in SIZES for seed in seeds_of(name)]:
        layers, heads = SIZES[size]
        if strength("induction", size, seed=seed) < 0.25:
            continue
        last = f"a{layers - 1}.h0"
        edges = {
            ("embed", "a0.h1.v"): 1.9, ("embed", "a0.h1.q"): 0.6, ("embed", "a0.h1.k"): 0.7,
            ("embed", f"{last}.v"): 2.2,
            ("a0.h1", f"{last}.k"): 3.4, ("embed", f"{last}.q"): 1.3, (last, "logits"): 4.1, ("embed", "m0"): 0.5,
            ("m0", f"{last}.v"): 0.8, ("m0", "logits"): -0.35, ("embed", "logits"): -0.2,
        }  # fmt: skip
        random = noise(size, seed, "edges")
        for layer in range(1, layers):
            for head in range(heads):
                if random.random() < 0.75:
                    node = f"a{layer}.h{head}"
                    below = f"a{layer - 1}.h{int(random.integers(heads))}"
                    edges |= {
                        (below, f"{node}.{random.choice(['q', 'k', 'v'])}"): float(random.normal(0, 0.35)),
                        ("embed", f"{node}.v"): float(random.normal(0, 0.2)),
                        (node, f"m{layer}"): float(random.normal(0, 0.25)),
                        (node, "logits"): float(random.normal(0.1, 0.25)),
                        ("embed", f"{below}.v"): float(random.normal(0, 0.2)),
                    }
            edges |= {(f"m{layer}", "logits"): float(random.normal(0.2, 0.2)), (f"m{layer - 1}", f"m{layer}"): 0.3}
        for (writer, reader), score in edges.items():
            rows.append(
                {
                    "size": size, "step": LAST, "seed": seed, "ability": "induction", "writer": writer,
                    "reader": reader, "score": score,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def roles() -> pd.DataFrame:
    rows = []
    for size, (layers, heads) in SIZES.items():
        for layer in range(layers):
            for head in range(heads):
                node = f"a{layer}.h{head}"
                for role in ("previous_token", "duplicate_token", "induction", "copying"):
                    high = {"a0.h1": "previous_token", f"a{layers - 1}.h0": "induction"}.get(node) == role
                    score = 0.9 * strength("induction", size) if high and layers > 1 else 0.04
                    rows.append(
                        {
                            "size": size, "step": LAST, "seed": 0, "node": node, "layer": layer, "index": head,
                            "role": role, "score": score, **interval(score, 0.02), "baseline": 0.12,
                            "clears_baseline": score > 0.14, "attention": np.nan, "writing": np.nan,
                            "plays": score > 0.5, "lacks": "" if score > 0.5 else f"score {score:.2g}",
                            "in_circuit": score > 0.3,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def formation() -> pd.DataFrame:
    rows = []
    for size, (layers, _) in SIZES.items():
        for seed in seeds_of(size):
            for step in STEPS:
                up = strength("induction", size, step, seed)
                values = {
                    ("accuracy", "model"): 0.04 + 0.94 * up,
                    ("log_prob", "model"): -4.2 + 4 * up**0.6,
                    ("faithfulness", "circuit"): up if up > 0.1 else np.nan,
                }
                if layers > 1:
                    values |= {
                        ("previous_token", "a0.h1"): min(1, 1.1 * up**0.5),
                        ("induction", f"a{layers - 1}.h0"): 0.9 * up,
                        ("copying", f"a{layers - 1}.h0"): 0.7 * up**1.2,
                        ("duplicate_token", "a0.h0"): 0.05,
                    }
                for (quantity, component), value in values.items():
                    rows.append(
                        {
                            "size": size, "step": step, "seed": seed, "ability": "induction", "quantity": quantity,
                            "component": component, "value": value, **interval(value, 0.04, highest=1),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def onsets() -> pd.DataFrame:
    common = {"ability": "induction", "threshold": 0.5, "ci_low": np.nan, "ci_high": np.nan, "reason": ""}
    return pd.DataFrame(
        [
            common
            | {
                "quantity": "accuracy", "component": "model", "axis": "size", "at": None, "last_without": "60k",
                "first_with": "200k", "ci_low": "200k", "ci_high": "200k", "verdict": "emergent",
            },
            common
            | {
                "quantity": "accuracy", "component": "model", "axis": "step", "at": "1m", "last_without": "256",
                "first_with": "512", "ci_low": "512", "ci_high": "512", "verdict": "emergent",
            },
            common
            | {
                "quantity": "accuracy", "component": "model", "axis": "step", "at": "3k", "last_without": str(LAST),
                "first_with": None, "ci_low": None, "ci_high": None, "verdict": "not reached",
            },
        ]
    )  # fmt: skip


def ablation() -> pd.DataFrame:
    rows = []
    for size, (layers, _) in SIZES.items():
        if strength("induction", size) < 0.25:
            continue
        whole = 0.04 + 0.94 * strength("induction", size)
        drawn = [("none", 0, "", whole), ("circuit heads", 0, f"a0.h1 a{layers - 1}.h0", 0.08)]
        random = noise(size, "ablation")
        drawn += [
            ("random heads of the same layers", draw, f"a0.h{draw % 4} a1.h2", whole - abs(random.normal(0, 0.06)))
            for draw in range(10)
        ]
        for condition, draw, heads, accuracy in drawn:
            rows.append(
                {
                    "size": size, "step": LAST, "seed": 0, "ability": "induction", "condition": condition, "draw": draw,
                    "heads": heads, "accuracy": accuracy, **interval(accuracy, 0.03, highest=1),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def probe_scores() -> pd.DataFrame:
    """The next token is decoded from the upper layers where induction is there, the repeated token by the embedding."""
    rows = []
    for (size, (layers, _)), step in product(SIZES.items(), (0, LAST)):
        for variable, layer in product(("next token", "repeated token"), range(layers)):
            embedding = 0.98 if variable == "repeated token" else 0.03
            accuracy = max(embedding, strength("induction", size, step) * (layer + 1) / layers)
            gain = accuracy - embedding
            rows.append(
                {
                    "size": size, "step": step, "seed": 0, "ability": "induction", "variable": variable,
                    "method": "mass_mean", "site": "resid_post", "layer": layer, "depth": (layer + 1) / layers,
                    "head": -1, "position": "last", "measure": "accuracy", "accuracy": accuracy,
                    **interval(accuracy, 0.04, highest=1), "majority": 0.05, "shuffled": 0.02, "control": np.nan,
                    "untrained": embedding, "embedding": embedding, "gain": gain, "gain_low": gain - 0.05,
                    "gain_high": gain + 0.05, "compression": 1.2, "fragility": 0.9, "p_value": 0.01, "q_value": 0.02,
                    "held_out": "prompts", "n_pairs": 128, "n_groups": 128, "n_classes": 60,
                }
            )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=[*PROBE_SCORES.columns])


def probe_onsets() -> pd.DataFrame:
    """Known, then used, over sizes and over the steps of the largest size; from the embedding alone never."""
    common = {"ability": "induction", "variable": "next token", "position": "last", "threshold": 0.5, "reason": ""}
    ends = {
        "known": ("200k", "512", "emergent", "learned"), "embedding": ("", "", "not reached", "not reached"),
        "used": ("500k", "1024", "emergent", "learned"), "ability": ("200k", "512", "undecided", "learned"),
    }  # fmt: skip
    rows = []
    for question, (size, step, over_sizes, over_steps) in ends.items():
        for axis, at, first, verdict in (("size", "", size, over_sizes), ("step", "1m", step, over_steps)):
            lead = {"lead": "unresolved", "answer": "cannot be told", "lead_low": 0.5, "lead_high": np.inf}
            rows.append(
                common
                | {
                    "question": question, "axis": axis, "at": at, "last_without": "", "first_with": first,
                    "ci_low": first, "ci_high": first, "verdict": verdict, "level": 0.9 if first else 0.03,
                    "level_low": 0.0, "level_high": 1.0, "untrained": 0.04 if question == "known" else np.nan,
                }
                | (lead if question in ("used", "ability") else {})
            )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=[*PROBE_ONSETS.columns])
