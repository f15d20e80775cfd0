from ._shelf import load_family as load_family, shelf as shelf
from .base import Family as Family
from .hooking import hook as hook, untrained as untrained
