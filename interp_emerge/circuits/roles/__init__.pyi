from ._shelf import shelf as shelf
from .base import Role as Role
from .composition import composition_scores as composition_scores
from .labels import attention_at as attention_at, label_heads as label_heads
from .table import role_table as role_table
