from .evaluation import (
    evaluate as evaluate,
    evaluate_many as evaluate_many,
    faithfulness_curve as faithfulness_curve,
    random_circuits as random_circuits,
)
from .faithfulness import Evaluation as Evaluation, FaithfulnessCurve as FaithfulnessCurve
