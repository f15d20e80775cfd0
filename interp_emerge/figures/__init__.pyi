from ._export import save as save
from ._intervals import interval_dots as interval_dots, interval_lines as interval_lines
from ._shelf import shelf as shelf
from .attention import ATTENTION as ATTENTION, AttentionView as AttentionView
from .base import Figure

def __getattr__(name: str) -> Figure: ...
