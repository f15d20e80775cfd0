from . import (
    abilities as abilities,
    caching as caching,
    circuits as circuits,
    emergence as emergence,
    families as families,
    figures as figures,
    patching as patching,
    probing as probing,
    stats as stats,
    tables as tables,
    training as training,
)
from .abilities import Pair as Pair, PromptPairs as PromptPairs, load_ability as load_ability
from .caching import record as record
from .circuits.finding import find_circuit as find_circuit
from .circuits.roles import role_table as role_table
from .circuits.running import Runs as Runs, evaluate as evaluate, faithfulness_curve as faithfulness_curve
from .circuits.testing import examine as examine
from .core.circuit import Circuit as Circuit
from .core.errors import InterpEmergeError as InterpEmergeError
from .core.graph import Graph as Graph
from .core.model import HookedModel as HookedModel
from .emergence.sameness import compare as compare
from .emergence.scale import measure_grid as measure_grid, measure_ladder as measure_ladder
from .families import hook as hook, load_family as load_family
from .patching import (
    EdgeScores as EdgeScores,
    NodeScores as NodeScores,
    ablate as ablate,
    estimate as estimate,
    score as score,
)
from .probing import lens as lens, probe as probe
from .study.attention import attention as attention
from .study.cite import cite as cite
from .study.study import Study as Study
