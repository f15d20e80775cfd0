from .table import ATTENTION as ATTENTION
from .view import AttentionView as AttentionView
