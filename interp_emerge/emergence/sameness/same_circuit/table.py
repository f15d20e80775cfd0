"""The table of what is compared for the verdict on two circuits, which `SameCircuit.to_frame` fills."""

from interp_emerge.tables.schema import ABILITY_COLUMN, Table

COMPARISONS = Table(
    name="comparisons",
    row="one comparison behind the verdict on two circuits",
    about={
        "size_a": "name of a size",
        "seed_a": "seed of its training run",
        "size_b": "name of the other size",
        "seed_b": "seed of its training run",
        **ABILITY_COLUMN,
    },
    filled={
        "level": "edges, matched by their heads; or classes of edges, by the roles of their ends",
        "verdict": "differs, differs little, no difference seen, or cannot be told",
        "p_value_verdict": "probability of a gap as large if nothing differs",
        "comparison": "across, whole samples, halves or bootstrap of one of them, same scores (draws if nothing "
        "differed), other seeds, random circuits",
        "index": "mean Jaccard index; weighted for classes",
        "low": "lower end of the central 95% over splits, samples or draws; of other seeds, the least",
        "high": "upper end; of other seeds, the largest",
        "n": "number of splits, samples, draws or seeds",
        "beyond_chance": "(index - random) / (1 - random): 0 as random circuits of these sizes, 1 for equal ones",
        "p_value": "probability of what `asks` says",
        "asks": "what the p-value is the probability of",
        "unmatched_a": "share of the score mass of a's circuit on edges without an image in b's graph; across only",
        "unmatched_b": "share of the score mass of b's circuit on edges that are no image; across only",
        "ambiguous_a": "share of the score mass of a's circuit on heads whose partner is not identifiable; across only",
        "ambiguous_b": "the same of b's circuit",
        "n_ambiguous": "heads of a that another match would fit about as well; across only",
        "n_rivals": "other matches tried, about as good, each the cheapest without one pair; across only",
        "rival_low": "least index across over the match and these; edges only",
        "rival_high": "largest index across over the match and these; edges only",
        "note": "why something is missing; empty otherwise",
        "sentence": "the verdict with the numbers that it rests on",
    },
)
