"""The verdict on two circuits, and the table of the comparisons behind it, which `SameCircuit.to_frame` fills."""

from enum import StrEnum

from interp_emerge.tables.schema import ABILITY_COLUMN, Table


class SameCircuitVerdict(StrEnum):
    """Whether two circuits are the same, as far as the prompts show."""

    SAME = "same within a margin"
    """The interval of the corrected similarity lies above 1 − `margin`, and both circuits are reproducible."""
    DIFFERENT = "different"
    """p is at most 0.05, and both circuits are reproducible."""
    CANNOT_BE_TOLD = "cannot be told"
    """The prompts, the architecture or the match of heads leave it open; the reason is given."""


COMPARISONS = Table(
    name="comparisons",
    row="one comparison behind the verdict on two circuits",
    key=("size_a", "seed_a", "size_b", "seed_b", "ability", "level", "comparison"),
    about={
        "size_a": "name of the first size",
        "seed_a": "seed of its training run",
        "size_b": "name of the second size",
        "seed_b": "seed of its training run",
        **ABILITY_COLUMN,
    },
    filled={
        "level": "edges, matched through their heads; or classes of edges, by the roles of their nodes",
        "verdict": ", ".join(SameCircuitVerdict),
        "p_value_verdict": "probability of a difference as large if nothing differs",
        "comparison": "across (halves of the prompts of both models), whole samples (all prompts), halves of a or b, "
        "same scores (draws if nothing differed), exchanged heads (of each layer of b, at random), other seeds, random "
        "circuits",
        "index": "mean Jaccard index; weighted for classes",
        "low": "lower end of the central 95% over splits or draws; for other seeds the smallest",
        "high": "upper end; for other seeds the largest",
        "n": "number of splits, draws or seeds",
        "beyond_chance": "(index - random) / (1 - random): 0 for random circuits on average, 1 for equal circuits",
        "p_value": "probability of the event named in `asks`",
        "asks": "event that the p-value is the probability of",
        "unmatched_a": "share of the score mass of a's circuit on edges without an image in b's graph; across only",
        "unmatched_b": "share of the score mass of b's circuit on edges that no edge of a goes to; across only",
        "ambiguous_a": "share of the score mass of a's circuit on heads whose partner is not identifiable; across only",
        "ambiguous_b": "the same for b's circuit",
        "n_ambiguous": "number of heads of a whose partner is not identifiable; across only",
        "n_rivals": "other matches tried, about as good, each the cheapest without one pair; across only",
        "rival_low": "smallest index across over the match and the other matches; edges only",
        "rival_high": "largest index across over the match and the other matches; edges only",
        "note": "why something is missing; empty otherwise",
        "sentence": "the verdict and the numbers it rests on, in words",
    },
)
