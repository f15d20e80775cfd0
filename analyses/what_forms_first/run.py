"""Put the parts of an ability and the ability itself in the order in which they form, as far as the checkpoints show.

python analyses/what_forms_first/run.py                    # every run of the bundled family with the ability
python analyses/what_forms_first/run.py FAMILY ABILITY     # any other: a name, or a directory of checkpoints
python analyses/what_forms_first/run.py --size 560k        # one size of it; --keep draws figure.svg of what was run
"""

import argparse
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import forming, scale

PAIRS, JUDGED, ROLES = 64, 256, ("previous_token", "induction")
"""Pairs to find circuits, other pairs to measure on, and the roles of the followed heads."""


def main(family: str, ability: str, size: str, keep: bool) -> None:
    """Print onsets, order, lags and phase changes of each training run whose last checkpoint has the ability."""
    models, asked = ie.load_family(family), ie.load_ability(ability)
    runs = [(name, seed) for name in ([size] if size else models.sizes) for seed in models.seeds(name)]
    onsets = [follow(models, asked, *run) for run in runs]
    if keep and any(found is not None for found in onsets):
        rows = pd.concat(onsets)
        rows["thing"] = rows["quantity"] + rows["component"].where(rows["quantity"] == "in_context_gain", "").radd(" ")
        between = {"value": "first_with", "ends": ("last_without", "first_with"), "scale": "symlog"}
        chart = ie.figures.interval_dots(rows, thing="thing", panel="run", title="training step", **between)
        chart.save(Path(__file__).with_name("figure.svg"))


def follow(models, asked, size: str, seed: int) -> pd.DataFrame | None:
    """The onsets of one training run; None if it ends without the ability."""
    print(f"\n=== {size}, seed {seed}")
    last = models.load(size, "last", seed)
    pairs = asked.sample(last, JUDGED, seed=2000)
    final = float((last.logits(pairs.clean).argmax(-1).cpu() == pairs.answer).float().mean())
    if final <= (asked.chance + asked.ceiling) / 2:
        print(f"accuracy ends at {final:.2f}: the ability is not there at the last checkpoint")
        return None
    found = ie.find_circuit(ie.Runs(last, asked.sample(last, PAIRS, seed=1000)))
    heads = strongest(last)
    quantities, losses = on_pairs(models, asked, found.circuit, size, seed)
    scored = forming.in_context_over_training(models, size, heads=list(heads), training_seed=seed)
    score = scored["quantity"] == "in_context_score"
    gain = scored[score].assign(quantity="in_context_gain", value=-scored["value"])
    frame = pd.concat([quantities, scored[~score], gain], ignore_index=True)
    frame["over"] = frame["over"].fillna(1.0)
    limits: dict = {"accuracy": scale.Criterion(asked.chance, asked.ceiling), "faithfulness": scale.Criterion(0.0, 1.0)}
    ends = frame[frame["step"] == frame["step"].max()].groupby(["quantity", "component"])["value"].mean()
    for key, end in ends.items():
        limits.setdefault(key[0] if key[0] in limits else key, scale.Criterion(heads.get(key, 0.0), end))
    order = forming.formation_order(frame, limits, against=("accuracy", "model"))
    changes = forming.change_points([int(step) for step in losses.columns], losses.to_numpy())
    # All other changes are compared with that of prefix matching, which comes first.
    phases = forming.phase_changes(scored.sort_values("quantity", key=lambda q: q != "induction", kind="stable"))
    tables = (order.onsets, order.pairs, order.lags, phases, changes.changes)
    for title, table in zip(("onsets", "pairs", "lags", "phase changes", "loss"), tables, strict=True):
        print(f"\n{title}\n{table.round(3).to_string(index=False)}")
    return order.onsets.assign(run=f"{size}, seed {seed}")


def on_pairs(models, asked, circuit, size: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy, faithfulness where it is defined, and recovery on held-out pairs; and the loss of the answer."""
    parts, losses = [], {}
    for step in models.steps(size, seed):
        model = models.load(size, step, seed)
        pairs = asked.sample(model, JUDGED, seed=2000)
        kept = ie.evaluate(model, circuit, pairs)
        logits, recovery = model.logits(pairs.clean).detach().cpu().log_softmax(-1), kept.metric - kept.corrupt
        right = (logits.argmax(-1) == pairs.answer).double().numpy()
        parts += [rows("accuracy", "model", right, 1.0, step), rows("recovery", "circuit", recovery, 1.0, step)]
        if kept.defined:
            parts.append(rows("faithfulness", "circuit", recovery, kept.clean - kept.corrupt, step))
        losses[step] = -logits.gather(1, pairs.answer[:, None])[:, 0].double().numpy()
    return pd.concat(parts, ignore_index=True), pd.DataFrame(losses)


def rows(quantity: str, component: str, value, over, step: int) -> pd.DataFrame:
    """One quantity at one step."""
    frame = pd.DataFrame({"value": value, "over": over}).rename_axis("prompt").reset_index()
    return frame.assign(quantity=quantity, component=component, step=step, prompt_set="pairs")


def strongest(model) -> dict[tuple[str, str], float]:
    """The head with the highest score in each role, with the untrained baseline."""
    table = ie.role_table(model, roles=ROLES, seed=1)  # the prompts that heads are chosen on are not measured
    best = table.loc[table.groupby("role", sort=False)["score"].idxmax()]
    return {(row["role"], row["node"]): row["baseline"] for _, row in best.iterrows()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("family", nargs="?", default="miniature")
    parser.add_argument("ability", nargs="?", default="induction")
    parser.add_argument("--size", default="")
    parser.add_argument("--keep", action="store_true")
    main(**vars(parser.parse_args()))
