"""Find the circuit behind an ability of a language model, and watch it form as models grow and train.

The public names are below; each is imported when it is first used, so `import interp_emerge` itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_emerge.abilities import load_ability
    from interp_emerge.abilities.base import PromptPairs
    from interp_emerge.circuits.backup import backup_heads
    from interp_emerge.circuits.comparing import compare
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
    from interp_emerge.families import load_family
    from interp_emerge.families._hooking import hook
    from interp_emerge.patching._scoring import estimate, score
    from interp_emerge.patching.ablation import ablate
    from interp_emerge.patching.base import EdgeScores, NodeScores
    from interp_emerge.study import Study

    __version__: str

__all__ = [
    "ALL_ROLES",
    "Circuit",
    "EdgeScores",
    "Graph",
    "HookedModel",
    "InterpEmergeError",
    "ModelSpec",
    "NodeScores",
    "PromptPairs",
    "Study",
    "__version__",
    "ablate",
    "attention_at",
    "auroc",
    "backup_heads",
    "compare",
    "completeness",
    "composition_scores",
    "equivalence",
    "estimate",
    "evaluate",
    "evaluate_many",
    "examine",
    "faithfulness_curve",
    "find_circuit",
    "ground_truth",
    "hook",
    "hypothesis_tests",
    "independence",
    "label_heads",
    "load_ability",
    "load_family",
    "minimality",
    "overlap",
    "partial_necessity",
    "random_circuits",
    "random_connected_circuits",
    "recovery_table",
    "roc",
    "role_table",
    "score",
    "search_stability",
    "stability",
    "sufficiency",
]

_HOMES = {
    "ALL_ROLES": "circuits.roles",
    "Circuit": "core.circuit",
    "EdgeScores": "patching.base",
    "Graph": "core.graph",
    "HookedModel": "core.model",
    "InterpEmergeError": "core.errors",
    "ModelSpec": "core.model",
    "NodeScores": "patching.base",
    "PromptPairs": "abilities.base",
    "Study": "study",
    "ablate": "patching.ablation",
    "attention_at": "circuits.labels",
    "auroc": "circuits.ground_truth",
    "backup_heads": "circuits.backup",
    "compare": "circuits.comparing",
    "completeness": "circuits.completeness",
    "composition_scores": "circuits.composition",
    "equivalence": "circuits.hypotheses",
    "estimate": "patching._scoring",
    "evaluate": "circuits.evaluation",
    "evaluate_many": "circuits.evaluation",
    "examine": "circuits.examination",
    "faithfulness_curve": "circuits.evaluation",
    "find_circuit": "circuits.finding",
    "ground_truth": "circuits.ground_truth",
    "hook": "families._hooking",
    "hypothesis_tests": "circuits.hypotheses",
    "independence": "circuits.hypotheses",
    "label_heads": "circuits.labels",
    "load_ability": "abilities",
    "load_family": "families",
    "minimality": "circuits.minimality",
    "overlap": "circuits.overlap",
    "partial_necessity": "circuits.hypotheses",
    "random_circuits": "circuits.evaluation",
    "random_connected_circuits": "circuits.random_paths",
    "recovery_table": "circuits.ground_truth",
    "roc": "circuits.ground_truth",
    "role_table": "circuits.roles",
    "score": "patching._scoring",
    "search_stability": "circuits.finding",
    "stability": "circuits.stability",
    "sufficiency": "circuits.hypotheses",
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
