from ._shelf import load_ability as load_ability, shelf as shelf
from .base import Ability as Ability
from .measuring import held_out_loss as held_out_loss, measure as measure
from .metrics import METRICS as METRICS, Metric as Metric
from .pairs import Pair as Pair, PromptPairs as PromptPairs
