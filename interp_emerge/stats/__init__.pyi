from .forms import FittedForm as FittedForm, fit_forms as fit_forms
from .intervals import (
    Interval as Interval,
    mean_interval as mean_interval,
    mean_intervals as mean_intervals,
    percentile_interval as percentile_interval,
    ratio_interval as ratio_interval,
    success_interval as success_interval,
)
from .ranks import rank_p as rank_p, spearman as spearman
from .resampling import resample_rows as resample_rows, resample_weights as resample_weights
from .segments import best_cuts as best_cuts, bic_of_cuts as bic_of_cuts, fit_lines as fit_lines
from .sets import (
    jaccard as jaccard,
    jaccard_of_weights as jaccard_of_weights,
)
from .significance import false_discovery as false_discovery, holm as holm, sign_flip_p_values as sign_flip_p_values
