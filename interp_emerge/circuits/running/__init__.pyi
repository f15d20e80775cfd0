from .areas import cmd_interval as cmd_interval, cpr_interval as cpr_interval
from .beyond_chance import CircuitVerdict as CircuitVerdict
from .evaluation import (
    evaluate as evaluate,
    faithfulness_curve as faithfulness_curve,
    random_circuits as random_circuits,
)
from .faithfulness import Evaluation as Evaluation, FaithfulnessCurve as FaithfulnessCurve
from .runs import GRID as GRID, Runs as Runs
