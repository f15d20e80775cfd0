"""The tables that a study writes: what a row is, and the columns with units.

Every table is tidy: one row, one measurement. `size`, `step` and `seed` say which model of the family it was taken on.
"""

from dataclasses import dataclass

import pandas as pd

from interp_emerge.core.errors import InputError

MODEL_COLUMNS = {
    "size": "name of the model's size in its family",
    "step": "training step of the checkpoint",
    "seed": "seed of the training run",
}
INTERVAL_COLUMNS = {
    "ci_low": "lower end of the 95% interval, bootstrap over prompts",
    "ci_high": "upper end of the 95% interval, bootstrap over prompts",
}
TEST_COLUMNS = {
    "p_value": "two-sided p-value of the sign-flip test that the mean over prompt pairs is zero; empty if undefined",
    "q_value": "smallest false-discovery rate, over all rows of the model, at which this row is called nonzero",
}
SCALE_COLUMNS = {
    "ability": "name of the ability",
    "axis": "axis of scale: parameters, tokens, flops (of training, all logarithmic), or loss (held-out, falling)",
}


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """A table's name, what a row is, and the meaning and unit of each column."""

    name: str
    row: str
    columns: dict[str, str]

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with exactly the schema's columns, in their order.

        Raises:
            InputError: a column is missing.
        """
        missing = [column for column in self.columns if column not in frame.columns]
        if missing:
            raise InputError(f"table {self.name!r} lacks column {missing[0]!r} ({self.columns[missing[0]]})")
        return frame[list(self.columns)]


SCHEMAS: dict[str, TableSchema] = {
    schema.name: schema
    for schema in (
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
            name="formation",
            row="one quantity at one checkpoint",
            columns={
                **MODEL_COLUMNS,
                "ability": "name of the ability",
                "quantity": "accuracy, log_prob, faithfulness (of the last step's circuit), or a role's name",
                "component": "head for a role, circuit for faithfulness, model otherwise",
                "value": "mean over prompt pairs, in the unit of the quantity; empty if undefined",
                **INTERVAL_COLUMNS,
            },
        ),
        TableSchema(
            name="onsets",
            row="where one quantity first appears over sizes (all seeds), or over the steps of a size's first seed",
            columns={
                "ability": "name of the ability",
                "quantity": "accuracy, faithfulness or a role's name",
                "component": "what carries it: model, circuit, or a head",
                "axis": "size or step",
                "at": "the size, if the axis is step; empty otherwise",
                "threshold": "value above which the quantity counts as present",
                "last_without": "last point of the axis without it; empty if there from the start",
                "first_with": "first point of the axis with it; empty if never reached",
                "ci_low": "lower end of the 95% interval of first_with, bootstrap over prompts",
                "ci_high": "upper end of the 95% interval of first_with, bootstrap over prompts",
                "verdict": "emergent or gradual over sizes, learned over steps; from the start, not reached, "
                "lost again or undecided",
            },
        ),
        TableSchema(
            name="jump",
            row="the shape of one metric of one ability over sizes",
            columns={
                **SCALE_COLUMNS,
                "verdict": "smooth, sharp under thresholding only, sharp under both, or undecided at this resolution",
                "metric": "accuracy, which is thresholded, or log_prob, which is continuous",
                "kind": "thresholded or continuous",
                "shape": "sharp, spread, flat or undecided",
                "reason": "why the verdict is undecided",
                "rise": "most that a later point lies above an earlier one, in the metric's unit",
                "rise_low": "lower end of its 95% interval, bootstrap over prompts and seeds",
                "rise_high": "upper end",
                "concentration": "share of the rise in the steepest gap beyond the gap's part of the axis; 1: a jump",
                "concentration_low": "lower end of its 95% interval",
                "concentration_high": "upper end",
                "before": "point before the steepest gap",
                "after": "point after it",
                "linearity": "rise over the root mean square of differences between neighbours (BIG-bench)",
                "breakthroughness": "rise over the root median square of these differences, with a floor of noise",
            },
        ),
        TableSchema(
            name="trends",
            row="one form fitted to one metric of one ability over sizes",
            columns={
                **SCALE_COLUMNS,
                "metric": "accuracy or log_prob",
                "form": "constant, power_law, sigmoid or broken_power_law, of the place; over loss, of exp(-loss)",
                "n_points": "points that the forms are fitted to",
                "n_parameters": "parameters of the form",
                "chi_square": "sum of squared residuals in squared standard errors",
                "p_value": "chance of residuals as large if the form holds",
                "aicc": "Akaike's criterion, corrected for few points",
                "weight": "share of exp(-AICc / 2) among the forms; empty for a form with too few points",
                "verdict": "the form with a weight of 0.9 or more, cannot be told, or undefined",
                "reason": "why nothing can be told, or what the verdict leaves open",
            },
        ),
        TableSchema(
            name="correlations",
            row="how one metric of one ability goes with scale",
            columns={
                **SCALE_COLUMNS,
                "metric": "metric of the ladder, from log_prob down to accuracy",
                "kind": "thresholded or continuous",
                "correlation": "Spearman's correlation of the mean with scale, point by point; empty if undefined",
                "ci_low": "lower end of its 95% interval, bootstrap over prompts and seeds",
                "ci_high": "upper end",
                "per_prompt": "mean over prompts of each one's own correlation with scale, model by model",
                "per_prompt_low": "lower end of its 95% interval, bootstrap over prompts",
                "per_prompt_high": "upper end",
                "n_prompts": "prompts with a correlation of their own",
                "n_points": "points of the axis",
                "reason": "why there is none",
            },
        ),
        TableSchema(
            name="seeds",
            row="one ability at one size, over the seeds of training",
            columns={
                "size": MODEL_COLUMNS["size"],
                "n_parameters": "non-embedding parameters",
                "ability": "name of the ability",
                "n_seeds": "training runs of this size",
                "n_success": "runs whose accuracy is above the threshold at their last step",
                "p": "share of runs that succeed",
                "ci_low": "lower end of the exact 95% interval of p (Clopper and Pearson)",
                "ci_high": "upper end",
                "values": "accuracy of each run",
                "shape": "how the runs are spread: one seed, alike, spread around one mode, two groups, or undefined",
            },
        ),
        TableSchema(
            name="order",
            row="two quantities in the training of one model",
            columns={
                "size": MODEL_COLUMNS["size"],
                "seed": MODEL_COLUMNS["seed"],
                "ability": "name of the ability",
                "quantity_a": "accuracy of the model, or a role of a head",
                "component_a": "model, or the name of the head",
                "quantity_b": "the other quantity",
                "component_b": "model, or the name of the head",
                "before": "share of bootstrap samples in which a comes before b",
                "after": "share in which b comes before a",
                "tie": "share in which both come between the same two checkpoints",
                "answer": "what can be told",
            },
        ),
        TableSchema(
            name="dependence",
            row="one part of a circuit ablated at one checkpoint",
            columns={
                **MODEL_COLUMNS,
                "ability": "name of the ability",
                "kind": "model (every edge), edges (the circuit's), circuit (its heads together), role, or head",
                "component": "name of the part",
                "metric": "the study's metric, or accuracy",
                "whole": "mean over pairs of the whole model",
                "value": "mean over pairs with the part ablated",
                "drop": "whole less value; empty where the gap is within noise",
                "drop_low": "lower end of its 95% interval, bootstrap over pairs",
                "drop_high": "upper end",
                "null": "what random choices are made of",
                "n_random": "number of different random choices",
                "random_p95": "their 95th percentile: what a drop has to exceed",
                "p_value": "share of random choices with a drop at least as large, the part counted",
                "note": "why something is undefined",
            },
        ),
        TableSchema(
            name="dependence_onsets",
            row="when the ability comes to depend on one part of a circuit",
            columns={
                "size": MODEL_COLUMNS["size"],
                "seed": MODEL_COLUMNS["seed"],
                "ability": "name of the ability",
                "kind": "model, edges, circuit, role, or head",
                "component": "name of the part",
                "metric": "the study's metric, or accuracy",
                "criterion": "above random, or half of last",
                "last_without": "last checkpoint before the onset; empty if there is none",
                "first_with": "first checkpoint from which on the criterion holds; empty if there is none",
                "ci_low": "lower end of its 95% interval, bootstrap over pairs",
                "ci_high": "upper end",
                "verdict": "depends, from the start, not reached, lost again, undecided, or undefined",
            },
        ),
        TableSchema(
            name="comparisons",
            row="one comparison behind the verdict on two circuits",
            columns={
                "size_a": "name of a size",
                "seed_a": "seed of its training run",
                "size_b": "name of the other size",
                "seed_b": "seed of its training run",
                "ability": "name of the ability",
                "level": "edges, matched by their heads; or classes of edges, by the roles of their ends",
                "verdict": "differs, differs little, no difference seen, or cannot be told",
                "p_value_verdict": "probability of a gap as large if nothing differs",
                "comparison": "across, whole samples, halves or bootstrap of one of them, other seeds, random circuits",
                "index": "mean Jaccard index; weighted for classes",
                "low": "lower end of the central 95% over splits, samples or draws",
                "high": "upper end",
                "n": "number of splits, samples or draws",
                "p_value": "probability of what `asks` says",
                "asks": "what the p-value is the probability of",
                "sentence": "the verdict with the numbers that it rests on",
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
}
