"""The page of claims, made from the names of the tests that hold them and from the measured promises.

`python docs/site/claims.py` writes `docs/claims.md`. A claim whose test is gone stops it.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "claims.md"
VALIDITY = ROOT / "docs" / "validity.md"
HEAD = """# Claims

What this package claims, what holds each claim, and how it stands. *Supported*: the test passes, or the measured rate
keeps its bound. *Refuted*: a measured rate breaks its bound, and the claim stays here to say so. *Open*: nothing here
decides it. The page is made from the tests' names by `python docs/site/claims.py`, and a test fails if one of them is
gone. What the analyses found, negative results among it, is in [findings.md](findings.md).
"""
HELD_BY_TESTS = {
    "Patching and attribution": """
        patching/test_activation_patching.py::test_every_node_has_the_effect_of_patching_it_by_transformer_lens_hooks
        patching/test_activation_patching.py::test_sweeps_are_those_of_transformer_lens
        patching/test_path_patching.py::test_heads_reach_the_logits_directly_as_with_transformer_lens_hooks
        patching/test_attribution_patching.py::test_a_node_scores_the_sum_of_its_edges
        patching/test_eap.py::test_edges_score_what_transformer_lens_gives_them_summed_over_positions
        patching/test_eap_ig.py::test_the_embedding_accounts_for_the_whole_change_with_an_error_of_second_order
        patching/test_eap_ig_activations.py::test_the_edges_of_a_stage_sum_to_the_exact_effect_of_patching_it
        patching/test_exact_edges.py::test_in_a_linear_model_the_edges_into_the_logits_sum_to_the_gap
        patching/test_acdc.py::test_the_falls_of_the_removed_edges_sum_to_what_the_circuit_lacks
        patching/test_contract.py::test_on_a_linear_model_it_finds_the_exact_effects
        patching/test_contract.py::test_the_order_of_the_pairs_is_irrelevant
        patching/test_contract.py::test_the_model_is_left_as_it_was_found_also_after_an_error_or_an_interruption
    """,
    "Circuits": """
        patching/engines/test_circuit_run.py::test_a_circuit_keeps_as_much_as_transformer_lens_finds
        patching/engines/test_circuit_run.py::test_in_a_linear_model_leaving_out_an_edge_costs_its_score
        circuits/finding/test_null_circuits.py::test_random_circuits_have_the_given_size_and_no_dead_ends
        circuits/testing/test_levels.py::test_equivalence_rejects_true_nulls_no_more_often_than_its_level
        circuits/testing/test_levels.py::test_independence_rejects_independent_draws_at_its_level
        circuits/testing/test_hypotheses.py::test_only_a_rejection_is_evidence_for_or_against_the_circuit
    """,
    "Roles and probes": """
        circuits/roles/test_labels.py::test_the_heads_of_an_induction_circuit_made_by_hand_get_their_labels_only
        circuits/roles/test_scores.py::test_a_head_made_by_hand_clears_the_baseline_of_its_role_only
        circuits/roles/test_contract.py::test_heads_of_an_untrained_model_rarely_exceed_the_baseline
        circuits/roles/test_scores.py::test_attention_scores_are_means_of_the_patterns_of_transformer_lens
        probing/test_lens_and_sparse_probes.py::test_the_logit_lens_is_that_of_transformer_lens
        probing/test_lens_and_sparse_probes.py::test_contributions_of_all_parts_sum_to_the_logit_difference
    """,
    "Emergence": """
        emergence/scale/test_ladder.py::test_every_rung_is_read_off_the_same_logits
        emergence/scale/test_mirage.py::test_seeds_that_disagree_leave_the_jump_undecided
        emergence/forming/test_order.py::test_between_the_same_two_checkpoints_there_is_no_order
        emergence/forming/test_order.py::test_simultaneous_quantities_are_rarely_put_in_order
        emergence/sameness/test_transfer.py::test_the_order_of_models_and_circuits_changes_no_number
    """,
    "Files": """
        test_architecture.py::test_nothing_pickles
        test_packaging.py::test_the_wheel_brings_trained_models_that_load_without_a_network
    """,
}
OPEN = (
    "Verdicts on public checkpoints of a billion parameters and more: the chain has run on "
    "[135 million](real_model.md) at most.",
    "Circuits of abilities that need several tokens of answer: [measured on induction alone](findings.md).",
    "Order over training as cause: order and ablation are measured, [and neither alone shows it]"
    "(emergence.md#what-none-of-this-can-tell).",
)


def page() -> str:
    """The whole page.

    Raises:
        LookupError: a test that holds a claim is gone.
    """
    return "\n".join([HEAD, *_by_tests(), *_by_measurement(), *_open()])


def _by_tests() -> Iterator[str]:
    for title, listed in HELD_BY_TESTS.items():
        yield f"## {title}\n\n| claim | held by | status |\n|---|---|---|"
        for path in listed.split():
            yield f"| {sentence(path)} | `pytest tests/{path.partition('::')[0]}` | supported |"
        yield ""


def sentence(test: str) -> str:
    """What a test claims, from its name.

    Raises:
        LookupError: there is no such test.
    """
    file, _, name = test.partition("::")
    if name not in tests_of(ROOT / "tests" / file):
        raise LookupError(f"docs/site/claims.py names tests/{test}, which is gone; name the test that holds the claim")
    words = name.removeprefix("test_").replace("transformer_lens", "TransformerLens").replace("_", " ")
    return words[0].upper() + words[1:]


@cache
def tests_of(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {one.name for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)}


def _by_measurement() -> Iterator[str]:
    yield "## Rates of error\n\n| claim | held by | status |\n|---|---|---|"
    command = "`python analyses/test_calibration/validity.py`"
    for title, body in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", VALIDITY.read_text(), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        kept = _kept(body)
        broken = len(kept) - kept.count("yes")
        status = f"refuted in {broken} of {len(kept)} cases" if broken else f"supported in {len(kept)} cases"
        yield f"| [{title.removesuffix('.')}](validity.md#{anchor}) | {command} | {status} |"
    yield ""


def _kept(body: str) -> list[str]:
    """The column `kept` of a promise's table."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.split("\n") if line.startswith("|")]
    if len(rows) < 3:
        raise LookupError(f"a promise in {VALIDITY} has no measurement: {body[:60]!r}")
    return [row[rows[0].index("kept")] for row in rows[2:]]


def _open() -> Iterator[str]:
    yield "## Open\n"
    yield from (f"- {one}" for one in OPEN)
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
