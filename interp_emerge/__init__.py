"""Find the circuit behind an ability of a language model, and watch it form as models grow and train.

The public names are below; each is imported when it is first used, so `import interp_emerge` itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_emerge.abilities import load_ability
    from interp_emerge.abilities.base import PromptPairs
    from interp_emerge.circuits.evaluation import evaluate, faithfulness_curve
    from interp_emerge.core.circuit import Circuit
    from interp_emerge.core.errors import InterpEmergeError
    from interp_emerge.core.graph import Graph
    from interp_emerge.core.model import HookedModel, ModelSpec
    from interp_emerge.families import load_family
    from interp_emerge.families._hooking import hook
    from interp_emerge.patching._scoring import estimate, score
    from interp_emerge.patching.ablation import ablate
    from interp_emerge.study import Study

    __version__: str

__all__ = [
    "Circuit",
    "Graph",
    "HookedModel",
    "InterpEmergeError",
    "ModelSpec",
    "PromptPairs",
    "Study",
    "__version__",
    "ablate",
    "estimate",
    "evaluate",
    "faithfulness_curve",
    "hook",
    "load_ability",
    "load_family",
    "score",
]

_HOMES = {
    "Circuit": "core.circuit",
    "Graph": "core.graph",
    "HookedModel": "core.model",
    "InterpEmergeError": "core.errors",
    "ModelSpec": "core.model",
    "PromptPairs": "abilities.base",
    "Study": "study",
    "ablate": "patching.ablation",
    "estimate": "patching._scoring",
    "evaluate": "circuits.evaluation",
    "faithfulness_curve": "circuits.evaluation",
    "hook": "families._hooking",
    "load_ability": "abilities",
    "load_family": "families",
    "score": "patching._scoring",
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
