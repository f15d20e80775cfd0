"""Grow models of real text, and say where induction heads form, and whether previous-token heads come first.

python analyses/text_family/run.py              # fetches the text, grows the family and measures it
python analyses/text_family/run.py DIRECTORY    # where the family is or shall be; the default is grown/parallel-bible
python analyses/text_family/run.py --keep       # draws loss.svg and heads.svg, and keeps the family's card here
"""

import shutil
import sys
from pathlib import Path

import pandas as pd
import torch
from parallel_bible import parallel_bible
from torch.nn.functional import cross_entropy

import interp_emerge as ie
from interp_emerge.emergence import forming, scale

HERE = Path(__file__).parent
SETTINGS = {"sizes": ("1x64", "2x64", "3x64"), "seeds": (1, 3, 1), "steps": 2000, "vocabulary": 512, "batch": 16}
ROLES, CONTEXT = ("previous_token", "induction"), 128
BANDS = {(1, 2): 1.5, (3, 5): 4, (6, 10): 8, (11, 20): 15, (21, 40): 30, (41, 70): 55, (71, 100): 85, (101, 127): 114}
"""First and last predicted position of each mean, counted from 1, and where it is drawn."""


def main(directory: str = "grown/parallel-bible", *, keep: bool = False) -> None:
    """Print, for each training run: losses by position, in-context scores, heads in both roles, and their order."""
    recipe = ie.training.text_recipe(
        parallel_bible(Path("grown/parallel-bible-text")), name="parallel-bible", **SETTINGS
    )
    family = ie.load_family(ie.training.grow_family(recipe, Path(directory)))
    losses, scores = [], []
    for size, seed in [(name, seed) for name in family.sizes for seed in family.seeds(name)]:
        print(f"\n=== {size}, seed {seed}")
        named = {"run": f"{size}, seed {seed}"}
        losses.append(by_position(family, size, seed).assign(**named))
        wide = losses[-1].pivot(index="step", columns="band", values="loss")[[*map(band, BANDS)]]
        wide["late minus early"] = losses[-1].groupby("step")["score"].first()
        print(f"\nloss by position, nats per token\n{wide.round(3).to_string()}")
        scores.append(order(family, size, seed).assign(**named))
    if keep:
        shown = pd.concat(losses)
        about = {"colour": "step", "panel": "run", "titles": ("position in the context", "loss, nats per token")}
        chart = ie.figures.interval_lines(shown[shown["step"].isin(family.spaced_steps(size, seed, at_most=6))],
                                          x="position", value="loss", scales=("log", "linear"), **about)  # fmt: skip
        chart.save(HERE / "loss.svg")
        about = {"colour": "role", "panel": "run", "titles": ("training step", "attention of the strongest head")}
        ie.figures.interval_lines(pd.concat(scores), x="step", scales=("symlog", "linear"), **about).save(
            HERE / "heads.svg"
        )
        for name in ("README.md", "card.json"):
            shutil.copy(Path(directory) / name, HERE / {"README.md": "card.md"}.get(name, name))


def band(ends: tuple[int, int]) -> str:
    return f"{ends[0]} to {ends[1]}"


@torch.no_grad()
def by_position(family, size: str, seed: int) -> pd.DataFrame:
    """Mean loss in each band of positions of held-out text at every step, and the in-context score."""
    rows = []
    for step in family.steps(size, seed):
        model = family.load(size, step, seed)
        encoded = [(model.bos + model.encode(text))[:CONTEXT] for text in family.held_out_text()]
        tokens = torch.tensor([ids for ids in encoded if len(ids) == CONTEXT])
        logits = model.bridge(tokens)[:, :-1].transpose(1, 2)
        loss = cross_entropy(logits, tokens[:, 1:], reduction="none")
        score = forming.in_context_scores(model, tokens).mean()
        for (low, high), at in BANDS.items():
            mean = float(loss[:, low - 1 : high].mean())
            rows.append({"step": step, "band": band((low, high)), "position": at, "loss": mean, "score": score})
    return pd.DataFrame(rows)


def order(family, size: str, seed: int) -> pd.DataFrame:
    """The score of the strongest head of each role at every step; prints when these form, and in which order."""
    table = ie.role_table(family.load(size, "last", seed), roles=ROLES, seed=1)  # other prompts than are measured on
    best = table.loc[table.groupby("role", sort=False)["score"].idxmax()]
    shown = best[["role", "node", "score", "ci_low", "ci_high", "baseline", "plays"]].round(3)
    print(f"\nstrongest heads at the last step\n{shown.to_string(index=False)}")
    heads = [(row["role"], row["node"]) for _, row in best.iterrows()]
    frame = forming.in_context_over_training(family, size, heads=heads, training_seed=seed)
    scored = frame[frame["quantity"].isin(ROLES)]
    baseline = best.set_index("role")["baseline"]
    ends = scored[scored["step"] == scored["step"].max()].groupby("quantity")["value"].mean()
    limits: dict = {role: scale.Criterion(baseline[role], ends[role]) for role in ROLES}
    if best["plays"].fillna(value=False).all():
        found = forming.formation_order(scored, limits)
        print(f"\nhalf-way of each score\n{found.onsets.round(3).to_string(index=False)}")
        print(f"\norder\n{found.pairs.round(3).to_string(index=False)}")
    else:
        print(f"\nno order: no head plays {', '.join(best['role'][~best['plays'].fillna(value=False)])}")
    means = scored.groupby(["quantity", "step"], as_index=False, sort=False)["value"].mean()
    return means.assign(role=means["quantity"])


if __name__ == "__main__":
    main(*[word for word in sys.argv[1:] if word != "--keep"], keep="--keep" in sys.argv[1:])
