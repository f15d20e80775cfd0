"""The table of circuits run in other models. Reading it needs no torch."""

from interp_emerge.tables.schema import Table

TRANSFER = Table(
    name="transfer",
    row="one circuit run in one model",
    key=("circuit", "model", "ability", "metric", "ablation", "template"),
    filled={
        "circuit": "label of the circuit",
        "n_edges": "number of its edges",
        "model": "label of the model that it is run in",
        "ability": "name of the pairs' ability; empty for pairs of one's own",
        "metric": "metric that the faithfulness is of",
        "ablation": "what the edges outside the circuit carry",
        "template": "template of the pairs; empty where all templates are taken together",
        "faithfulness": "fraction of the model's clean-corrupt gap that the circuit keeps; empty if undefined",
        "ci_low": "lower end of its 95% interval over pairs",
        "ci_high": "upper end",
        "accuracy": "share of pairs that the circuit answers correctly; empty for a graph of another shape",
        "model_accuracy": "share of pairs that the whole model answers correctly",
        "random_median": "median faithfulness of random connected circuits with as many edges, in the same model",
        "random_p95": "95th percentile of their faithfulness, rounded up to the value of one of them",
        "p_value": "share of these circuits at least as faithful, counting the circuit itself; empty if undefined",
        "note": "why something is undefined; empty otherwise",
    },
)
