from .composition import composition_scores as composition_scores
from .labels import attention_at as attention_at, label_heads as label_heads
from .table import ALL_ROLES as ALL_ROLES, Role as Role, role_table as role_table
