"""Sentences on what is known and used, and when."""

import numpy as np
import pandas as pd
import pytest

from interp_emerge.report.sections.probing import sentences
from interp_emerge.report.verdicts.probing import known_and_used_table

EMPTY = dict.fromkeys(("last_without", "first_with", "ci_low", "ci_high"), "")


def rows(**changes: dict[str, object]) -> pd.DataFrame:
    """The four questions of one variable over steps, with changes by question."""
    about = {
        "variable": "receiver",
        "position": "last",
        "axis": "step",
        "at": "560k",
        "reason": "",
        "untrained": np.nan,
        "threshold": 0.5,
    }
    level = {"level": 0.9, "level_low": 0.8, "level_high": 1.0, "lead": np.nan}
    found = {"first_with": "1000", "ci_low": "800", "ci_high": "1400", "verdict": "learned"}
    late = {"first_with": "4000", "ci_low": "3200", "ci_high": "5600", "verdict": "learned", "lead": "leads"}
    start = {"first_with": "0", "ci_low": "0", "ci_high": "0", "verdict": "from the start"}
    each = {
        "known": found | {"untrained": 0.12},
        "embedding": start,
        "used": late,
        "ability": late | {"lead": "unresolved"},
    }
    return pd.DataFrame(
        [{"question": name, **about, **level, **of, **changes.get(name, {})} for name, of in each.items()]
    )


def test_the_sentence_has_each_onset_with_its_interval_the_embedding_and_the_leads():
    (said,) = sentences(rows())
    assert said == (
        "Receiver at the position “last” (560k) is decodable from step 1,000 [800, 1,400] on, in an untrained model "
        "with accuracy 0.12; used from step 4,000 [3,200, 5,600] on; the embedding alone decodes it from the start; it "
        "is known before its use; whether it is known before the ability cannot be told."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"used": EMPTY | {"verdict": "undefined", "reason": "no gap", "lead": "undefined"}},
            "used: undefined (no gap); the",
        ),
        ({"known": EMPTY | {"verdict": "not reached"}}, "is decodable at no step (0.90 [0.80, 1.00] at the last)"),
        ({"known": {"ci_high": "", "verdict": "undecided", "reason": "noise"}}, "[800, open] on, undecided (noise)"),
        ({"known": {"verdict": "lost again"}}, "[800, 1,400] on, but lost again (0.90 [0.80, 1.00] at the last)"),
        (
            {"embedding": EMPTY | {"verdict": "not reached", "level": 0.05}},
            "the embedding alone does not decode it (0.05)",
        ),
    ],
)
def test_what_is_undefined_undecided_or_never_there_is_said_with_the_reason(changes: dict, words: str):
    (said,) = sentences(rows(**changes))
    assert words in said


def test_what_is_never_known_is_not_known_after_anything():
    unknown: dict[str, object] = {**EMPTY, "verdict": "not reached"}
    never = rows(known=unknown, ability={"lead": "lags"}, used={"lead": "lags"})
    (said,) = sentences(never)
    assert "after" not in said
    shown = str(known_and_used_table(never))
    assert shown.count("no, never known") == 2 and "no, after it" not in shown
    assert str(known_and_used_table(rows(ability={"lead": "lags"}))).count("no, after it") == 1


def test_an_undefined_use_has_no_lead():
    undefined = {"verdict": "undefined", "reason": "no gap", "lead": "undefined"}
    (said,) = sentences(rows(used={**EMPTY, **undefined}))
    assert "its use" not in said and "the ability" in said


def test_the_table_has_a_row_for_a_variable_at_a_position_with_the_same_onsets():
    undefined: dict[str, object] = {**EMPTY, "verdict": "undefined", "reason": "no gap", "lead": "undefined"}
    table = known_and_used_table(pd.concat([rows(), rows(used=undefined).assign(position="s2")]))
    known, ability, embedded = (
        "1,000 [800, 1,400]",
        "4,000 [3,200, 5,600]",
        "from the start",
    )
    level, used = "0.90 [0.80, 1.00]", "4,000 [3,200, 5,600]"
    assert table.rows == (
        ("receiver", "last", known, level, "0.12", embedded, used, ability, "yes", "cannot be told"),
        ("receiver", "s2", known, level, "0.12", embedded, "undefined", ability, "undefined", "cannot be told"),
    )
    assert table.reasons() == {
        "no gap": ["receiver, s2: used from"],
        "one of the two has no onset: no gap": ["receiver, s2: before use"],
    }


@pytest.mark.parametrize(
    ("untrained", "cell", "words"),
    [
        (0.85, "yes, but not learned (trained 0.90, untrained 0.85)", "so it is in an untrained model"),
        (0.70, "yes, but partly learned (trained 0.90, untrained 0.70)", "this was partly learned"),
        (0.12, "yes", "with accuracy 0.12"),
    ],
)
def test_what_an_untrained_model_decodes_as_well_is_never_called_known_before_without_saying_so(
    untrained: float, cell: str, words: str
):
    found = rows(known={"untrained": untrained, "verdict": "from the start"}, ability={"lead": "leads"})
    (row,) = known_and_used_table(found).rows
    assert row[-1] == row[-2] == cell
    assert row[2].startswith("from the start") and ("learned" in row[2]) == ("learned" in cell)
    (said,) = sentences(found)
    assert words in said
