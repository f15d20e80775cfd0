"""The tables that a study writes: what a row is, and the columns with units.

Every table is tidy: one row, one measurement. `size`, `step` and `seed` say which model of the family it was taken on.
"""

from interp_emerge.tables.schema import INTERVAL_COLUMNS, MODEL_COLUMNS, TEST_COLUMNS, TableSchema
from interp_emerge.tables.schemas_of_series import SERIES

MODELS = (
    TableSchema(
        name="ability",
        row="one metric of one ability on one model",
        columns={
            **MODEL_COLUMNS,
            "n_parameters": "non-embedding parameters",
            "loss": "mean next-token loss on the family's held-out text, nats per token",
            "tokens": "tokens of all training steps so far; empty where the family does not say",
            "flops": "floating-point operations of training, 6 · n_parameters · tokens; empty likewise",
            "ability": "name of the ability",
            "control": "whether the ability is a control that every size learns smoothly",
            "metric": "accuracy (fraction), log_prob (nats), logit_diff (nats, answer less foil), prob (of the "
            "answer), choice_prob (of the answer against the foil), brier (minus its squared error)",
            "value": "mean over prompt pairs",
            **INTERVAL_COLUMNS,
            "chance": "accuracy of the best guess that ignores what the ability is about",
            "ceiling": "accuracy of a perfect model",
            "n_pairs": "number of prompt pairs",
        },
    ),
    TableSchema(
        name="node_scores",
        row="the effect of one node in one model",
        columns={
            **MODEL_COLUMNS,
            "ability": "name of the ability",
            "method": "patching method",
            "metric": "metric that the effect is measured in",
            "node": "name of the writer",
            "layer": "layer of the node; -1 for the embedding",
            "kind": "embed, head or mlp",
            "index": "head within the layer; 0 otherwise",
            "score": "rise of the metric when the node's clean value is put into the corrupt run",
            **INTERVAL_COLUMNS,
            **TEST_COLUMNS,
            "share": "score as a fraction of the clean-corrupt gap; empty where the gap is within noise",
        },
    ),
    TableSchema(
        name="edge_scores",
        row="the effect of one edge in one model",
        columns={
            **MODEL_COLUMNS,
            "ability": "name of the ability",
            "method": "edge scoring method",
            "metric": "metric that the effect is measured in",
            "writer": "name of the edge's writer",
            "reader": "name of the edge's reader",
            "score": "rise of the metric, estimated, when the edge takes its clean value; mean over prompt pairs",
            "standard_error": "standard error of the mean over prompt pairs",
            "ci_low": "lower end of the 95% interval, bootstrap over prompts or, without per-pair values, normal",
            "ci_high": "upper end of the 95% interval, bootstrap over prompts or, without per-pair values, normal",
            **TEST_COLUMNS,
        },
    ),
    TableSchema(
        name="circuits",
        row="the circuit found in one model",
        columns={
            **MODEL_COLUMNS,
            "ability": "name of the ability",
            "method": "edge scoring method",
            "metric": "metric of the faithfulness",
            "n_edges": "edges in the circuit",
            "n_graph_edges": "edges in the whole graph",
            "edge_share": "n_edges as a fraction of n_graph_edges",
            "clean": "mean metric of the whole model on clean prompts",
            "corrupt": "mean metric of the whole model on corrupt prompts",
            "faithfulness": "fraction of the clean-corrupt gap that the circuit alone keeps; empty if undefined",
            **INTERVAL_COLUMNS,
            "kl": "mean divergence of the circuit's next-token distribution from the whole model's, nats",
            "accuracy": "share of prompts that the circuit alone answers right",
            "accuracy_without": "share of prompts that the model answers right with the circuit's edges ablated",
            "random_median": "median faithfulness of random circuits of equal size, made of whole paths",
            "random_p95": "95th percentile of the faithfulness of random circuits of equal size",
            "n_random": "number of random circuits",
            "stability": "mean Jaccard index, two by two, of circuits of bootstrap samples of the discovery pairs",
            "stability_low": "2.5th percentile of that index over pairs of samples",
            "stability_high": "97.5th percentile of that index over pairs of samples",
            "verdict": "faithful, beats no chance circuit, or undefined with the reason",
            "file": "circuit file, relative to the study's directory",
        },
    ),
    TableSchema(
        name="circuit_edges",
        row="one edge of the circuit found in one model",
        columns={
            **MODEL_COLUMNS,
            "ability": "name of the ability",
            "writer": "name of the edge's writer",
            "reader": "name of the edge's reader",
            "score": "effect of the edge on the metric, positive toward the clean run",
        },
    ),
    TableSchema(
        name="roles",
        row="one role score of one head",
        columns={
            **MODEL_COLUMNS,
            "node": "name of the head",
            "layer": "layer of the head",
            "index": "head within the layer",
            "role": "previous_token, duplicate_token, induction (all: fraction of attention), or copying",
            "score": "mean attention on the positions of the role; copying: see the role's definition",
            **INTERVAL_COLUMNS,
            "baseline": "99th percentile of the score over the heads of random-init models of the same size",
            "clears_baseline": "whether the interval lies above the baseline",
            "in_circuit": "whether the head writes an edge of the circuit found in the same size's last step",
        },
    ),
    TableSchema(
        name="ablation",
        row="accuracy with some heads ablated",
        columns={
            **MODEL_COLUMNS,
            "ability": "name of the ability",
            "condition": "none, circuit heads, or random heads of the same layers",
            "draw": "which random choice; 0 otherwise",
            "heads": "names of the ablated heads, space between",
            "accuracy": "fraction of pairs answered right",
            **INTERVAL_COLUMNS,
        },
    ),
)
"""Tables of single models."""
SCHEMAS: dict[str, TableSchema] = {schema.name: schema for schema in (*MODELS, *SERIES)}
