from .intervals import (
    Interval as Interval,
    mean_interval as mean_interval,
    mean_intervals as mean_intervals,
    percentile_interval as percentile_interval,
    ratio_interval as ratio_interval,
)
from .significance import false_discovery as false_discovery, holm as holm, sign_flip_p_values as sign_flip_p_values
