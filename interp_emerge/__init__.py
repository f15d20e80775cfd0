"""Find the circuit behind an ability of a language model, and watch it form as models grow and train.

The public names are below; each is imported when it is first used, so `import interp_emerge` itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_emerge.abilities import load_ability
    from interp_emerge.abilities.base import PromptPairs
    from interp_emerge.circuits.finding.find import find_circuit, search_stability
    from interp_emerge.circuits.finding.random_paths import random_connected_circuits
    from interp_emerge.circuits.finding.stability import stability
    from interp_emerge.circuits.known import auroc, ground_truth, recovery_table, roc
    from interp_emerge.circuits.overlap import overlap
    from interp_emerge.circuits.roles.composition import composition_scores
    from interp_emerge.circuits.roles.labels import attention_at, label_heads
    from interp_emerge.circuits.roles.table import ALL_ROLES, role_table
    from interp_emerge.circuits.running.evaluation import evaluate, evaluate_many, faithfulness_curve, random_circuits
    from interp_emerge.circuits.testing.backup import backup_heads
    from interp_emerge.circuits.testing.completeness import completeness
    from interp_emerge.circuits.testing.examination import examine
    from interp_emerge.circuits.testing.hypotheses import (
        equivalence,
        hypothesis_tests,
        independence,
        partial_necessity,
        sufficiency,
    )
    from interp_emerge.circuits.testing.minimality import minimality
    from interp_emerge.core.circuit import Circuit
    from interp_emerge.core.errors import InterpEmergeError
    from interp_emerge.core.graph import Graph
    from interp_emerge.core.model import HookedModel, ModelSpec
    from interp_emerge.emergence.forming.changepoints import change_points, coincide, fastest_change, loss_changes
    from interp_emerge.emergence.forming.dependence import Dependence, Part, dependence, dependence_at, parts_of
    from interp_emerge.emergence.forming.in_context import in_context_over_training, in_context_scores, phase_changes
    from interp_emerge.emergence.forming.order import formation_order
    from interp_emerge.emergence.forming.waves import (
        addition_logits,
        key_frequencies,
        progress,
        progress_measures,
        progress_onsets,
    )
    from interp_emerge.emergence.sameness.compare import compare, transfer
    from interp_emerge.emergence.sameness.matching import head_features, match_heads
    from interp_emerge.emergence.sameness.same_circuit.test import same_circuit
    from interp_emerge.emergence.sameness.scaling import SizedCircuit, circuit_scaling, scaling_trends
    from interp_emerge.emergence.sameness.similarity import edge_classes, mapped_overlap, successive
    from interp_emerge.emergence.sameness.transfer import transfer_matrix
    from interp_emerge.emergence.sameness.transfer_by_match import transfer_between
    from interp_emerge.emergence.scale.axes import AXES, on_axis
    from interp_emerge.emergence.scale.continuations.ladder import (
        TokenLadder,
        rate_law,
        sampled_rates,
        several_tokens_check,
        several_tokens_grid,
    )
    from interp_emerge.emergence.scale.continuations.tasks import edit_distances, induction_continuation, several_tokens
    from interp_emerge.emergence.scale.first_tokens import first_token_losses
    from interp_emerge.emergence.scale.jump_table import jump_table, ladder_table
    from interp_emerge.emergence.scale.ladder import RUNGS, Ladder, measure_grid, measure_ladder, scale_correlation
    from interp_emerge.emergence.scale.mirage import mirage_check, shape_of
    from interp_emerge.emergence.scale.onset import Scale, find_onset, find_onset_of_intervals
    from interp_emerge.emergence.scale.pass_until import answer_sampler, continuation_sampler, pass_law, pass_until
    from interp_emerge.emergence.scale.seeds import find_modes, success_by_size, success_interval
    from interp_emerge.emergence.scale.sharpness import sharpness, sharpness_table
    from interp_emerge.emergence.scale.trend_table import correlation_table, trend_table
    from interp_emerge.emergence.scale.trends import fit_trends
    from interp_emerge.families import load_family
    from interp_emerge.families.hooking import hook
    from interp_emerge.figures._intervals import interval_dots, interval_lines
    from interp_emerge.patching.ablation import ablate
    from interp_emerge.patching.base import EdgeScores, NodeScores
    from interp_emerge.patching.scoring import estimate, score
    from interp_emerge.study.study import Study
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
    "ALL_ROLES": "circuits.roles.table",
    "AXES": "emergence.scale.axes",
    "Circuit": "core.circuit",
    "Dependence": "emergence.forming.dependence",
    "EdgeScores": "patching.base",
    "Graph": "core.graph",
    "HookedModel": "core.model",
    "InterpEmergeError": "core.errors",
    "Ladder": "emergence.scale.ladder",
    "ModelSpec": "core.model",
    "NodeScores": "patching.base",
    "Part": "emergence.forming.dependence",
    "PromptPairs": "abilities.base",
    "RUNGS": "emergence.scale.ladder",
    "Scale": "emergence.scale.onset",
    "SizedCircuit": "emergence.sameness.scaling",
    "Study": "study.study",
    "TokenLadder": "emergence.scale.continuations.ladder",
    "ablate": "patching.ablation",
    "addition_logits": "emergence.forming.waves",
    "answer_sampler": "emergence.scale.pass_until",
    "attention_at": "circuits.roles.labels",
    "auroc": "circuits.known",
    "backup_heads": "circuits.testing.backup",
    "change_points": "emergence.forming.changepoints",
    "circuit_scaling": "emergence.sameness.scaling",
    "coincide": "emergence.forming.changepoints",
    "compare": "emergence.sameness.compare",
    "completeness": "circuits.testing.completeness",
    "composition_scores": "circuits.roles.composition",
    "continuation_sampler": "emergence.scale.pass_until",
    "correlation_table": "emergence.scale.trend_table",
    "dependence": "emergence.forming.dependence",
    "dependence_at": "emergence.forming.dependence",
    "edge_classes": "emergence.sameness.similarity",
    "edit_distances": "emergence.scale.continuations.tasks",
    "equivalence": "circuits.testing.hypotheses",
    "estimate": "patching.scoring",
    "evaluate": "circuits.running.evaluation",
    "evaluate_many": "circuits.running.evaluation",
    "examine": "circuits.testing.examination",
    "faithfulness_curve": "circuits.running.evaluation",
    "fastest_change": "emergence.forming.changepoints",
    "find_circuit": "circuits.finding.find",
    "find_modes": "emergence.scale.seeds",
    "find_onset": "emergence.scale.onset",
    "find_onset_of_intervals": "emergence.scale.onset",
    "first_token_losses": "emergence.scale.first_tokens",
    "fit_trends": "emergence.scale.trends",
    "formation_order": "emergence.forming.order",
    "ground_truth": "circuits.known",
    "grown_recipe": "training.grokking",
    "head_features": "emergence.sameness.matching",
    "hook": "families.hooking",
    "hypothesis_tests": "circuits.testing.hypotheses",
    "in_context_over_training": "emergence.forming.in_context",
    "in_context_scores": "emergence.forming.in_context",
    "independence": "circuits.testing.hypotheses",
    "induction_continuation": "emergence.scale.continuations.tasks",
    "interval_dots": "figures._intervals",
    "interval_lines": "figures._intervals",
    "jump_table": "emergence.scale.jump_table",
    "key_frequencies": "emergence.forming.waves",
    "label_heads": "circuits.roles.labels",
    "ladder_table": "emergence.scale.jump_table",
    "load_ability": "abilities",
    "load_family": "families",
    "loss_changes": "emergence.forming.changepoints",
    "mapped_overlap": "emergence.sameness.similarity",
    "match_heads": "emergence.sameness.matching",
    "measure_grid": "emergence.scale.ladder",
    "measure_ladder": "emergence.scale.ladder",
    "minimality": "circuits.testing.minimality",
    "mirage_check": "emergence.scale.mirage",
    "on_axis": "emergence.scale.axes",
    "overlap": "circuits.overlap",
    "partial_necessity": "circuits.testing.hypotheses",
    "parts_of": "emergence.forming.dependence",
    "pass_law": "emergence.scale.pass_until",
    "pass_until": "emergence.scale.pass_until",
    "phase_changes": "emergence.forming.in_context",
    "progress": "emergence.forming.waves",
    "progress_measures": "emergence.forming.waves",
    "progress_onsets": "emergence.forming.waves",
    "random_circuits": "circuits.running.evaluation",
    "random_connected_circuits": "circuits.finding.random_paths",
    "rate_law": "emergence.scale.continuations.ladder",
    "recovery_table": "circuits.known",
    "roc": "circuits.known",
    "role_table": "circuits.roles.table",
    "same_circuit": "emergence.sameness.same_circuit.test",
    "sampled_rates": "emergence.scale.continuations.ladder",
    "scale_correlation": "emergence.scale.ladder",
    "scaling_trends": "emergence.sameness.scaling",
    "score": "patching.scoring",
    "search_stability": "circuits.finding.find",
    "several_tokens": "emergence.scale.continuations.tasks",
    "several_tokens_check": "emergence.scale.continuations.ladder",
    "several_tokens_grid": "emergence.scale.continuations.ladder",
    "shape_of": "emergence.scale.mirage",
    "sharpness": "emergence.scale.sharpness",
    "sharpness_table": "emergence.scale.sharpness",
    "stability": "circuits.finding.stability",
    "success_by_size": "emergence.scale.seeds",
    "success_interval": "emergence.scale.seeds",
    "successive": "emergence.sameness.similarity",
    "sufficiency": "circuits.testing.hypotheses",
    "transfer": "emergence.sameness.compare",
    "transfer_between": "emergence.sameness.transfer_by_match",
    "transfer_matrix": "emergence.sameness.transfer",
    "trend_table": "emergence.scale.trend_table",
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
