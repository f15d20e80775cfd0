from ._checking.check import check as check
from ._checking.doctor import examine_machine as examine_machine
from ._checking.plan import plan_check as plan_check
from ._checking.table import CHECKS as CHECKS, CheckVerdict as CheckVerdict
from ._disk.budget import DiskBudget as DiskBudget, read_size as read_size
from ._disk.memory import of_model as of_model
from ._shelf import load_family as load_family, shelf as shelf
from .base import Family as Family, Fault as Fault
from .hooking import hook as hook, untrained as untrained
