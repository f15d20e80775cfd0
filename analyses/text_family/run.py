"""Grow models of real text, and say where induction heads form, and whether previous-token heads come first.

python analyses/text_family/run.py              # fetches the text, grows the family in grown/ and measures it
python analyses/text_family/run.py --plain      # the same without windows in which a passage is read again
python analyses/text_family/run.py --keep       # draws loss.svg and heads.svg, and keeps the family's card here
"""

import shutil
import sys
from pathlib import Path

import pandas as pd
from parallel_bible import parallel_bible
from positions import BANDS, by_position

import interp_emerge as ie
from interp_emerge.emergence import forming, scale

HERE = Path(__file__).parent
CONTEXT = 64
SETTINGS = {"sizes": ("1x48", "2x48", "3x48"), "seeds": (1, 2, 1), "steps": 4000, "checkpoints": 10, "vocabulary": 896,
            "context": CONTEXT, "learning_rate": 0.006}  # fmt: skip
ROLES = ("previous_token", "induction")


def main(*, plain: bool = False, keep: bool = False) -> None:
    """Print, for each training run: losses by position, in-context scores, heads in both roles, and their order."""
    name = "parallel-bible-plain" if plain else "parallel-bible"
    text = parallel_bible(Path("grown/parallel-bible-text"))
    recipe = ie.training.text_recipe(text, name=name, repeated=0.0 if plain else 0.5, **SETTINGS)
    directory = ie.training.grow_family(recipe, Path("grown") / name)
    family = ie.load_family(directory)
    losses, scores = [], []
    for size, seed in [(name, seed) for name in family.sizes for seed in family.seeds(name)]:
        print(f"\n=== {size}, seed {seed}")
        named = {"run": f"{size}, seed {seed}"}
        losses.append(by_position(family, size, seed, CONTEXT).assign(**named))
        wide = losses[-1].pivot(index="step", columns="band", values="value").round(3)[[*BANDS]]
        wide["late minus early"] = losses[-1].groupby("step")["score"].first()
        print(f"\nloss by position, nats per token\n{wide.to_string()}")
        scores.append(order(family, size, seed).assign(**named))
    if keep:
        shown = pd.concat(losses)
        about = {"colour": "step", "panel": "run", "titles": ("position in the context", "loss, nats per token")}
        chart = ie.figures.interval_lines(shown[shown["step"].isin(family.spaced_steps(size, seed, at_most=6))],
                                          x="position", scales=("log", "linear"), **about)  # fmt: skip
        chart.save(HERE / "loss.svg")
        about = {"colour": "role", "panel": "run", "titles": ("training step", "attention of the strongest head")}
        ie.figures.interval_lines(pd.concat(scores), x="step", scales=("symlog", "linear"), **about).save(
            HERE / "heads.svg"
        )
        for file in ("README.md", "card.json"):
            shutil.copy(directory / file, HERE / {"README.md": "card.md"}.get(file, file))


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
    return pd.DataFrame(
        {"role": role, "step": step, **ie.stats.mean_interval(part["value"].to_numpy()).columns("value")}
        for (role, step), part in scored.groupby(["quantity", "step"], sort=False)
    )


if __name__ == "__main__":
    main(plain="--plain" in sys.argv[1:], keep="--keep" in sys.argv[1:])
