from ._shelf import shelf as shelf
from .ablation import ablate as ablate
from .base import Method as Method
from .scores import EdgeScores as EdgeScores, NodeScores as NodeScores
from .scoring import Estimate as Estimate, estimate as estimate, score as score
