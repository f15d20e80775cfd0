from ._shelf import is_file_name as is_file_name, load_ability as load_ability, shelf as shelf
from .base import Ability as Ability
from .following import exchanged as exchanged, not_followed as not_followed, why_not_followed as why_not_followed
from .measuring import held_out_loss as held_out_loss, measure as measure
from .metrics import METRICS as METRICS, Metric as Metric
from .own.checking import CheckedRows as CheckedRows, check_rows as check_rows
from .own.file_ability import FileAbility as FileAbility
from .pairs import Pair as Pair, PromptPairs as PromptPairs
