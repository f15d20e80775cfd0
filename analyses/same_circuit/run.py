"""Compare the induction circuits of neighbouring sizes, and of the seeds of one size, with each other and with nulls.

python analyses/same_circuit/run.py                    # the bundled family, about a minute on two cores
python analyses/same_circuit/run.py FAMILY ABILITY     # any other: a name, or a directory of checkpoints
python analyses/same_circuit/run.py --keep             # and draws figure.svg
"""

import sys
from itertools import combinations, pairwise, product
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import sameness

PAIRS, TARGET = 64, 0.8
DRAWN = ("across", "same scores", "other seeds", "random circuits")


def main(family: str = "miniature", ability: str = "induction", *, keep: bool) -> None:
    """Print a sentence and the overlap at each level for each comparison, then how circuits scale."""
    models, asked = ie.load_family(family), ie.load_ability(ability)
    found = {at: one for size in models.sizes for at, one in circuits_of(models, asked, size).items()}
    seeds = [seeds for size in models.sizes if (seeds := [at for at in found if at[0] == size])]
    compared_pairs = [pair for a, b in pairwise(seeds) for pair in product(a, b)]
    compared_pairs += [pair for one in seeds for pair in combinations(one, 2)]
    levels, drawn = [], []
    for a, b in compared_pairs:
        match = sameness.match_heads(found[a]["features"], found[b]["features"])
        print(f"\n{name(a)} and {name(b)}: {match}")
        for level in ("edges", "classes"):
            result = compared(found, a, b, match, level)
            print(f"  {level}: {result.sentence}")
            drawn.append(result.to_frame().assign(pair=f"{name(a)}, {name(b)}", level=level))
        overlap = sameness.overlap_by_match(found[a]["circuit"], found[b]["circuit"], match)
        about = {"a": name(a), "b": name(b), "ambiguous": overlap.ambiguous, "unmatched_b": overlap.unmatched_b}
        levels.append(overlap.to_frame().assign(**about))
    shown = ["a", "b", "level", "n_a", "n_b", "shared", "similarity", "random", "random_high", "p_value"]
    print(pd.concat(levels)[[*shown, "unmatched_b", "ambiguous"]].round(3).to_string(index=False, na_rep=""))
    table = sameness.circuit_scaling([one["sized"] for one in found.values()])
    print(sameness.scaling_trends(table).round(3).to_string(index=False, na_rep=""))
    if keep and drawn:
        table = pd.concat(drawn).query("comparison in @DRAWN")
        about = {"thing": "pair", "colour": "comparison", "panel": "level", "value": "index", "ends": ("low", "high")}
        ie.figures.interval_dots(table, title="Jaccard index", **about).save(Path(__file__).with_name("figure.svg"))


def circuits_of(models, asked, size: str) -> dict:
    """The circuit of each seed of a size that has one."""
    found = {}
    for seed in models.seeds(size):
        model = models.load(size, "last", seed)
        pairs = asked.sample(model, PAIRS, seed=1000)
        one = ie.find_circuit(ie.Runs(model, pairs), target=TARGET)
        if not one.circuit.origin["selection"]["reached"]:
            print(f"{size}, seed {seed}: no circuit keeps {TARGET} of a clean-corrupt gap")
            continue
        assert isinstance(one.scores, ie.EdgeScores)
        features = sameness.head_features(model, one.scores)
        sized = sameness.SizedCircuit(
            size=size, seed=seed, n_parameters=model.n_parameters, circuit=one.circuit, features=features
        )
        print(f"{size}, seed {seed}: {one.circuit}")
        classes = sameness.edge_classes(one.circuit, features).head(4)
        print("  " + "; ".join(f"{row.edge_class} {row.share:.0%}" for row in classes.itertuples()))
        found[size, seed] = {"circuit": one.circuit, "scores": one.scores, "features": features, "sized": sized}
    return found


def compared(found: dict, a: tuple, b: tuple, match, level: str):
    """Two circuits compared with halves of their prompts, random circuits, and the other seeds of a's size."""
    seeds = [at for at in found if at[0] == a[0] and at not in (a, b)]
    others = [(found[at]["scores"], sameness.match_heads(found[a]["features"], found[at]["features"])) for at in seeds]
    circuits = found[a]["circuit"], found[b]["circuit"]
    scores = found[a]["scores"], found[b]["scores"]
    return sameness.same_circuit(*scores, circuits, match=match, level=level, other_seeds=others, resamples=100)


def name(at: tuple) -> str:
    return f"{at[0]} (seed {at[1]})"


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)
