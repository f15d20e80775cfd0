from .beyond_chance import CircuitVerdict as CircuitVerdict
from .evaluation import (
    evaluate as evaluate,
    faithfulness_curve as faithfulness_curve,
    random_circuits as random_circuits,
)
from .faithfulness import Evaluation as Evaluation, FaithfulnessCurve as FaithfulnessCurve
from .runs import Runs as Runs
