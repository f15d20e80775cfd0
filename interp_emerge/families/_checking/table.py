"""The table of checks: one row for each checkpoint and test."""

from enum import StrEnum

from interp_emerge.tables.schema import MODEL_COLUMNS, Table


class CheckVerdict(StrEnum):
    """What a test says of a checkpoint."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TESTED = "not tested"


TESTS = {
    "loads": "the checkpoint loads completely: every weight is there, and has the shape that the configuration gives",
    "finite": "every weight is finite",
    "distinct": "no other checkpoint of the run, and no other run of the size, has the same weights",
    "own tensors": "no matrix has the bytes of another checkpoint of the run while other matrices have their own",
    "between neighbours": "no matrix is farther from both neighbours than these are from each other",
    "loss in line": "the held-out loss does not leave the range of both neighbours by more than the run's noise",
    "descends from step 0": "the run's step 0 is more similar to the next checkpoint than an unrelated start would be",
    "plain transformers": "the logits of the parts equal those of transformers without this package",
    "bridge": "the logits of TransformerLens's bridge equal those of transformers",
}
"""What each test asks of a checkpoint."""
CHECKS = Table(
    name="checks",
    row="one test of one checkpoint",
    about=MODEL_COLUMNS,
    filled={
        "test": f"name of the test: {'; '.join(f'{name} ({asks})' for name, asks in TESTS.items())}",
        "verdict": f"{', '.join(CheckVerdict)}",
        "value": "the test's statistic; empty if it has none",
        "limit": "the value from which the test fails, or below which for `descends from step 0`; empty if it has none",
        "detail": "what was found, or why nothing was tested",
        "known": "what is known to be wrong with the checkpoint, with its source; empty for nearly all",
    },
)
