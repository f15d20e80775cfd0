"""A study's directory as a run leaves it, with invented numbers and tokens that would like to be HTML."""

import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import write_table
from tests.figures.invented import LAST, SIZES, STEPS, seeds_of, tables

EVIL = [
    "<bos>",
    "</script><img src=x onerror=\"document.title='PWNED'\">",
    "&amp;",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    " Ada",
    "gave",
    "\u2028",
    "'\"`",
    " Ada",
]
QUESTION = "At which size does induction appear, and which circuit carries it?"


def write_study(
    directory: Path,
    *,
    sizes: tuple[str, ...] = tuple(SIZES),
    empty: tuple[str, ...] = (),
    renamed: dict[str, str] | None = None,
    only_last: bool = False,
) -> Path:
    """A study of some sizes, in which the tables named in `empty` have no row; returns the directory.

    Sizes get the names in `renamed`. If `only_last`, it has only the last step.
    """
    names = renamed or {}
    made = tables()
    made["formation"] = pd.concat([made["formation"], followed_edges()], ignore_index=True)
    made["onsets"] = pd.concat([made["onsets"], halves()], ignore_index=True)
    made |= {"nodes_over_steps": nodes_over_steps(), "edges_over_steps": edges_over_steps(), "roles": more_roles()}
    for name, table in made.items():
        kept = table[table["size"].isin(sizes)] if "size" in table else table
        if only_last and "step" in kept:
            kept = kept[kept["step"] == LAST]
        for column in {"size", "at"} & {*kept}:
            kept = kept.assign(**{column: kept[column].replace(names)})
        write_table(kept.head(0) if name in empty else kept, all_tables()[name], directory / "tables")
    (directory / "circuits").mkdir()
    for row in tables()["circuits"].to_dict("records"):
        (directory / row["file"]).write_text(json.dumps({"edges": row["n_edges"]}))
    (directory / "attention").mkdir()
    write_attention(directory / "attention" / "1m.json", "1m, a repeated segment", EVIL, size=names.get("1m", "1m"))
    write_attention(directory / "attention" / "500k.json", "500k, a repeated segment", ["a", "b"] * 8, size="500k")
    (directory / "provenance.json").write_text(json.dumps(provenance()))
    return directory


EDGES = {("embed", "a0.h1.v"): 256, ("a0.h1", "a3.h0.k"): 512, ("a3.h0", "logits"): 1024}
"""Edges of 1m's circuit that are followed, and the step from which on each has its final effect."""
GONE = ("m0", "logits"), (512, 1024)
"""An edge that has its final effect at these steps, at the last, and at no other."""


def effect_of(edge: tuple[str, str], step: int) -> float:
    """What a followed edge does at a step: its score in the circuit, or nothing."""
    score = {("embed", "a0.h1.v"): 1.9, ("a0.h1", "a3.h0.k"): 3.4, ("a3.h0", "logits"): 4.1}.get(edge, -0.35)
    there = step >= EDGES[edge] if edge in EDGES else step in (*GONE[1], LAST)
    return score if there else 0.0


def followed_edges() -> pd.DataFrame:
    """Rows of the table of formation: effects of four edges at every step."""
    rows = []
    for writer, reader in [*EDGES, GONE[0]]:
        for step in STEPS:
            value = effect_of((writer, reader), step)
            about = {"size": "1m", "step": step, "seed": 0, "ability": "induction", "quantity": "edge effect"}
            rows.append({**about, "component": f"{writer} → {reader}", "value": value, "ci_low": value - 0.1,
                         "ci_high": value + 0.1, "known_fault": ""})  # fmt: skip
    return pd.DataFrame(rows)


WHOLE = "500k"
"""The size in which all heads and the circuits of all steps are followed."""
FORMER = ("a0.h5", "m3")
"""An edge of its circuits at steps 512 and 1024."""
OUTGROWN = ("a0.h5", "m2")
"""An edge of its circuit at step 512, which keeps its effect."""
LEFT_OUT = ("a0.h4", "m3")
"""An edge among the strongest at the last step that the circuit found there lacks."""
MORE_ROLES = [("a3.h0", "copying"), ("a0.h5", "induction")]
"""Roles that heads of this size play beyond those of `invented.roles`: a second, and one of a head not followed."""


def more_roles() -> pd.DataFrame:
    """The table of roles, in which heads of one size play more roles."""
    table = tables()["roles"]
    for node, role in MORE_ROLES:
        own = (table["size"] == WHOLE) & (table["node"] == node) & (table["role"] == role)
        table.loc[own, ["plays", "score", "lacks"]] = [True, 0.6, ""]
    return table


