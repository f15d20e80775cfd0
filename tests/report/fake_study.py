"""A study's directory as a run leaves it, with invented numbers and tokens that would like to be HTML."""

import json
import zlib
from pathlib import Path

import numpy as np

from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import write_table
from tests.figures.invented import LAST, SIZES, seeds_of, tables

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


def write_study(directory: Path, *, sizes: tuple[str, ...] = tuple(SIZES), empty: tuple[str, ...] = ()) -> Path:
    """A study of some sizes, in which the tables named in `empty` have no row; returns the directory."""
    for name, table in tables().items():
        kept = table[table["size"].isin(sizes)] if "size" in table else table
        write_table(kept.head(0) if name in empty else kept, all_tables()[name], directory / "tables")
    (directory / "circuits").mkdir()
    for row in tables()["circuits"].to_dict("records"):
        (directory / row["file"]).write_text(json.dumps({"edges": row["n_edges"]}))
    (directory / "attention").mkdir()
    write_attention(directory / "attention" / "1m.json", "1m, a repeated segment", EVIL, size="1m")
    write_attention(directory / "attention" / "500k.json", "500k, a repeated segment", ["a", "b"] * 8, size="500k")
    (directory / "provenance.json").write_text(json.dumps(provenance()))
    return directory


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
