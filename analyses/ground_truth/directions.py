"""How well first-order scores of edges agree with exact patching in the same direction, and in the other one.

python analyses/ground_truth/directions.py   # prints the tables

Denoising puts the clean value of an edge into the corrupted run, noising its corrupted value into the clean run.
"""

import pandas as pd
from tqdm.auto import tqdm

import interp_emerge as ie

SIZES, ABILITIES = ("7k", "14k", "25k", "200k"), ("induction", "indirect_object", "modular_addition", "markov")
METHODS, DIRECTIONS = ("eap", "eap_ig_activations"), ("noising", "denoising")
N_PAIRS, STRONGEST = 32, 20


def main() -> None:
    """Print means over models, and the areas of curves, by method and direction."""
    agreement, areas = [], []
    for family, name, model, pairs, held_out in tqdm([*settings()]):
        about = {"family": family, "model": name}
        exact = {way: edges_of(model, pairs, "exact_edges", way) for way in DIRECTIONS}
        found = {(method, way): edges_of(model, pairs, method, way) for method in METHODS for way in DIRECTIONS}
        for (method, way), scores in found.items():
            for other, effects in exact.items():
                rows = agreement_of(scores, effects)
                agreement.append({**about, "method": method, "direction": way, "exact edges": other, **rows})
        for (method, way), scores in {**found, **{("exact_edges", way): one for way, one in exact.items()}}.items():
            curve = ie.faithfulness_curve(model, scores, held_out)
            areas.append({**about, "method": method, "direction": way, "CPR": curve.cpr, "CMD": curve.cmd})
    show(pd.DataFrame(agreement), ["family", "method", "direction", "exact edges"])
    show(pd.DataFrame(areas), ["family", "method", "direction"])


def settings():
    """Models with a gap between clean and corrupted prompts, with pairs to score on and others to evaluate on."""
    for name in ie.load_family("handset").sizes:
        known = ie.circuits.ground_truth(name)
        yield "handset", name, known.model, known.pairs, ie.circuits.ground_truth(name, seed=1).pairs
    for size in SIZES:
        model = ie.load_family("miniature").load(size=size, step="last", seed=0)
        for name in ABILITIES:
            pairs, held_out = (ie.load_ability(name).sample(model, N_PAIRS, seed=seed) for seed in (1000, 2000))
            if ie.Runs(model, held_out).whole.defined:
                yield "miniature", f"{size} {name}", model, pairs, held_out


def edges_of(model: ie.HookedModel, pairs: ie.PromptPairs, method: str, direction: str) -> ie.EdgeScores:
    """Scores of edges by a method in a direction."""
    scores = ie.score(model, pairs, method=method, direction=direction)
    assert isinstance(scores, ie.EdgeScores)
    return scores


def agreement_of(scores: ie.EdgeScores, exact: ie.EdgeScores) -> dict[str, float]:
    """Rank correlations of scores and of magnitudes, and how well the strongest edges are found."""
    ours, theirs = (pd.Series(one.scores[one.graph.exists]) for one in (scores, exact))
    count = min(STRONGEST, len(ours) // 5)
    best, true = (set(one.abs().nlargest(count).index) for one in (ours, theirs))
    ranks, among = ours.abs().rank(), theirs.index.isin([*true])
    area = (ranks[among].sum() - count * (count + 1) / 2) / (count * (len(ours) - count))
    return {
        "rank correlation": ours.corr(theirs, method="spearman"),
        "of magnitudes": ours.abs().corr(theirs.abs(), method="spearman"),
        "Jaccard of strongest": len(best & true) / len(best | true),
        "AUROC of strongest": float(area),
    }


def show(rows: pd.DataFrame, by: list[str]) -> None:
    """Print the means over models of all other columns as a Markdown table."""
    means = rows.drop(columns="model").groupby(by, sort=False).mean().reset_index()
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in means.to_numpy()]
    print("\n".join(f"| {' | '.join(row)} |" for row in [[*means.columns], ["---"] * len(means.columns), *cells]), "\n")


if __name__ == "__main__":
    main()
