from .ladder import (
    TokenLadder as TokenLadder,
    rate_law as rate_law,
    sampled_rates as sampled_rates,
    several_tokens_check as several_tokens_check,
    several_tokens_grid as several_tokens_grid,
)
from .tasks import (
    SeveralTokens as SeveralTokens,
    edit_distances as edit_distances,
    several_tokens as several_tokens,
)