def nodes_over_steps() -> pd.DataFrame:
    """Rows on every head and MLP of one size at every step: each role rises with the step, and the effect with it."""
    layers, heads = SIZES[WHOLE]
    names = [f"a{layer}.h{head}" for layer in range(layers) for head in range(heads)]
    rows = []
    for step in STEPS:
        roles = dict.fromkeys(("previous_token", "induction", "copying"), names)
        quantities = {"effect": [*names, "m0", "m1", "m2", "m3"], **roles}
        for quantity, nodes in quantities.items():
            for place, node in enumerate(nodes):
                value = (0.1 + 0.02 * place) * step / LAST
                about = {"size": WHOLE, "step": step, "seed": 0, "ability": "induction", "quantity": quantity}
                rows.append({**about, "node": node, "value": value, "ci_low": value - 0.01, "ci_high": value + 0.01,
                             "known_fault": ""})  # fmt: skip
    return pd.DataFrame(rows)


def edges_over_steps() -> pd.DataFrame:
    """Rows on some edges of one size at every step: one stays, one vanishes, one is outgrown, one is left out."""
    rows = []
    for (writer, reader), there in {
        ("embed", "a0.h1.v"): lambda step: step >= 256,
        FORMER: lambda step: step in (512, 1024),
        OUTGROWN: lambda step: step == 512,
        LEFT_OUT: lambda step: step == LAST,
    }.items():
        for step in STEPS:
            value = -0.8 if there(step) or ((writer, reader) == OUTGROWN and step > 512) else -0.02
            rows.append({"size": WHOLE, "step": step, "seed": 0, "ability": "induction", "writer": writer,
                         "reader": reader, "score": value, "ci_low": value - 0.1, "ci_high": value + 0.1,
                         "in_step_circuit": None if step < 64 else there(step), "in_last_circuit": writer == "embed",
                         "known_fault": ""})  # fmt: skip
    return pd.DataFrame(rows).astype({"in_step_circuit": "boolean"})


def halves() -> pd.DataFrame:
    """Rows of the table of onsets: half of the final effect of each followed edge, and of the heads' scores."""
    parts = {("edge effect", f"{w} → {r}"): effect_of((w, r), LAST) / 2 for w, r in [*EDGES, GONE[0]]}
    parts |= {("previous_token", "a0.h1"): 0.5, ("induction", "a3.h0"): 0.45}
    common = {"ability": "induction", "axis": "step", "at": "1m", "last_without": "256", "first_with": "512"}
    more = {"ci_low": "512", "ci_high": "512", "verdict": "learned", "reason": "", "known_fault": ""}
    return pd.DataFrame(
        [{**common, **more, "quantity": q, "component": c, "threshold": half} for (q, c), half in parts.items()]
    )


def write_attention(path: Path, title: str, tokens: list[str], *, size: str = "1m") -> None:
    """Patterns of four heads, previous token, induction, uniform, first token; all uniform at an earlier step."""
    n = len(tokens)
    previous, first = np.eye(n, k=-1) * 0.9 + np.eye(n) * 0.1, np.zeros((n, n))
    first[:, 0] = 1
    uniform = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    induction = np.roll(np.eye(n), -(n // 2 - 1), axis=1) * np.tril(np.ones((n, n)), -1)
    patterns = [np.round(pattern, 3).tolist() for pattern in (previous, induction, uniform, first)]
    heads = ["a0.h1", "a3.h0", "a1.h2", "a3.h5"]
    about = {"title": title, "tokens": tokens, "heads": heads, "size": size, "seed": 0, "step": LAST}
    earlier = [{"step": 512, "patterns": [np.round(uniform, 3).tolist()] * 4}]
    path.write_text(json.dumps({**about, "patterns": patterns, "earlier": earlier}))


def provenance() -> dict[str, object]:
    models = [
        {
            "family": "miniature",
            "size": size,
            "step": step,
            "seed": seed,
            "revision": f"{zlib.crc32(f'{size} {step} {seed}'.encode()):08x}",
        }
        for size in SIZES
        for seed in seeds_of(size)
        for step in (0, 512, LAST)
    ]
    return {
        "question": QUESTION,
        "answer": [
            "Induction is at chance up to 60k non-embedding parameters and reaches 0.97 accuracy (95% interval 0.94 to "
            "1.00) at 1m; its onset lies between 60k and 200k.",
            "In 1m the circuit of 142 of 1,280 edges keeps 0.95 of the clean-corrupt gap, against 0.31 for the 95th "
            "percentile of 100 random circuits of equal size: a previous-token head, a0.h1, feeds the keys of an "
            "induction head, a3.h0.",
            "The Markov control rises smoothly and is not called emergent.",
        ],
        "command": "interp-emerge run --family miniature --ability induction --method eap_ig --out runs/induction",
        "versions": {
            "interp_emerge": "0.1.0",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "transformer_lens": "4.3.0",
        },
        "models": models,
        "settings": {"ability": "induction", "method": "eap_ig", "n_pairs": 128, "seed": 0, "ablation": "resample"},
        "started": "2026-11-23T07:15:00+00:00",
        "finished": "2026-11-23T07:18:12+00:00",
    }
