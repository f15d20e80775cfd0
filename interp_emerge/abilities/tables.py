"""The table of abilities. Its values come from `measuring.summarise`. The report reads it without torch."""

from interp_emerge.tables.schema import INTERVAL_COLUMNS, MODEL_COLUMNS, Table

ABILITY = Table(
    name="ability",
    row="one metric of one ability on one model",
    key=("size", "step", "seed", "ability", "metric"),
    about=MODEL_COLUMNS,
    filled={
        "n_parameters": "non-embedding parameters",
        "loss": "mean next-token loss on the family's held-out text, nats per token",
        "tokens": "tokens of all training steps so far; empty if the family does not give their number",
        "flops": "floating-point operations of training, 6 · n_parameters · tokens; empty where `tokens` is",
        "ability": "name of the ability",
        "control": "whether the ability is a control that every size learns smoothly",
        "metric": "accuracy (fraction), log_prob (nats), logit_diff (nats, answer minus foil), prob (of the answer), "
        "choice_prob (of the answer, if only answer and foil can be chosen), brier (minus the squared error of "
        "choice_prob: higher is better, 0 is best)",
        "value": "mean over prompt pairs",
        **INTERVAL_COLUMNS,
        "chance": "accuracy of the best guess without the ability",
        "ceiling": "accuracy of a perfect model",
        "n_pairs": "number of prompt pairs",
    },
)
