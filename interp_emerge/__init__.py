"""Find the circuit behind an ability of a language model, and watch it form as models grow and train.

The public names are below; each is imported when it is first used, so `import interp_emerge` itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_emerge.abilities import load_ability
    from interp_emerge.abilities.base import PromptPairs
    from interp_emerge.circuits.backup import backup_heads
    from interp_emerge.circuits.comparing import compare, transfer
    from interp_emerge.circuits.completeness import completeness
    from interp_emerge.circuits.composition import composition_scores
    from interp_emerge.circuits.evaluation import evaluate, evaluate_many, faithfulness_curve, random_circuits
    from interp_emerge.circuits.examination import examine
    from interp_emerge.circuits.finding import find_circuit, search_stability
    from interp_emerge.circuits.ground_truth import auroc, ground_truth, recovery_table, roc
    from interp_emerge.circuits.hypotheses import (
        equivalence,
        hypothesis_tests,
        independence,
        partial_necessity,
        sufficiency,
    )
    from interp_emerge.circuits.labels import attention_at, label_heads
    from interp_emerge.circuits.minimality import minimality
    from interp_emerge.circuits.overlap import overlap
    from interp_emerge.circuits.random_paths import random_connected_circuits
    from interp_emerge.circuits.roles import ALL_ROLES, role_table
    from interp_emerge.circuits.stability import stability
    from interp_emerge.core.circuit import Circuit
    from interp_emerge.core.errors import InterpEmergeError
    from interp_emerge.core.graph import Graph
    from interp_emerge.core.model import HookedModel, ModelSpec
    from interp_emerge.emergence.alignment import head_features, match_heads
    from interp_emerge.emergence.axes import AXES, on_axis
    from interp_emerge.emergence.changepoints import change_points, coincide, fastest_change, loss_changes
    from interp_emerge.emergence.circuit_scaling import SizedCircuit, circuit_scaling, scaling_trends
    from interp_emerge.emergence.dependence import Dependence, Part, dependence, dependence_at, parts_of
    from interp_emerge.emergence.exact_match import (
        TokenLadder,
        rate_law,
        sampled_rates,
        several_tokens_check,
        several_tokens_grid,
    )
    from interp_emerge.emergence.first_tokens import first_token_losses
    from interp_emerge.emergence.in_context import in_context_over_training, in_context_scores, phase_changes
    from interp_emerge.emergence.jump_table import jump_table, ladder_table
    from interp_emerge.emergence.ladder import RUNGS, Ladder, measure_grid, measure_ladder, scale_correlation
    from interp_emerge.emergence.mirage import mirage_check, shape_of
    from interp_emerge.emergence.onset import Scale, find_onset, find_onset_of_intervals
    from interp_emerge.emergence.order import formation_order
    from interp_emerge.emergence.pass_until import answer_sampler, continuation_sampler, pass_law, pass_until
    from interp_emerge.emergence.progress import (
        addition_logits,
        key_frequencies,
        progress,
        progress_measures,
        progress_onsets,
    )
    from interp_emerge.emergence.role_transfer import transfer_between
    from interp_emerge.emergence.same_circuit import same_circuit
    from interp_emerge.emergence.seeds import find_modes, success_by_size, success_interval
    from interp_emerge.emergence.several_tokens import edit_distances, induction_continuation, several_tokens
    from interp_emerge.emergence.sharpness import sharpness, sharpness_table
    from interp_emerge.emergence.similarity import edge_classes, mapped_overlap, successive
    from interp_emerge.emergence.transplant import transfer_matrix
    from interp_emerge.emergence.trend_table import correlation_table, trend_table
    from interp_emerge.emergence.trends import fit_trends
    from interp_emerge.families import load_family
    from interp_emerge.families._hooking import hook
    from interp_emerge.figures._intervals import interval_dots, interval_lines
    from interp_emerge.patching._scoring import estimate, score
    from interp_emerge.patching.ablation import ablate
    from interp_emerge.patching.base import EdgeScores, NodeScores
    from interp_emerge.study import Study
    from interp_emerge.training.grokking import grown_recipe

    __version__: str

__all__ = [
    "ALL_ROLES",
    "AXES",
    "RUNGS",
    "Circuit",
    "Dependence",
    "EdgeScores",
    "Graph",
    "HookedModel",
    "InterpEmergeError",
    "Ladder",
    "ModelSpec",
    "NodeScores",
    "Part",
    "PromptPairs",
    "Scale",
    "SizedCircuit",
    "Study",
    "TokenLadder",
    "__version__",
    "ablate",
    "addition_logits",
    "answer_sampler",
    "attention_at",
    "auroc",
    "backup_heads",
    "change_points",
    "circuit_scaling",
    "coincide",
    "compare",
    "completeness",
    "composition_scores",
    "continuation_sampler",
    "correlation_table",
    "dependence",
    "dependence_at",
    "edge_classes",
    "edit_distances",
    "equivalence",
    "estimate",
    "evaluate",
    "evaluate_many",
    "examine",
    "faithfulness_curve",
    "fastest_change",
    "find_circuit",
    "find_modes",
    "find_onset",
    "find_onset_of_intervals",
    "first_token_losses",
    "fit_trends",
    "formation_order",
    "ground_truth",
    "grown_recipe",
    "head_features",
    "hook",
    "hypothesis_tests",
    "in_context_over_training",
    "in_context_scores",
    "independence",
    "induction_continuation",
    "interval_dots",
    "interval_lines",
    "jump_table",
    "key_frequencies",
    "label_heads",
    "ladder_table",
    "load_ability",
    "load_family",
    "loss_changes",
    "mapped_overlap",
    "match_heads",
    "measure_grid",
    "measure_ladder",
    "minimality",
    "mirage_check",
    "on_axis",
    "overlap",
    "partial_necessity",
    "parts_of",
    "pass_law",
    "pass_until",
    "phase_changes",
    "progress",
    "progress_measures",
    "progress_onsets",
    "random_circuits",
    "random_connected_circuits",
    "rate_law",
    "recovery_table",
    "roc",
    "role_table",
    "same_circuit",
    "sampled_rates",
    "scale_correlation",
    "scaling_trends",
    "score",
    "search_stability",
    "several_tokens",
    "several_tokens_check",
    "several_tokens_grid",
    "shape_of",
    "sharpness",
    "sharpness_table",
    "stability",
    "success_by_size",
    "success_interval",
    "successive",
    "sufficiency",
    "transfer",
    "transfer_between",
    "transfer_matrix",
    "trend_table",
]

_HOMES = {
    "ALL_ROLES": "circuits.roles",
    "AXES": "emergence.axes",
    "Circuit": "core.circuit",
    "Dependence": "emergence.dependence",
    "EdgeScores": "patching.base",
    "Graph": "core.graph",
    "HookedModel": "core.model",
    "InterpEmergeError": "core.errors",
    "Ladder": "emergence.ladder",
    "ModelSpec": "core.model",
    "NodeScores": "patching.base",
    "Part": "emergence.dependence",
    "PromptPairs": "abilities.base",
    "RUNGS": "emergence.ladder",
    "Scale": "emergence.onset",
    "SizedCircuit": "emergence.circuit_scaling",
    "Study": "study",
    "TokenLadder": "emergence.exact_match",
    "ablate": "patching.ablation",
    "addition_logits": "emergence.progress",
    "answer_sampler": "emergence.pass_until",
    "attention_at": "circuits.labels",
    "auroc": "circuits.ground_truth",
    "backup_heads": "circuits.backup",
    "change_points": "emergence.changepoints",
    "circuit_scaling": "emergence.circuit_scaling",
    "coincide": "emergence.changepoints",
    "compare": "circuits.comparing",
    "completeness": "circuits.completeness",
    "composition_scores": "circuits.composition",
    "continuation_sampler": "emergence.pass_until",
    "correlation_table": "emergence.trend_table",
    "dependence": "emergence.dependence",
    "dependence_at": "emergence.dependence",
    "edge_classes": "emergence.similarity",
    "edit_distances": "emergence.several_tokens",
    "equivalence": "circuits.hypotheses",
    "estimate": "patching._scoring",
    "evaluate": "circuits.evaluation",
    "evaluate_many": "circuits.evaluation",
    "examine": "circuits.examination",
    "faithfulness_curve": "circuits.evaluation",
    "fastest_change": "emergence.changepoints",
    "find_circuit": "circuits.finding",
    "find_modes": "emergence.seeds",
    "find_onset": "emergence.onset",
    "find_onset_of_intervals": "emergence.onset",
    "first_token_losses": "emergence.first_tokens",
    "fit_trends": "emergence.trends",
    "formation_order": "emergence.order",
    "ground_truth": "circuits.ground_truth",
    "grown_recipe": "training.grokking",
    "head_features": "emergence.alignment",
    "hook": "families._hooking",
    "hypothesis_tests": "circuits.hypotheses",
    "in_context_over_training": "emergence.in_context",
    "in_context_scores": "emergence.in_context",
    "independence": "circuits.hypotheses",
    "induction_continuation": "emergence.several_tokens",
    "interval_dots": "figures._intervals",
    "interval_lines": "figures._intervals",
    "jump_table": "emergence.jump_table",
    "key_frequencies": "emergence.progress",
    "label_heads": "circuits.labels",
    "ladder_table": "emergence.jump_table",
    "load_ability": "abilities",
    "load_family": "families",
    "loss_changes": "emergence.changepoints",
    "mapped_overlap": "emergence.similarity",
    "match_heads": "emergence.alignment",
    "measure_grid": "emergence.ladder",
    "measure_ladder": "emergence.ladder",
    "minimality": "circuits.minimality",
    "mirage_check": "emergence.mirage",
    "on_axis": "emergence.axes",
    "overlap": "circuits.overlap",
    "partial_necessity": "circuits.hypotheses",
    "parts_of": "emergence.dependence",
    "pass_law": "emergence.pass_until",
    "pass_until": "emergence.pass_until",
    "phase_changes": "emergence.in_context",
    "progress": "emergence.progress",
    "progress_measures": "emergence.progress",
    "progress_onsets": "emergence.progress",
    "random_circuits": "circuits.evaluation",
    "random_connected_circuits": "circuits.random_paths",
    "rate_law": "emergence.exact_match",
    "recovery_table": "circuits.ground_truth",
    "roc": "circuits.ground_truth",
    "role_table": "circuits.roles",
    "same_circuit": "emergence.same_circuit",
    "sampled_rates": "emergence.exact_match",
    "scale_correlation": "emergence.ladder",
    "scaling_trends": "emergence.circuit_scaling",
    "score": "patching._scoring",
    "search_stability": "circuits.finding",
    "several_tokens": "emergence.several_tokens",
    "several_tokens_check": "emergence.exact_match",
    "several_tokens_grid": "emergence.exact_match",
    "shape_of": "emergence.mirage",
    "sharpness": "emergence.sharpness",
    "sharpness_table": "emergence.sharpness",
    "stability": "circuits.stability",
    "success_by_size": "emergence.seeds",
    "success_interval": "emergence.seeds",
    "successive": "emergence.similarity",
    "sufficiency": "circuits.hypotheses",
    "transfer": "circuits.comparing",
    "transfer_between": "emergence.role_transfer",
    "transfer_matrix": "emergence.transplant",
    "trend_table": "emergence.trend_table",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value = version("interp-emerge")
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
